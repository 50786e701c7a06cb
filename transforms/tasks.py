"""The tasks that a scan can do: their names, and the models and versions that make them due again. Light: no Beam here.

A task without a network has a version of its own. A task with one is done by every model that is there for it: those
that ship or were built at set-up, or instead of them those named by hand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from models.card import ModelError, Role, pretrained
from models.measures.version import DEFECTS_VERSION
from models.measures.version import VERSION as QUALITY_VERSION
from transforms.errors import MisuseError
from transforms.model_files import card_of, pretrained_uri
from transforms.records import Task

QUALITY = Task(name="quality", model_name="quality", model_version=QUALITY_VERSION)
OF_MEASURES = {QUALITY.name: QUALITY}  # tasks without a network
TAGS = "tags"
DEFECTS = "defects"
STEMS = "stems"
TASKS = (QUALITY.name, TAGS, DEFECTS, STEMS)
#: Beside its options: measures settle some classes of defects, and other measures make recordings due again.
DIGESTS = {DEFECTS: f"measures-{DEFECTS_VERSION}"}
USUAL = (QUALITY.name, TAGS)  # what is done unless told otherwise: stems take the room of the catalogue again
#: By task: of these it reads exactly one.
ROLES_READ: dict[str, tuple[Role, ...]] = {
    TAGS: ("scores", "frame_scores"),
    DEFECTS: ("frame_scores",),
    STEMS: ("mask", "waveform"),
}
SEPARATOR = "separator"  # of all models that ship and make stems, the one that is used unless others are named
BY_MODELS = tuple(ROLES_READ)  # tasks that need a network


def parse_tasks(names: str, models: Sequence[str] = (), digests: Mapping[str, str] | None = None) -> tuple[Task, ...]:
    """The tasks of a comma-separated list of names, in the order of `TASKS`, without repetition; one for each model.

    Args:
        models: URIs of models that are to be used for their tasks instead of those that ship.
        digests: of the options that change what a task gives, by task.

    Raises:
        MisuseError: if a name is not a task, none is given, or a model is missing or of another task.

    >>> [task.name for task in parse_tasks("quality, quality")]
    ['quality']
    """
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    unknown = sorted(wanted - set(TASKS))
    if unknown or not wanted:
        what = f"no such task: {', '.join(unknown)}" if unknown else "no task is named"
        raise MisuseError(f"--tasks={names!r}: {what}", f"tasks are: {', '.join(TASKS)}")
    try:
        by_task = _tasks_of(models)
        _check_models(by_task, wanted, models)
    except ModelError as error:
        raise MisuseError(error.message, error.advice) from error
    chosen = [(OF_MEASURES[name],) if name in OF_MEASURES else tuple(by_task[name]) for name in TASKS if name in wanted]
    known = DIGESTS | dict(digests or {})
    return tuple(
        dataclasses.replace(task, options_digest=known.get(task.name, "")) for tasks in chosen for task in tasks
    )


def research_only(tasks: Sequence[Task]) -> list[str]:
    """Words about the models whose weights may be used for research only."""
    cards = [card_of(task.model_uri) for task in tasks if task.model_uri]
    return [
        f"the weights of {card.name} may be used for research only ({card.licences.weights})"
        for card in cards
        if card.licences.research_only
    ]


def _tasks_of(models: Sequence[str]) -> dict[str, list[Task]]:
    """The tasks that models do, by name: those of `models`, and of those that ship where `models` has none."""
    by_task: dict[str, list[Task]] = {}
    for uri in models:
        card, task = card_of(uri), _task_of(uri)
        twins = [other.model_uri for other in by_task.get(card.task, []) if other.model_name == card.name]
        if twins:
            advice = "A scan uses one of each name: leave one out, or give them names of their own in their cards"
            raise MisuseError(f"--models: {twins[0]} and {uri} are both called {card.name!r}", advice)
        by_task.setdefault(card.task, []).append(task)
    for task in map(_task_of, map(pretrained_uri, pretrained())):
        one_of_many = task.name == STEMS and task.model_name != SEPARATOR
        if all(card_of(uri).task != task.name for uri in models) and not one_of_many:
            by_task.setdefault(task.name, []).append(task)
    return by_task


def _task_of(uri: str) -> Task:
    card = card_of(uri)
    return Task(name=card.task, model_name=card.name, model_version=card.version, model_uri=uri)


def _check_models(by_task: dict[str, list[Task]], wanted: set[str], models: Sequence[str]) -> None:
    for name in BY_MODELS:
        if name in wanted and not by_task.get(name):
            advice = "build those that songscan knows (make setup does), or name some by --models"
            raise MisuseError(f"there is no model for the task {name!r} here", advice)
    for uri in models:
        task = card_of(uri).task
        if task not in BY_MODELS:
            known = f"tasks by models: {', '.join(BY_MODELS)}"
            raise MisuseError(f"--models={uri}: its card has the task {task!r}", known)
        if task not in wanted:
            raise MisuseError(f"--models={uri} does the task {task!r}, which is not asked for", f"--tasks={task} asks")
        card_of(uri).output_of(*ROLES_READ[task])
        if task == DEFECTS:
            from models.defects import check_measures  # here, since scans without this task need no SciPy

            check_measures(card_of(uri))
