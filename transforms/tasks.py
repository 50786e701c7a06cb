"""The tasks that a scan can do: their names, and the versions that make them due again. Light: no Beam here."""

from __future__ import annotations

from models.measures.version import VERSION as QUALITY_VERSION
from transforms.errors import MisuseError
from transforms.records import Task

QUALITY = Task(name="quality", model_name="quality", model_version=QUALITY_VERSION)
TASKS = {task.name: task for task in (QUALITY,)}


def parse_tasks(names: str) -> tuple[Task, ...]:
    """The tasks of a comma-separated list of names, in the order of `TASKS`, without repetition.

    Raises:
        MisuseError: if a name is not a task, or none is given.

    >>> [task.name for task in parse_tasks("quality, quality")]
    ['quality']
    """
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    unknown = sorted(wanted - set(TASKS))
    if unknown or not wanted:
        what = f"no such task: {', '.join(unknown)}" if unknown else "no task is named"
        raise MisuseError(f"--tasks={names!r}: {what}", f"tasks are: {', '.join(TASKS)}")
    return tuple(task for name, task in TASKS.items() if name in wanted)
