"""What the pipeline costs over a bare loop of the same functions, what a second worker brings, what memory it takes.

Conventions. Each candidate is a process of its own, timed by the wall clock from start to end, imports included. The
catalogue is links to a dozen made tracks of 4 minutes in seven formats. Memory is anonymous memory (RssAnon) of all
processes of a run together, sampled every 50 ms: what cannot be given back; samples in scratch files are not in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests import signals
from transforms import tables
from transforms.assess import assess
from transforms.catalogue import list_catalogue
from transforms.decode import Limits, decode
from transforms.ledger import plan
from transforms.perform import perform
from transforms.shards import read_shard
from transforms.shares import Share
from transforms.store import write_part
from transforms.tasks import QUALITY
from transforms.write import FLUSH_TRACKS

ROOT = Path(__file__).parents[1]
DOZEN = ("wav16", "flac", "flac", "mp3", "mp3", "mp3", "aac", "aac", "vorbis", "opus", "alac", "flac24")


def make_catalogue(folder: Path, tracks: int, duration_s: float) -> Path:
    """A folder of `tracks` links to a dozen files."""
    made = folder / "made"
    made.mkdir()
    music = folder / "music"
    music.mkdir()
    files = []
    for number, form in enumerate(DOZEN):
        rate_hz = 48_000 if form == "opus" else 44_100
        sound = signals.music(duration_s, rate_hz, 2, seed=number)
        files.append(signals.write(made, form, sound, rate_hz, stem=f"m{number}"))
    for number in range(tracks):
        file = files[number % len(files)]
        os.link(file, music / f"track{number:05d}{file.suffix}")
    return music


def measure(work_s: float = 600.0) -> dict[str, Any]:
    """Wall times of the bare loop, one worker and two, over about `work_s` seconds of the bare loop's work."""
    with tempfile.TemporaryDirectory(prefix="songscan-bench-") as folder:
        root = Path(folder)
        sample = make_catalogue(root, len(DOZEN), 240.0)
        one_dozen_s = bare(sample, root / "sample") - bare(root / "made", root / "empty", most=0)
        tracks = max(len(DOZEN), round(work_s / one_dozen_s * len(DOZEN)))
        for number in range(len(DOZEN), tracks):
            file = sorted((root / "made").iterdir())[number % len(DOZEN)]
            os.link(file, sample / f"track{number:05d}{file.suffix}")
        # First and last in the same way, so that a machine that slows down meanwhile favours neither.
        seconds = {
            "bare": bare(sample, root / "bare"),
            "one": scan(sample, root / "one", "--direct_num_workers=1"),
            "two": scan(sample, root / "two", "--direct_num_workers=2"),
        }
    return {
        "tracks": tracks,
        "audio_hours": tracks * 240 / 3600,
        **{f"{name}_s": value for name, value in seconds.items()},
        "pipeline_over_bare": seconds["one"] / seconds["bare"],
        "one_over_two": seconds["one"] / seconds["two"],
        "times_real_time_two": tracks * 240 / seconds["two"],
    }


def bare(music: Path, output: Path, most: int | None = None) -> float:
    """Wall time of the bare loop in a process of its own, seconds."""
    code = f"import bench.pipeline as b; b.loop({str(music)!r}, {str(output)!r}, {most})"
    return _timed([sys.executable, "-c", code])


def loop(music: str, output: str, most: int | None) -> None:
    """The same functions without a pipeline: list, subtract, decode, assess, write."""
    Path(output, "tables").mkdir(parents=True)
    path = str(Path(output, "plan.parquet"))
    plan(list_catalogue(music), tables.connect(output), [QUALITY], out_path=path)
    dues = [due for shard in Share(path=path).shards for due in read_shard(path, shard)][:most]
    limits, reports = Limits(), []
    with limits.start() as decoder:
        for due in dues:
            recording = perform(decode(due, "bare", decoder, limits), QUALITY, assess)
            recording.close()
            reports.append(recording.report)
            if len(reports) == FLUSH_TRACKS:
                write_part(output, reports, "bare")
                reports = []
    write_part(output, reports, "bare")


def scan(music: Path, output: Path, *flags: str) -> float:
    """Wall time of `songscan scan`, seconds."""
    task = () if any(flag.startswith("--tasks") for flag in flags) else ("--tasks=quality",)
    return _timed([sys.executable, "-m", "pipelines.cli", "scan", str(music), str(output), *task, *flags])


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    # One thread for each worker, or a single worker would take all cores and hide what a second one brings.
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
    environment = {**os.environ, **one}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment)
    return time.perf_counter() - started


#: By task, the lengths of the files whose scan is watched, hours; tags take longer, and memory is the question.
WATCHED = {"quality": (4 / 60, 1.0, 4.0), "tags": (4 / 60, 1.0)}


def measure_memory() -> list[dict[str, Any]]:
    """Peak memory of a scan of one 44.1 kHz stereo FLAC file, one worker: by task, hours, MiB."""
    rows = []
    minute = signals.music(60.0, 44_100, 2, seed=1)
    for task, hours in ((task, hours) for task, lengths in WATCHED.items() for hours in lengths):
        with tempfile.TemporaryDirectory(prefix="songscan-bench-") as folder:
            music = Path(folder, "music")
            music.mkdir()
            _write_long(music / "long.flac", minute, round(hours * 60))
            command = [sys.executable, "-m", "pipelines.cli", "scan", str(music), str(Path(folder, "out"))]
            peak_mib = _peak_mib([*command, f"--tasks={task}", "--direct_num_workers=1"])
            rows.append({"task": task, "hours": hours, "peak_mib": peak_mib})
    return rows


def _write_long(path: Path, minute: np.ndarray[Any, Any], minutes: int) -> None:
    """A minute of music over and over, as a file that never lies in memory whole."""
    import soundfile

    with soundfile.SoundFile(path, "w", 44_100, 2, "PCM_16") as file:
        for _ in range(minutes):
            file.write(minute)


def _peak_mib(command: list[str]) -> float:
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_anonymous_kib, _descendants(process.pid))))
        time.sleep(0.05)
    assert process.returncode == 0
    return peak / 1024


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def _anonymous_kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), 0)
