"""The programs that songs are made with, fluidsynth and espeak-ng, and what is said where they are missing.

Conventions. A program runs quietly, with its own words told only if it fails.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Where Debian, Fedora and Arch put FluidR3 (MIT licence), the sound font that levels here were chosen with.
SOUND_FONTS = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    Path("/usr/share/soundfonts/FluidR3_GM.sf2"),
)
DEBIAN = {"fluidsynth": "fluidsynth fluid-soundfont-gm", "espeak-ng": "espeak-ng"}
LONGEST_S = 300.0


class SynthesisError(Exception):
    """A song cannot be made: what is wrong, and what to do about it."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message, advice)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}"


def check_tools() -> None:
    """Sees that both programs, the sound font and the Python packages are here.

    Raises:
        SynthesisError: naming what is missing and the command that installs it.
    """
    for name in DEBIAN:
        program(name)
    sound_font()
    for name in ("mido", "pyworld"):
        package(name)


def program(name: str) -> str:
    """The path of fluidsynth or espeak-ng. Raises SynthesisError if it is not installed."""
    found = shutil.which(name)
    if found is None:
        raise SynthesisError(f"{name} is not installed", f"On Debian: apt-get install {DEBIAN[name]}")
    return found


def sound_font() -> Path:
    """The General MIDI sound font. Raises SynthesisError if it is not installed."""
    for path in SOUND_FONTS:
        if path.exists():
            return path
    raise SynthesisError(f"there is no sound font at {SOUND_FONTS[0]}", "On Debian: apt-get install fluid-soundfont-gm")


def package(name: str) -> Any:
    """A package of the extra `training`, imported when it is needed. Raises SynthesisError if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pyworld asks for pkg_resources, which says it is deprecated
            return importlib.import_module(name)
    except ImportError as error:
        raise SynthesisError(f"{name} is not installed: {error}", "pip install 'songscan[training]'") from error


def run(command: Sequence[str]) -> None:
    """Runs a program to its end. Raises SynthesisError, with the last it said, if it fails or takes minutes."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SynthesisError(f"{command[0]} took over {LONGEST_S:.0f} s", "Is the machine short of memory?") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise SynthesisError(f"{command[0]} failed with {done.returncode}, saying {said[0]!r}", " ".join(command))
