"""Measures everything and writes bench/RESULTS.md; `python -m bench NAME ...` measures some and prints them.

Everything is a ratio of things measured in one run, since machines are noisy; seconds stand beside for the reader.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import decode, ledger, pipeline, separation, tags
from bench.table import table

RESULTS = Path(__file__).with_name("RESULTS.md")


def _decoding() -> str:
    """Processor time against the faster of libsndfile and PyAV called bare (goal: at most 1.1), and librosa.load."""
    return table(decode.measure())


def _child() -> str:
    """The decoder process: processor time over decoding in-process, 200 files (goal: at most 3 % more)."""
    return table([decode.measure_child()])


def _pipeline() -> str:
    """The pipeline against a bare loop of the same functions (goal: at most 1.05), and two workers against one."""
    return table([pipeline.measure()])


def _memory() -> str:
    """Peak anonymous memory of all processes of a scan of one file, by its length (goal: flat)."""
    return table(pipeline.measure_memory())


def _ledger() -> str:
    """Listing and subtracting a ledger of 1,000,000 tracks (goal: under 60 s and 2 GiB on 2 cores)."""
    found = ledger.measure()
    tracks = found.pop("tracks")
    return table([{"tracks": tracks, "ledger": name, **row} for name, row in found.items()])


def _tags() -> str:
    """Tags by one network, times real time: the scan, all included, against the published graph called bare in batches
    of 16 (goal: at least as fast), and against a session per file with librosa's features (goal: 3 times).

    On CPUs; the GPU path is untested on a GPU.
    """
    return table([tags.measure()])


def _separation() -> str:
    """Voice and accompaniment of stereo at 44.1 kHz, times real time of two processes of one thread: FLAC to two FLAC,
    against the published Spleeter network (two stems, random weights) within the same frame (goal: at least as fast).

    On CPUs; what the stems are worth is scored by bench.separation_mir1k and bench.separation_songs.
    """
    return table(separation.measure())


SECTIONS: dict[str, Callable[[], str]] = {
    "decoding": _decoding,
    "child": _child,
    "pipeline": _pipeline,
    "memory": _memory,
    "ledger": _ledger,
    "tags": _tags,
    "separation": _separation,
}


def main(names: Sequence[str]) -> None:
    """Measures the sections named, or all and writes them down."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    text = [f"# Measured\n\n{datetime.now(UTC):%Y-%m-%d}, {cpu}, Python {platform.python_version()}: `make bench`."]
    for name in names or SECTIONS:
        text.append(f"## {name}\n\n{SECTIONS[name].__doc__}\n\n{SECTIONS[name]()}")
        print(text[-1], flush=True)
    if not names:
        RESULTS.write_text("\n\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
