"""`songscan doctor`: is everything here that a scan needs?

Conventions. A check yields findings: ok; info (good to know); warn (a scan runs, but something is amiss); fail (it does
not). Each that is amiss says what to do. Checks about the machine are in pipelines/machine.py.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soundfile
from packaging.requirements import Requirement
from rich.console import Console
from rich.text import Text

from models import audio
from models.card import PRETRAINED, ModelError, pretrained, read_card
from models.check import Finding
from pipelines import machine
from pipelines.visible import print_finding
from transforms.child import DecoderProcess
from transforms.errors import SongscanError
from transforms.tasks import BY_MODELS

PYTHON = (3, 11)
LOCK_FILE = Path(__file__).parents[1] / "requirements.lock"
MISMATCHES_SHOWN = 5
#: FFmpeg's decoders for what libsndfile does not read, or not to the end if damaged.
DECODERS = ("mp3float", "aac", "alac", "flac", "vorbis", "opus", "wmav1", "wmav2", "wmapro", "wmalossless", "pcm_s16le")
SNDFILE_FORMATS = ("WAV", "RF64", "AIFF", "FLAC", "OGG")
#: Encoder, sample rate in Hz, and the error that decoding it again may have: rms against the rms of the tone.
SELF_TESTS = {
    "wav": (44100, 1e-4),
    "pcm_s24le": (96000, 1e-6),
    "pcm_f32le": (44100, 1e-7),
    "rf64": (44100, 1e-4),
    "aiff": (44100, 1e-4),
    "flac": (44100, 1e-4),
    "flac24": (96000, 1e-6),
    "alac": (44100, 1e-4),
    "vorbis": (44100, 0.1),
    "opus": (48000, 0.1),
    "mp3": (44100, 0.1),
    "aac": (44100, 0.1),
    "webm": (48000, 0.1),
    "wmav2": (44100, 0.1),
}
LENGTH_SLACK_FRAMES = 4096  # lossy formats that do not tell their length end on a whole packet


def doctor(console: Console, output: str | None = None, *, fast: bool = False) -> int:
    """Prints what is there and what is amiss.

    Args:
        output: where a scan is to write to; looked at if given, never written to.
        fast: leaves out TensorFlow, which takes seconds to import.

    Returns:
        The exit status: 1 if anything fails, else 0.
    """
    worst: set[str] = set()
    for finding in _findings(output, fast):
        worst.add(finding.status)
        print_finding(console, finding)
    said = {"fail": "A scan cannot run here yet.", "warn": "A scan can run here; see the warnings."}
    verdict = next(
        (words for status, words in said.items() if status in worst), "Everything is here that a scan needs."
    )
    console.print(Text(f"\n{verdict}", style="bold"))
    return int("fail" in worst)


def _findings(output: str | None, fast: bool) -> Iterator[Finding]:
    yield from check_python()
    yield from check_packages(LOCK_FILE)
    yield from check_ffmpeg()
    yield from check_sndfile()
    yield from check_formats()
    yield from check_decoder()
    yield from check_models(PRETRAINED)
    if not fast:
        yield from machine.check_tensorflow()
    yield from machine.check_memory_and_cores()
    yield from machine.check_space(output)
    yield from machine.check_credentials()


def check_python() -> Iterator[Finding]:
    """The version that all is pinned for."""
    version = sys.version.split()[0]
    if sys.version_info[:2] == PYTHON:
        yield Finding("ok", f"Python {version}")
    else:
        wanted = ".".join(map(str, PYTHON))
        yield Finding("warn", f"Python {version}; songscan is tested with {wanted}", f"python{wanted} -m venv .venv")


def check_packages(lock_file: Path) -> Iterator[Finding]:
    """What is installed against what is pinned."""
    if not lock_file.exists():
        yield Finding(
            "info", f"no {lock_file.name} here: the installed packages cannot be compared with what is pinned"
        )
        return
    pinned = _pinned(lock_file.read_text(encoding="utf-8"))
    found = {name: _installed(name) for name in pinned}
    amiss = [f"{name} {found[name] or 'missing'} (pinned: {pin})" for name, pin in pinned.items() if found[name] != pin]
    if not amiss:
        yield Finding("ok", f"{len(pinned)} packages, as pinned")
        return
    more = f" and {len(amiss) - MISMATCHES_SHOWN} more" if len(amiss) > MISMATCHES_SHOWN else ""
    words = f"{len(amiss)} of {len(pinned)} packages are not as pinned: {', '.join(amiss[:MISMATCHES_SHOWN])}{more}"
    yield Finding("warn", words, f"pip install --no-deps -r {lock_file}")


def _pinned(text: str) -> dict[str, str]:
    """Versions by name, of the lines that apply to this platform."""
    lines = re.findall(r"^([A-Za-z0-9][^\s#\\]*==[^\\\n]*)", text, re.MULTILINE)
    requirements = [Requirement(line.split(" --hash")[0].strip()) for line in lines]
    applicable = [r for r in requirements if r.marker is None or r.marker.evaluate()]
    return {r.name: str(r.specifier).removeprefix("==") for r in applicable}


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_ffmpeg() -> Iterator[Finding]:
    """FFmpeg's libraries, which PyAV brings, and their decoders."""
    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    missing = [name for name in DECODERS if name not in av.codecs_available]
    words = f"PyAV {av.__version__} (libavcodec {libraries.get('libavcodec', '?')})"
    if missing:
        remedy = "PyAV was built against a reduced FFmpeg; install its wheel: pip install --force-reinstall av"
        yield Finding("fail", f"{words} lacks the decoders {', '.join(missing)}", remedy)
    else:
        yield Finding("ok", f"{words}: {len(DECODERS)} decoders")


