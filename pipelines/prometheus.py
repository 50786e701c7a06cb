"""Metrics of a run as a file for node_exporter's textfile collector (`--prometheus_textfile`), for one-machine runs.

Conventions. Exposition format 0.0.4, written by prometheus_client, whole or not at all. All are gauges, for they tell
of the last run. Names are stable; docs/operations.md lists them. A run that did not succeed carries the time of the
last success over from the file that it replaces.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families

from pipelines.version import VERSION
from transforms.errors import RunError
from transforms.summary import Summary

LAST_SUCCESS = "songscan_last_success_timestamp_seconds"
OUTCOMES = ("not_audio", "up_to_date", "withheld", "written", "dead_lettered")


def write_textfile(path: str, summary: Summary | None, *, success: bool, now_s: float | None = None) -> None:
    """Writes the metrics of a run that has ended.

    Args:
        summary: None if the run ended before it could be summed up.
        success: whether its exit status is 0.
        now_s: seconds since 1970; now if None.

    Raises:
        RunError: if the file cannot be written.
    """
    now_s = time.time() if now_s is None else now_s
    registry = CollectorRegistry()
    _set(registry, "songscan_run_timestamp_seconds", "When the last run ended.", now_s)
    _set(registry, "songscan_run_success", "Whether the last run ended with exit status 0.", success)
    last = now_s if success else _last_success(path)
    if last is not None:
        _set(registry, LAST_SUCCESS, "When a run last ended with exit status 0.", last)
    _set(registry, "songscan_build_info", "The version of songscan.", 1, version=VERSION)
    if summary is not None:
        _tell(registry, summary)
    try:
        write_to_textfile(path, registry)
    except OSError as error:
        advice = "the tables are complete; see that the folder is there and may be written to"
        raise RunError(f"cannot write --prometheus_textfile={path}: {error.strerror or error}", advice) from error


def _tell(registry: CollectorRegistry, summary: Summary) -> None:
    _set(registry, "songscan_run_duration_seconds", "How long the last run took.", summary.wall_s or 0.0)
    _set(registry, "songscan_audio_seconds", "Audio that it listened to.", summary.audio_s)
    _set(registry, "songscan_read_bytes", "Bytes of files that it read.", summary.bytes_read)
    _set(registry, "songscan_drift_checks", "Measures that it compared with the nights before.", summary.drift.tested)
    _set(registry, "songscan_drift_flags", "Those of them that drifted.", len(summary.drift.flags))
    counts = [((outcome,), getattr(summary.tracks, outcome)) for outcome in OUTCOMES]
    _family(registry, "songscan_tracks", "What became of the tracks that it listed.", ("outcome",), counts)
    rows = [((table,), count) for table, count in summary.rows.items()]
    _family(registry, "songscan_rows", "Rows that it wrote.", ("table",), rows)
    failures = [((failure.stage, failure.reason), failure.tracks) for failure in summary.failures]
    _family(registry, "songscan_failures", "Tracks that failed.", ("stage", "reason"), failures)
    costs = [((cost.task, cost.model_name), cost.wall_s) for cost in summary.costs]
    _family(registry, "songscan_task_duration_seconds", "Time of all workers by task.", ("task", "model"), costs)


def _set(registry: CollectorRegistry, name: str, doc: str, value: float, **labels: str) -> None:
    _family(registry, name, doc, tuple(labels), [(tuple(labels.values()), value)])


def _family(
    registry: CollectorRegistry,
    name: str,
    doc: str,
    labels: tuple[str, ...],
    samples: Sequence[tuple[tuple[str, ...], float]],
) -> None:
    gauge = Gauge(name, doc, labels, registry=registry)
    for values, value in samples:
        (gauge.labels(*values) if labels else gauge).set(value)


def _last_success(path: str) -> float | None:
    """What the file at `path` says; None if there is none, or it is somebody else's."""
    if not os.path.exists(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            families = list(text_string_to_metric_families(file.read()))
    except (OSError, ValueError):  # torn by somebody, or not to be read: the time of the last success is unknown
        return None
    return next((family.samples[0].value for family in families if family.name == LAST_SUCCESS), None)
