"""Every flag of a scan, defined once: for `songscan scan`, for `python -m pipelines.scan`, and for Beam's options.

Light on purpose: no Beam here, so that a command line is checked before anything heavy is imported.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.stems import STEMS as STEM_NAMES
from pipelines.logs import FORMATS as LOG_FORMATS
from transforms.bigquery import Dataset, parse_results
from transforms.errors import MisuseError
from transforms.records import Task
from transforms.stem_options import FORMATS, StemOptions, parse_stems
from transforms.tasks import STEMS, TASKS, USUAL, parse_tasks

REMOTE_RUNNERS = ("DataflowRunner", "FlinkRunner", "SparkRunner", "PortableRunner")
DETACHED_RUNNERS = ("DataflowRunner",)  # whose jobs go on when the launcher has ended
#: Of Beam 2.77, on this machine; kept here, for Beam takes seconds to import.
LOCAL_RUNNERS = ("FnApiRunner", "DirectRunner", "SwitchingDirectRunner", "BundleBasedDirectRunner", "PrismRunner")
LOCAL_RUNNER = "FnApiRunner"  # pinned: Beam's DirectRunner tries to download another one first


@dataclass(frozen=True, kw_only=True)
class ScanSettings:
    """What a scan was asked to do."""

    input: str
    output: str
    tasks: tuple[Task, ...]
    force: bool = False
    max_tracks: int | None = None
    since: datetime | None = None
    track_ids: tuple[str, ...] | None = None
    plan: bool = False
    max_failed_fraction: float = 0.05
    decode_timeout_s: float = 60.0
    decode_memory_mib: int = 2048
    max_hours: float = 24.0
    budget_hours: float | None = None
    results: Dataset | None = None
    fail_on_drift: bool = False
    log_format: str = LOG_FORMATS[0]
    prometheus_textfile: str | None = None
    scratch_dir: str | None = None
    stem_options: StemOptions = dataclasses.field(default_factory=StemOptions)

    @property
    def task_names(self) -> list[str]:
        """task:model:version of each task."""
        return [f"{task.name}:{task.model_name}:{task.model_version}" for task in self.tasks]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ScanSettings` to `parser` (Beam's, or our own)."""
    add = parser.add_argument_group("songscan").add_argument
    add(
        "--input",
        metavar="CATALOGUE",
        help="a folder, a glob, gs://BUCKET/PREFIX, or a manifest (.csv, .jsonl, .parquet)",
    )
    add("--output", metavar="FOLDER", help="where tables and stems go: a folder, or gs://BUCKET/PREFIX")
    add(
        "--results",
        metavar="bq://PROJECT.DATASET",
        help="BigQuery, where finished parts are published to, and where the ledger is read then",
    )
    add(
        "--tasks",
        default=",".join(USUAL),
        help=f"what to do, separated by commas, of: {', '.join(TASKS)} (default: %(default)s)",
    )
    add(
        "--models",
        metavar="URIS",
        help="models to use for their tasks instead of those that ship, separated by commas: folders of SavedModels "
        "with cards, here or on gs://, or grpc://HOST:PORT/NAME[/VERSION]?card=URI (TensorFlow Serving)",
    )
    add_stem_flags(add)
    add("--force", action="store_true", help="do it even where it was done before")
    add("--max_tracks", type=int, metavar="N", help="take at most N tracks; the others are withheld")
    add("--since", metavar="DATE", help="only files changed at this date (ISO 8601, UTC) or later")
    add("--track_ids", metavar="IDS", help="only these, separated by commas; or @FILE with one on each line")
    add("--plan", action="store_true", help="say what would be done, with the hours of audio, and do nothing")
    add("--max_failed_fraction", type=float, default=0.05, metavar="X",
        help="exit status 1 if more than this share of the tracks taken failed (default: %(default)s)")  # fmt: skip
    add(
        "--decode_timeout_s",
        type=float,
        default=60.0,
        metavar="S",
        help="give a file up after so long without progress",
    )
    add("--decode_memory_mib", type=int, default=2048, metavar="MIB", help="memory of a decoder process")
    add(
        "--max_hours",
        type=float,
        default=24.0,
        metavar="H",
        help="longest recording that is taken: hours of 48 kHz stereo, or as many samples otherwise",
    )
    add("--budget_hours", type=float, metavar="H", help="take no track after so many hours; the next run goes on")
    add("--scratch_dir", metavar="FOLDER", help="where samples of long recordings lie meanwhile")
    add("--fail_on_drift", action="store_true", help="exit status 1 if the night differs from those before it")
    add("--log_format", default=LOG_FORMATS[0], choices=LOG_FORMATS, help="json: one object a line, and no other words")
    add("--prometheus_textfile", metavar="FILE", help="write metrics of the run there, for node_exporter (FILE.prom)")


