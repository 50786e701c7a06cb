"""A drummer: patterns on the sixteenths of a bar, with fills and crashes.

Conventions. A pattern has 16 characters, one a sixteenth: `x` is a stroke, `o` a soft one, `.` none. Pitches are those
of General MIDI's drum map. Beats come four to a bar, the first of them beginning one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.synthesis.meter import BEATS_PER_BAR
from models.synthesis.score import Note

KICK, RIM, SNARE, CLAP, CLOSED, PEDAL, OPEN, CRASH, RIDE = 36, 37, 38, 39, 42, 44, 46, 49, 51
TAMBOURINE, SHAKER, HIGH_CONGA, LOW_CONGA = 54, 82, 63, 64
TOMS = (50, 48, 47, 45, 43, 41)
STROKES = {"x": 96, "o": 52}
STROKE_S = 0.1  # drums ring as long as they ring
STEPS = 16

STYLES: dict[str, dict[int, str]] = {
    "pop": {KICK: "x.......x.x.....", SNARE: "....x.......x...", CLOSED: "x.o.x.o.x.o.x.o."},
    "ballad": {KICK: "x.........x.....", RIM: "....x.......x...", CLOSED: "x...o...x...o..."},
    "rock": {KICK: "x..x....x.xx....", SNARE: "....x..o....x...", OPEN: "x.x.x.x.x.x.x.x."},
    "disco": {
        KICK: "x...x...x...x...",
        SNARE: "....x.......x...",
        CLOSED: "x.o.x.o.x.o.x.o.",
        OPEN: "..x...x...x...x.",
    },
    "half time": {KICK: "x.....x.........", SNARE: "........x.......", CLOSED: "xoxoxoxoxoxoxoxo"},
    "ride": {KICK: "x.......x..x....", SNARE: "....x..o.o..x...", RIDE: "x...x.x.x...x.x."},
    "bossa": {KICK: "x..xx..xx..xx..x", RIM: "x..x..x...x..x..", SHAKER: "xoxoxoxoxoxoxoxo"},
    "hip hop": {KICK: "x..x..x...x.....", CLAP: "....x.......x...", CLOSED: "x.x.xoxxx.x.x.oo"},
    "shuffle": {KICK: "x.......x.......", SNARE: "....x.......x...", CLOSED: "x..ox..ox..ox..o"},
    "congas": {LOW_CONGA: "x.....x.x.....xx", HIGH_CONGA: "..o.x.o...o.x.o.", SHAKER: "x.o.x.o.x.o.x.o."},
}
KITS = (0, 0, 0, 8, 16, 24, 25, 32, 40)  #: standard, room, power, electronic, TR-808, jazz, brush
EXTRAS = {TAMBOURINE: "....x.......x...", SHAKER: "xoxoxoxoxoxoxoxo", PEDAL: "....x.......x..."}


@dataclass(frozen=True, kw_only=True)
class Groove:
    """How a drummer plays a song."""

    style: str
    extra: int | None  #: of EXTRAS, or none
    fill_bars: int  #: a fill ends every so many bars
    enters_bar: int  #: silent before
    looseness_s: float  #: standard deviation of strokes from their time


def draw_groove(rng: np.random.Generator) -> Groove:
    """A manner of playing, by chance."""
    return Groove(
        style=str(rng.choice(list(STYLES))),
        extra=int(rng.choice(list(EXTRAS))) if rng.random() < 0.35 else None,
        fill_bars=int(rng.choice([4, 8])),
        enters_bar=int(rng.choice([0, 0, 0, 2, 4])),
        looseness_s=float(rng.uniform(0.0, 0.009)),
    )


def drum_notes(beats_s: Sequence[float], groove: Groove, rng: np.random.Generator) -> tuple[Note, ...]:
    """The strokes over `beats_s`; the last, unfinished bar is left out."""
    steps_s = np.interp(np.arange((len(beats_s) - 1) * 4) / 4, np.arange(len(beats_s)), np.asarray(beats_s, np.float64))
    notes: list[Note] = []
    for bar in range(groove.enters_bar, len(steps_s) // STEPS):
        in_bar_s = steps_s[bar * STEPS : (bar + 1) * STEPS]
        strokes = _strokes(bar, groove, rng)
        notes += (_note(in_bar_s[step], pitch, velocity, groove, rng) for step, pitch, velocity in strokes)
    return tuple(sorted(notes))


def _strokes(bar: int, groove: Groove, rng: np.random.Generator) -> Iterator[tuple[int, int, float]]:
    """Step, pitch and velocity of what is played in a bar."""
    fills = (bar + 1) % groove.fill_bars == 0
    from_step = int(rng.choice([8, 12, 14])) if fills else STEPS
    patterns = {**STYLES[groove.style], **({groove.extra: EXTRAS[groove.extra]} if groove.extra else {})}
    for pitch, pattern in patterns.items():
        yield from ((step, pitch, STROKES[mark]) for step, mark in enumerate(pattern[:from_step]) if mark in STROKES)
    if fills:
        yield from _fill(from_step, rng)
    elif bar % groove.fill_bars == 0 and rng.random() < 0.7:
        yield 0, CRASH, 100.0


def _fill(from_step: int, rng: np.random.Generator) -> Iterator[tuple[int, int, float]]:
    """Round the toms, from high to low, louder to the end."""
    steps = [step for step in range(from_step, STEPS) if rng.random() < 0.85]
    drums = sorted(rng.choice([SNARE, *TOMS], len(steps)), reverse=True)
    for index, (step, pitch) in enumerate(zip(steps, drums, strict=True)):
        yield step, int(pitch), 80.0 + 30.0 * index / max(len(steps), BEATS_PER_BAR)


def _note(time_s: float, pitch: int, velocity: float, groove: Groove, rng: np.random.Generator) -> Note:
    start_s = max(float(time_s + rng.normal(0, groove.looseness_s)), 0.0)
    return Note(start_s, start_s + STROKE_S, pitch, int(np.clip(velocity + rng.normal(0, 6), 1, 127)))
