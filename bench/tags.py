"""What tagging costs: the scan against the published graph called bare, and against the package's own way of use.

Conventions. Speeds are times real time: seconds of audio by seconds of wall clock. One network (MSD), the machine's
cores for every candidate: as two workers of one thread each for the scan, as threads for the bare graph. The scan is
timed from start to end, imports, decoding and resampling included; the bare graph without anything but its calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.pipeline import DOZEN, ROOT, make_catalogue, scan
from models.card import PRETRAINED

MODEL = PRETRAINED / "musicnn-msd" / "1"
TRACK_S = 240.0
PATCH_S = 187 * 256 / 16_000
BATCH = 16


def measure(work_s: float = 400.0) -> dict[str, Any]:
    """Speeds of all candidates over about `work_s` seconds of work each (the bare graph: an eighth, twice)."""
    with tempfile.TemporaryDirectory(prefix="songscan-bench-") as folder:
        root = Path(folder)
        music = make_catalogue(root, len(DOZEN), TRACK_S)
        files = sorted(music.iterdir())
        bare = [_run("bare", files[:1], work_s / 8)]
        tracks = max(len(DOZEN), round(work_s * bare[0] / TRACK_S))
        for number in range(len(DOZEN), tracks):
            file = files[number % len(DOZEN)]
            os.link(file, music / f"track{number:05d}{file.suffix}")
        half = root / "half"
        half.mkdir()
        for path in sorted(music.iterdir())[: tracks // 2]:
            os.link(path, half / path.name)
        flags = ("--tasks=tags", f"--models={MODEL}")
        two = TRACK_S * tracks / scan(music, root / "two", *flags, "--direct_num_workers=2")
        one = TRACK_S * (tracks // 2) / scan(half, root / "one", *flags, "--direct_num_workers=1")
        bare.append(_run("bare", files[:1], work_s / 8))
        package = _run("package", files, work_s / 4)
    graph = sum(bare) / 2
    return {
        "audio_hours": tracks * TRACK_S / 3600,
        "bare_graph_x": graph,
        "scan_two_x": two,
        "scan_one_x": one,
        "package_x": package,
        "scan_over_graph": two / graph,
        "scan_over_package": two / package,
        "two_over_one": two / one,
    }


def _run(name: str, files: list[Path], work_s: float) -> float:
    """Speed of a candidate in a process of its own."""
    arguments = json.dumps([[str(file) for file in files], work_s])
    code = f"import bench.tags as b; print(b.{name}(*{arguments}))"
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, env=quiet)
    return float(done.stdout.splitlines()[-1])


def bare(files: list[str], work_s: float) -> float:
    """The published graph in batches of 16, on features that lie ready."""
    from tests.doubles.musicnn_original import Original, patches

    ready = patches(_loaded(files[0]))
    batch = np.resize(ready, (BATCH, *ready.shape[1:]))
    original = Original("MSD_musicnn")
    original(batch)
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < work_s:
        original(batch)
        calls += 1
    return calls * BATCH * PATCH_S / (time.perf_counter() - started)


def package(files: list[str], work_s: float) -> float:
    """As the package is used: for each file a session, librosa's features, and patches one by one."""
    from tests.doubles.musicnn_original import Original, patches

    _loaded(files[0])  # librosa compiles at its first use
    started, heard_s = time.perf_counter(), 0.0
    while time.perf_counter() - started < work_s:
        sound = _loaded(files[round(heard_s / TRACK_S) % len(files)])
        original = Original("MSD_musicnn")
        for patch in patches(sound, half=True):
            original(patch[None])
        original.close()
        heard_s += TRACK_S
    return heard_s / (time.perf_counter() - started)


def _loaded(file: str) -> np.ndarray[Any, Any]:
    """Mono at 16 kHz, by librosa; what it does not read (AAC, ALAC), by its other door."""
    import librosa

    from models.audio import downmix, read, resample

    if not file.endswith(".m4a"):
        sound, _ = librosa.load(file, sr=16_000)
        return sound
    samples, decoded = read(file)
    return resample(downmix(samples, 1), decoded.info.sample_rate_hz, 16_000)[:, 0]