def add_stem_flags(add: Callable[..., object]) -> None:
    """The flags of `StemOptions`, for a scan and for a single file."""
    add("--stems", default=",".join(STEM_NAMES), metavar="NAMES", help="which to write (default: %(default)s)")
    add("--stem_format", default=FORMATS[0], metavar="FORMAT", help=f"one of {', '.join(FORMATS)} (default: flac)")


def read_settings(known: argparse.Namespace) -> ScanSettings:
    """The settings that parsed flags say, checked.

    Raises:
        MisuseError: naming the flag, its value and what it should be.
    """
    for flag in ("input", "output"):
        if not getattr(known, flag, None):
            raise MisuseError(f"--{flag} is missing", "usage: songscan scan INPUT OUTPUT [flags]")
    _check_ranges(known)
    values = {f.name: getattr(known, f.name) for f in dataclasses.fields(ScanSettings) if hasattr(known, f.name)}
    values["stem_options"] = parse_stems(known.stems, known.stem_format)
    for place in ("input", "output"):  # make and some shells hand `~` on as it is
        values[place] = os.path.expanduser(values[place])
    values["tasks"] = parse_tasks(
        known.tasks,
        [os.path.expanduser(uri) for uri in (known.models or "").split(",") if uri],
        {STEMS: values["stem_options"].digest},
    )
    values["results"] = parse_results(known.results) if known.results else None
    values["since"] = _parse_time(known.since)
    values["track_ids"] = _parse_ids(known.track_ids)
    return ScanSettings(**values)


def _check_ranges(known: argparse.Namespace) -> None:
    rules = {
        "max_tracks": (lambda v: v is None or v >= 1, "a number from 1"),
        "max_failed_fraction": (lambda v: 0 <= v <= 1, "a share from 0 to 1"),
        "decode_timeout_s": (lambda v: v > 0, "seconds, more than 0"),
        "decode_memory_mib": (lambda v: v >= 256, "MiB, at least 256"),
        "max_hours": (lambda v: v > 0, "hours, more than 0"),
        "budget_hours": (lambda v: v is None or v > 0, "hours, more than 0"),
        "scratch_dir": (lambda v: v is None or Path(v).is_dir(), "a folder that exists"),
        "prometheus_textfile": (lambda v: v is None or Path(v).parent.is_dir(), "a file in a folder that exists"),
    }
    for flag, (holds, wanted) in rules.items():
        value = getattr(known, flag)
        if not holds(value):  # type: ignore[no-untyped-call]
            raise MisuseError(f"--{flag}={value} makes no sense", f"it takes {wanted}")


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise MisuseError(f"--since={text!r} is no date", "write it like 2026-11-23 or 2026-11-23T22:00:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _parse_ids(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    if not text.startswith("@"):
        return tuple(part for part in text.split(",") if part)
    try:
        lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MisuseError(
            f"--track_ids={text}: {error}", "the file holds one track id on each line, in UTF-8"
        ) from None
    return tuple(line for line in lines if line)


def parse_scan(argv: Sequence[str]) -> tuple[ScanSettings, list[str]]:
    """Settings from a command line, and the flags left over (Beam's).

    Raises:
        MisuseError: as `read_settings` does.
    """
    parser = argparse.ArgumentParser("songscan scan", add_help=False, allow_abbrev=False, exit_on_error=False)
    add_flags(parser)
    try:
        known, rest = parser.parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        raise MisuseError(str(error), "songscan scan --help lists the flags") from None
    return read_settings(known), rest
