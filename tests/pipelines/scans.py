"""Scans for tests: real processes, small catalogues."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import signals
from transforms import tables

ROOT = Path(__file__).parents[2]
CONSERVED = ("not_audio", "up_to_date", "withheld", "written", "dead_lettered")


def command(catalogue: Path | str, output: Path | str, *flags: str) -> list[str]:
    """Of a scan for `quality`, which needs no TensorFlow to start, unless `flags` name other tasks."""
    task = [] if any(flag.startswith("--tasks") for flag in flags) else ["--tasks=quality"]
    return [sys.executable, "-m", "pipelines.cli", "scan", str(catalogue), str(output), *task, *flags]


def scan(catalogue: Path | str, output: Path | str, *flags: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs `songscan scan` to its end; it must end with `status`, and count every entry once."""
    done = subprocess.run(command(catalogue, output, *flags), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


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
