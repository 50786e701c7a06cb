"""The end of an unattended run: drift found, the summary written and told, metrics left, the exit status."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.closing import status_of, tell_run, tell_status
from pipelines.logs import logging_run
from pipelines.options import ScanSettings
from pipelines.outcome import DONE, FAILED, INTERRUPTED
from pipelines.summary_page import headline
from pipelines.version import VERSION
from transforms import tables
from transforms.journal import LOG
from transforms.nights import Drift, find_drift
from transforms.records import Run
from transforms.summary import Summary, summarise, write_summary


@contextlib.contextmanager
def watched(settings: ScanSettings, run_id: str, log: Path) -> Iterator[None]:
    """Logs that a run began; and if it ends by an exception, leaves metrics that say so.

    Args:
        log: where lines go that are text.
    """
    with logging_run(settings.log_format, run_id, log):
        what = {"songscan_version": VERSION, "input": settings.input, "output": settings.output}
        LOG.info("run %s began", run_id, extra={**what, "tasks": settings.task_names})
        try:
            yield
        except BaseException as error:
            LOG.error("run %s failed: %s", run_id, error or type(error).__name__, extra={"status": "failed"})
            with contextlib.suppress(Exception):  # what is told is the first error
                leave_metrics(settings, None, success=False)
            raise


def drift_of(readable: str, run_id: str) -> Drift:
    """What differs from the nights before.

    Args:
        readable: a local folder with the tables of the output; the output itself, if that is local.
    """
    with tables.connect(readable) as connection:
        return find_drift(connection, run_id)


def close_run(run: Run, readable: str, settings: ScanSettings, drift: Drift, console: Console) -> int:
    """Writes the summary of a run whose line is in `runs`, tells it all, and leaves metrics; the exit status.

    Args:
        readable: as of `drift_of`.

    Raises:
        RunError: if the summary or the metrics cannot be written.
    """
    with tables.connect(readable) as connection:
        summary = summarise(connection, run.run_id, drift)
    tell_run(run, summary, settings.output, console)
    status = status_of(run, settings.max_failed_fraction, console)
    if status == DONE and settings.fail_on_drift and drift.flags:
        tell_status("failed: the night differs from those before it, and --fail_on_drift is set", console)
        status = FAILED
    write_summary(settings.output, summary)
    leave_metrics(settings, summary, success=status == DONE)
    log_end(summary, status)
    return status


def leave_metrics(settings: ScanSettings, summary: Summary | None, *, success: bool) -> None:
    """Writes the file of `--prometheus_textfile`, if there is to be one."""
    if settings.prometheus_textfile is not None:
        from pipelines.prometheus import write_textfile  # who leaves no metrics needs no prometheus_client

        write_textfile(settings.prometheus_textfile, summary, success=success)


def log_end(summary: Summary, status: int) -> None:
    """Logs what drifted, what failed by kinds, and that the run ended; as an error if its status is to wake someone."""
    for flag, words in zip(summary.drift.flags, summary.drift.words(), strict=False):
        LOG.warning(words, extra={"task": "drift", "reason": flag.kind, "label": flag.label, "effect": flag.effect})
    level = {DONE: logging.INFO, INTERRUPTED: logging.WARNING}.get(status, logging.ERROR)
    LOG.log(level, headline(summary), extra={**_facts(summary), "exit_status": status})


def _facts(summary: Summary) -> dict[str, Any]:
    told = {name: getattr(summary, name) for name in ("run_id", "status", "audio_s", "wall_s", "bytes_read", "rows")}
    tracks = {f"tracks_{name}": count for name, count in vars(summary.tracks).items()}
    return {**told, **tracks, "drift_flags": len(summary.drift.flags)}
