"""Run by Airflow's own Python: loads the DAGs of a folder as Airflow does, renders them, and prints what it found."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Said(dict[str, Any]):
    """JSON with its members as attributes, as Airflow's templates see a variable."""

    __getattr__ = dict.__getitem__


class Run:
    """As much of a DAG run as the templates ask for."""

    start_date = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)


def judge(folder: Path) -> dict[str, Any]:
    """What Airflow makes of each DAG; it must import, be valid, and be such as the scheduler can keep."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    bag = DagBag(str(folder), bundle_path=folder, bundle_name="deploy")
    assert not bag.import_errors, bag.import_errors
    variables = json.loads((folder / "variables.json").read_text(encoding="utf-8"))
    context = {"var": Said(json=Said({name: Said(value) for name, value in variables.items()})), "dag_run": Run}
    for dag in bag.dags.values():
        dag.validate()
        DagSerialization.serialize_dag(dag)
        for task in dag.tasks:
            task.render_template_fields(context, dag.get_template_env())
    return {dag_id: told(dag) for dag_id, dag in bag.dags.items()}


def told(dag: Any) -> dict[str, Any]:
    tasks = {task.task_id: task for task in dag.tasks}
    return {
        "schedule": str(dag.schedule),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "order": [task.task_id for task in dag.topological_sort()],
        "retries": sorted({task.retries for task in dag.tasks}),
        "told": all(task.has_on_failure_callback for task in dag.tasks),
        "body": tasks["scan"].body,
        "sql": tasks["check"].sql,
    }


if __name__ == "__main__":
    print(json.dumps(judge(Path(sys.argv[1]))))
