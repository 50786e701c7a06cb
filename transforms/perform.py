"""The one way in which a task is carried out on a recording.

A task is plain: a function from a recording to rows. `perform` does the rest for all of them alike: it leaves out what
is not due, times the work, turns a `TrackError` into a dead letter, and adds the row of `work` that tells the outcome.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from transforms.errors import TrackError
from transforms.recording import Recording
from transforms.records import FAILED_PERMANENT, FAILED_TRANSIENT, OK, DeadLetter, Report, Row, Task, Work


def perform(recording: Recording, task: Task, work: Callable[[Recording], Sequence[Row]]) -> Recording:
    """`recording` with the rows of `task` in its report, or with its failure; untouched if the task is not due."""
    if task not in recording.tasks:
        return recording
    started = time.perf_counter()
    try:
        rows = list(work(recording))
    except TrackError as error:
        return dataclasses.replace(recording, report=failed(recording.report, task, [task], error))
    done = Work(
        **recording.report.stamp(task),
        task=task.name,
        options_digest=task.options_digest,
        status=OK,
        attempts=0,
        duration_s=recording.duration_s,
        wall_s=time.perf_counter() - started,
    )
    return dataclasses.replace(recording, report=recording.report.plus([*rows, done]))


def failed(report: Report, by: Task, tasks: Sequence[Task], error: TrackError) -> Report:
    """`report` with a dead letter for the failure of `by`, and a row of `work` for each of `tasks`, which it costs."""
    attempts = report.due.attempts + 1
    letter = DeadLetter(
        **report.stamp(by),
        uri=report.due.track.uri,
        task=by.name,
        stage=error.stage,
        reason=error.reason,
        error=error.message,
        advice=error.advice,
        transient=error.transient,
        attempts=attempts,
    )
    return report.plus([letter, *(_failed_work(report, task, error, attempts) for task in tasks)])


def _failed_work(report: Report, task: Task, error: TrackError, attempts: int) -> Work:
    return Work(
        **report.stamp(task),
        task=task.name,
        options_digest=task.options_digest,
        status=FAILED_TRANSIENT if error.transient else FAILED_PERMANENT,
        attempts=attempts,
        duration_s=None,
        wall_s=None,
    )
