"""How fast files become samples: per format against the bare libraries, and through the child against in-process.

Conventions. Speeds are multiples of real time: seconds of audio per second of processor time of one thread, the best of
several rounds in which the candidates take turns. `ratio` is songscan's time over that of the faster bare library.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import audioread.exceptions  # type: ignore[import-untyped]
import av
import librosa
import numpy as np
import soundfile

from models import audio
from tests import signals
from transforms.child import DecoderProcess
from transforms.decoder import hash_file

MEASURED = ("wav16", "wav24", "wavfloat", "aiff", "flac", "alac", "mp3", "vorbis", "opus", "webm", "aac", "wma")
ROUNDS = 5
DOZEN = ("mp3", "mp3", "mp3", "mp3", "aac", "aac", "flac", "flac", "vorbis", "opus", "wav16", "alac")


def measure(duration_s: float = 240.0) -> list[dict[str, Any]]:
    """A row per format: times real time of songscan and the others (None: cannot read); ratio (goal: 1.1)."""
    candidates = {"songscan": _songscan, "libsndfile": _libsndfile, "pyav": _pyav, "librosa": _librosa}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in MEASURED:
            rate_hz = 48000 if name in ("opus", "webm") else 44100
            path = _write(Path(folder), name, duration_s, rate_hz)
            seconds = _fastest(candidates, path)
            bare_s = min(s for s in (seconds["libsndfile"], seconds["pyav"]) if s is not None)
            speeds = {f"{key}_x": None if s is None else duration_s / s for key, s in seconds.items()}
            rows.append({"format": name, **speeds, "ratio": (seconds["songscan"] or 0.0) / bare_s})
            path.unlink()
    return rows


def _fastest(candidates: Mapping[str, Callable[[str], object]], path: Path) -> dict[str, float | None]:
    seconds: dict[str, list[float]] = {key: [] for key in candidates}
    for key, candidate in [*candidates.items()] * ROUNDS:
        try:
            start = time.process_time()
            candidate(str(path))
            seconds[key].append(time.process_time() - start)
        except (soundfile.LibsndfileError, audioread.exceptions.DecodeError):
            pass  # it cannot read this format
    return {key: min(each, default=None) for key, each in seconds.items()}


def _songscan(path: str) -> None:
    audio.decode(path, len)


def _libsndfile(path: str) -> None:
    soundfile.read(path, dtype="float32", always_2d=True)


def _pyav(path: str) -> None:
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray()
            if samples.dtype != np.float32:
                samples.astype(np.float32)  # what all others give


def _librosa(path: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it falls back to
        librosa.load(path, sr=None, mono=False)


def measure_child(files: int = 200) -> dict[str, Any]:
    """Processor time of token and samples of `files` files, a dozen over and over: through the child and in-process.

    `overhead` (goal: 0.03) is over hashing and decoding into memory in-process; for `overhead_read` the parent also
    reads all blocks; `start_s` is what starting the child costs once.
    """
    buffer = np.ones(260 * 48000 * 2, np.float32)  # longer than any of the dozen, its pages in place
    with tempfile.TemporaryDirectory() as folder:
        paths = [_write(Path(folder), f, 60 + 16 * i, 44100 if f != "opus" else 48000, i) for i, f in enumerate(DOZEN)]
        with DecoderProcess(scratch_dir=folder) as decoder:
            decoder.probe(paths[0])
            start_s = _child_s(decoder)
            costs = [_one_file(decoder, paths[i % len(paths)], buffer, i % 2 == 0) for i in range(files)]
    here_s, child_s, read_s = (sum(column) for column in zip(*costs, strict=True))
    return {
        "files": files,
        "in_process_s": here_s,
        "child_s": child_s,
        "overhead": child_s / here_s - 1,
        "overhead_read": (child_s + read_s) / here_s - 1,
        "start_s": start_s,
    }


def _one_file(decoder: DecoderProcess, path: Path, buffer: np.ndarray, here_first: bool) -> tuple[float, float, float]:
    """Processor seconds in-process, through the child, and of reading the samples from the scratch file."""
    here_s = _in_process_s(path, buffer) if here_first else 0.0
    before_s = _both_s(decoder)
    decoder.token(path)
    with decoder.decode(path) as scratch:
        child_s = _both_s(decoder) - before_s
        start_s = time.process_time()
        for _ in scratch.blocks(scratch.sample_rate_hz):
            pass
        read_s = time.process_time() - start_s
    return here_s or _in_process_s(path, buffer), child_s, read_s


def _in_process_s(path: Path, buffer: np.ndarray) -> float:
    """`buffer` is used again for each file: the cheapest that decoding into memory can be."""
    start_s = time.process_time()
    with path.open("rb") as file:
        hash_file(None, {}, [file.fileno()])  # type: ignore[arg-type]
    filled = 0

    def keep(block: np.ndarray) -> None:
        nonlocal filled
        buffer[filled : filled + block.size] = block.ravel()
        filled += block.size

    audio.decode(path, keep)
    return time.process_time() - start_s


def _both_s(decoder: DecoderProcess) -> float:
    return time.process_time() + _child_s(decoder)


def _child_s(decoder: DecoderProcess) -> float:
    """Processor time of the child, to the nanosecond (/proc/PID/stat counts hundredths of a second)."""
    assert decoder._child is not None
    return int(Path(f"/proc/{decoder._child.process.pid}/schedstat").read_text().split()[0]) / 1e9


def _write(folder: Path, name: str, duration_s: float, sample_rate_hz: int, seed: int = 0) -> Path:
    ten_s = signals.music(10.0, sample_rate_hz, seed=seed)
    samples = np.resize(ten_s, (round(duration_s * sample_rate_hz), 2))
    return signals.write(folder, name, samples, sample_rate_hz, stem=f"{name}{seed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration_s", type=float, default=240.0)
    parser.add_argument("--files", type=int, default=200)
    arguments = parser.parse_args()
    for row in measure(arguments.duration_s):
        print(
            "  ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
            )
        )
    for key, value in measure_child(arguments.files).items():
        print(f"{key} {value:.4g}")


if __name__ == "__main__":
    main()
