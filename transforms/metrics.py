"""What a scan tells through Beam's metrics: one place, and names that dashboards may rely on.

Conventions. The namespace is `songscan`. Counters add up over workers; distributions keep count, sum, least and
greatest. Names are few and bounded: words that are not known here count as `other`. docs/operations.md lists them.
RunInference has metrics of its own, in a namespace for each model (`SavedModelHandler.get_metrics_namespace`).
"""

from __future__ import annotations

from apache_beam.metrics import Metrics

from transforms.records import OK, TABLE_OF, DeadLetter, Report, TrackFacts, Work
from transforms.tasks import TASKS

NAMESPACE = "songscan"
OTHER = "other"
STAGES = ("open", "decode", "worker", *TASKS)
REASONS = (
    # of files and storage
    "changed_while_read", "corrupt_download", "dangling_link", "empty_file", "gone", "network", "no_audio_stream",
    "no_permission", "non_finite", "not_a_file", "not_audio", "not_decodable", "read_error", "too_long", "too_short",
    "unsupported",
    # of the decoder's process and of workers
    "decoder_crashed", "decoder_hung", "decoder_out_of_memory", "killed_worker",
    # of models and their outputs
    "model_failed", "nan_output", "no_scores", "wrong_frames", "wrong_rank", "wrong_shape",
)  # fmt: skip
COUNTERS = (
    "tracks_taken",
    "tracks_written",
    "tracks_dead_lettered",
    "tracks_unchanged",
    "audio_seconds",
    "bytes_read",
    *(f"rows_{table}" for table in TABLE_OF.values() if table != "runs"),
)
DISTRIBUTIONS = ("decode_milliseconds", "decode_speed", *(f"{task}_milliseconds" for task in TASKS))


def outcome(report: Report) -> str:
    """What became of a track: written (some task succeeded), dead_lettered (none did) or unchanged (none was due)."""
    statuses = [row.status for row in report.rows if isinstance(row, Work)]
    if not statuses:
        return "unchanged"
    return "written" if OK in statuses else "dead_lettered"


def heard_s(report: Report) -> float:
    """Audio that some task has listened to, seconds."""
    return max((row.duration_s or 0.0 for row in report.rows if isinstance(row, Work)), default=0.0)


def failure_name(stage: str, reason: str) -> str:
    """The counter of failures of a kind.

    >>> failure_name("decode", "not_audio"), failure_name("decode", "of a plugin's making")
    ('failures_decode_not_audio', 'failures_decode_other')
    """
    known_stage, known_reason = stage if stage in STAGES else OTHER, reason if reason in REASONS else OTHER
    return f"failures_{known_stage}_{known_reason}"


def count_taken() -> None:
    """Counts a track that is taken in hand."""
    _count("tracks_taken")


def count_report(report: Report) -> None:
    """Counts all that the report of a finished track tells."""
    became = outcome(report)
    _count(f"tracks_{became}")
    _count("audio_seconds", round(heard_s(report)))
    for row in report.rows:
        _count(f"rows_{TABLE_OF[type(row)]}")
        if isinstance(row, DeadLetter):
            _count(failure_name(row.stage, row.reason))
        elif isinstance(row, Work) and row.wall_s is not None:
            _time(row.task, row.wall_s)
        elif isinstance(row, TrackFacts):
            _count_opening(row, decoded=became != "unchanged" and row.duration_s is not None)


def _count_opening(facts: TrackFacts, *, decoded: bool) -> None:
    if facts.content_token:  # else it could not be read
        _count("bytes_read", facts.size_bytes)
    if decoded and facts.decode_wall_s:
        _time("decode", facts.decode_wall_s)
        _add("decode_speed", (facts.duration_s or 0.0) / facts.decode_wall_s)


def _time(task: str, wall_s: float) -> None:
    _add(f"{task}_milliseconds", 1000 * wall_s)


def _add(name: str, value: float) -> None:
    Metrics.distribution(NAMESPACE, name).update(round(value))


def _count(name: str, number: int = 1) -> None:
    Metrics.counter(NAMESPACE, name).inc(number)
