"""Scans for tests: small catalogues, and real workers. The launcher is a process only where a test needs it as one."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.cli import main
from pipelines.outcome import exit_status
from tests import signals
from transforms import tables

ROOT = Path(__file__).parents[2]
CONSERVED = ("not_audio", "up_to_date", "withheld", "written", "dead_lettered")


class Done(NamedTuple):
    """What a scan said."""

    stdout: str
    stderr: str


def command(catalogue: Path | str, output: Path | str, *flags: str) -> list[str]:
    """Of a scan for `quality`, which needs no TensorFlow to start, by one worker, unless `flags` say otherwise.

    A second worker takes some five seconds of processor time to start, and one core has enough to do with each test.
    """
    usual = ("--tasks=quality", "--direct_num_workers=1")
    more = [own for own in usual if not any(flag.startswith(own.split("=")[0]) for flag in flags)]
    return [sys.executable, "-m", "pipelines.cli", "scan", str(catalogue), str(output), *more, *flags]


def scan(catalogue: Path | str, output: Path | str, *flags: str, status: int = 0) -> Done:
    """`songscan scan`, launched from this process, which spares its imports; it must end with `status`."""
    arguments = command(catalogue, output, *flags)[3:]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ended = exit_status(main, arguments)
    assert ended == status, f"{ended}\n{out.getvalue()}\n{err.getvalue()}"
    return Done(out.getvalue(), err.getvalue())


def rows(output: Path | str, sql: str) -> list[dict[str, Any]]:
    """The answer of the tables."""
    return tables.connect(str(output)).sql(sql).to_arrow_table().to_pylist()


def last_run(output: Path | str) -> dict[str, Any]:
    """The newest line of `runs`, which must conserve what was listed."""
    (run,) = rows(output, "FROM runs ORDER BY time DESC LIMIT 1")
    assert run["listed"] == sum(run[name] for name in CONSERVED), run
    return run


def catalogue(folder: Path, count: int, duration_s: float = 1.5) -> Path:
    """A folder of so many small tracks, all different."""
    folder.mkdir()
    for number in range(count):
        sound = signals.music(duration_s, 16_000, 1, seed=number)
        signals.write(folder, "wav16", sound, 16_000, stem=f"track{number:03d}")
    return folder
