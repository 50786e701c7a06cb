"""Run by Airflow's own Python: loads the DAGs of a folder as Airflow does, renders them, and prints what it found."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

folder = Path(sys.argv[1])
variables = json.loads((folder / "variables.json").read_text(encoding="utf-8"))
bag = DagBag(str(folder), bundle_path=folder, bundle_name="deploy")
assert not bag.import_errors, bag.import_errors


class Said(dict):
    """JSON with its members as attributes, as Airflow's templates see a variable."""

    __getattr__ = dict.__getitem__


class Run:
    """As much of a DAG run as the templates ask for."""

    start_date = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)


context = {"var": Said(json=Said({name: Said(value) for name, value in variables.items()})), "dag_run": Run}
found = {}
for dag_id, dag in bag.dags.items():
    dag.validate()
    DagSerialization.serialize_dag(dag)  # what the scheduler does with it
    env = dag.get_template_env()
    for task in dag.tasks:
        task.render_template_fields(context, env)
    tasks = {task.task_id: task for task in dag.tasks}
    found[dag_id] = {
        "schedule": str(dag.schedule),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "order": [task.task_id for task in dag.topological_sort()],
        "retries": sorted({task.retries for task in dag.tasks}),
        "told": all(task.has_on_failure_callback for task in dag.tasks),
        "body": tasks["scan"].body,
        "sql": tasks["check"].sql,
    }
print(json.dumps(found))