def check_sndfile() -> Iterator[Finding]:
    """libsndfile, which soundfile brings, and its formats."""
    missing = [name for name in SNDFILE_FORMATS if name not in soundfile.available_formats()]
    words = f"libsndfile {soundfile.__libsndfile_version__}"
    if missing:
        remedy = "Install soundfile's wheel, which has its own: pip install --force-reinstall soundfile"
        yield Finding("fail", f"{words} lacks {', '.join(missing)}", remedy)
    else:
        yield Finding("ok", f"{words}: {', '.join(SNDFILE_FORMATS)}")


def check_formats() -> Iterator[Finding]:
    """A tone encoded to each format, decoded again and compared."""
    failures = {}
    with tempfile.TemporaryDirectory(prefix="songscan-doctor-") as folder:
        for codec, (rate_hz, tolerance) in SELF_TESTS.items():
            failures[codec] = _round_trip(os.path.join(folder, codec), codec, rate_hz, tolerance)
    for codec, words in failures.items():
        if words:
            remedy = "The decoding libraries are broken or reduced: pip install --force-reinstall av soundfile"
            yield Finding("fail", f"decoding of {codec}: {words}", remedy)
    good = [codec for codec, words in failures.items() if not words]
    yield Finding("ok", f"decoding tested: {', '.join(good)}")


def _round_trip(path: str, codec: str, rate_hz: int, tolerance: float) -> str | None:
    """What is wrong with the samples that come back, or None."""
    tone = _tone(rate_hz)
    try:
        audio.encode(path, tone, rate_hz, codec=codec)
        back, _ = audio.read(path)
    except (audio.AudioError, OSError, ValueError) as error:
        return str(error)
    frames = min(len(back), len(tone))
    if back.shape[1] != tone.shape[1] or abs(len(back) - len(tone)) > LENGTH_SLACK_FRAMES:
        return f"{tone.shape} samples went in, {back.shape} came back"
    off = float(np.sqrt(np.mean((back[:frames] - tone[:frames]) ** 2) / np.mean(tone**2)))
    return None if off <= tolerance else f"the error is {off:.2g} of the signal, at most {tolerance:g} is expected"


def _tone(rate_hz: int) -> audio.FloatArray:
    """Half a second, stereo, faded in and out: [frames, 2]."""
    time_s = np.arange(rate_hz // 2) / rate_hz
    fade = np.minimum(1, 20 * np.minimum(time_s, 0.5 - time_s))
    return np.stack([0.5 * fade * np.sin(2 * np.pi * hz * time_s) for hz in (440, 660)], axis=1).astype(np.float32)


def check_models(root: Path) -> Iterator[Finding]:
    """The models that ship or were built here, and whether every task that needs one has one."""
    try:
        cards = [read_card(folder) for folder in pretrained(root)]
    except ModelError as error:
        yield Finding("fail", error.message, error.advice)
        return
    lacking = [task for task in BY_MODELS if all(card.task != task for card in cards)]
    if lacking:
        remedy = "make setup builds those that songscan knows; --models=FOLDER uses one of your own"
        yield Finding("warn", f"no model for the task {', '.join(lacking)}: scan with other --tasks", remedy)
    else:
        yield Finding("ok", f"models: {', '.join(f'{card.name} {card.version}' for card in cards)}")


def check_decoder() -> Iterator[Finding]:
    """The child process that decodes."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="songscan-doctor-") as folder, DecoderProcess() as decoder:
        path = os.path.join(folder, "tone.wav")
        tone = _tone(44100)
        audio.encode(path, tone, 44100, codec="wav")
        try:
            with decoder.decode(path) as scratch:
                frames = scratch.frames
        except SongscanError as error:
            yield Finding("fail", f"the decoder process does not work: {error.message}", error.advice)
            return
    if frames == len(tone):
        yield Finding("ok", f"the decoder process starts and decodes ({time.perf_counter() - started:.1f} s)")
    else:
        yield Finding(
            "fail", f"the decoder process gave {frames} samples of {len(tone)}", "pip install --force-reinstall av"
        )
