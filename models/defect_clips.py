"""Clips to train and try a defect detector with: clean music, what only sounds defective, and defects.

Conventions. Clips are float32 [frames, channels] at one rate, full scale +-1.0. A clip is drawn from files: an excerpt
at a random level, of stereo files at times the left, the right or the mean alone (in mir1k these are the accompaniment,
the voice and the mixture). An excerpt is cut out of music, so its ends are faded over FADE_S before anything is done to
it: otherwise every clip would have an abrupt edge. Then it is left clean, made a hard negative, or given one or two
defects; of two, one that moves what follows comes first, so that the events of both hold. What is drawn depends on the
generator alone. Splits are by file: `files_in` takes a pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models import audio
from models.degrade import NAMES, STRENGTHS, Degraded, Event, degrade
from models.degrade.event import FloatArray, Rng
from models.degrade.negatives import NEGATIVES, negative

EXTENSIONS = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus")
FADE_S = 0.03
LONGER = 1.7  #: so much is taken, for skips and cut edges shorten it
MOVING = frozenset({"stutter", "skip", "speed_jump", "abrupt_edge", "codec_damage"})
QUIETEST = 10 ** (-50 / 20)  #: RMS of an excerpt worth taking
TRIES = 20


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What clips are made of.

    Args:
        clean: share of clips left as they are.
        negative: share of those that only sound defective; the rest has a defect.
        second: chance of a second defect, or of a defect in a hard negative.
        strengths: the least and the greatest, drawn uniformly; equal for an evaluation.
    """

    seconds: float = 10.0
    rate_hz: int = 44100
    clean: float = 0.2
    negative: float = 0.15
    second: float = 0.2
    names: tuple[str, ...] = NAMES
    strengths: tuple[float, float] = (STRENGTHS["faint"], 1.0)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip, and all that is known of it. `names` is the weak label: what it contains, not where."""

    samples: FloatArray
    rate_hz: int
    events: tuple[Event, ...]
    negative: str | None
    strength: float

    @property
    def names(self) -> tuple[str, ...]:
        """The defects in it, each once."""
        return tuple(sorted({event.name for event in self.events}))


def files_in(folder: Path, pattern: str = "**/*") -> tuple[Path, ...]:
    """The audio files of a folder, in order of name. Raises ValueError if there is none."""
    found = tuple(sorted(path for path in folder.glob(pattern) if path.suffix.lower() in EXTENSIONS))
    if not found:
        raise ValueError(f"{folder} holds no audio that fits {pattern!r}; {', '.join(EXTENSIONS)} are looked for")
    return found


def excerpt(samples: FloatArray, rate_hz: int, seconds: float, rng: Rng) -> FloatArray:
    """A stretch of `seconds` (or all), of one side, the mean or both channels, at -30 to -9 dBFS, its ends faded.

    Raises:
        ValueError: if TRIES stretches were all but silent.
    """
    frames = min(round(seconds * rate_hz), len(samples))
    for _ in range(TRIES):
        start = int(rng.integers(0, len(samples) - frames + 1))
        taken = _sides(samples[start : start + frames], rng)
        level = float(np.sqrt(np.mean(np.square(taken, dtype=np.float64))))
        if level >= QUIETEST:
            break
    else:
        raise ValueError(f"{TRIES} stretches of {frames} frames lie below -50 dBFS: is the file silent?")
    gain = min(10 ** (rng.uniform(-30, -9) / 20) / level, 0.99 / float(np.abs(taken).max()))
    fade = max(round(FADE_S * rate_hz), 1)
    rise = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))[:, None] ** 2
    out = np.array(taken * np.float32(gain), np.float32)
    out[:fade] *= rise
    out[-fade:] *= rise[::-1]
    return out


def _sides(samples: FloatArray, rng: Rng) -> FloatArray:
    if samples.shape[1] != 2 or rng.random() < 0.6:
        return samples
    side = int(rng.integers(3))
    return samples.mean(axis=1, keepdims=True) if side == 2 else samples[:, side : side + 1]


def draw(files: Sequence[Path], recipe: Recipe, rng: Rng) -> Clip:
    """One clip, from one of `files`.

    Raises:
        models.formats.AudioError: if the file drawn cannot be decoded.
    """
    path = files[int(rng.integers(len(files)))]
    samples, decoded = audio.read(path)
    samples = audio.resample(samples, decoded.info.sample_rate_hz, recipe.rate_hz)
    return made(excerpt(samples, recipe.rate_hz, LONGER * recipe.seconds, rng), recipe, rng)


def made(clean: FloatArray, recipe: Recipe, rng: Rng) -> Clip:
    """A clip from clean samples [frames, channels] at the recipe's rate, at least a second of them."""
    strength, chance, effect = float(rng.uniform(*recipe.strengths)), rng.random(), None
    if recipe.clean <= chance < recipe.clean + recipe.negative:
        effect = str(rng.choice([*NEGATIVES]))
        clean = negative(clean, recipe.rate_hz, effect, rng)
    names = [name for name in recipe.names if clean.shape[1] > 1 or name != "channel_fault"]
    wanted = 0 if chance < recipe.clean or not names else int(effect is None) + int(rng.random() < recipe.second)
    chosen = [names[i] for i in rng.permutation(len(names))[:wanted]]
    while sum(name in MOVING for name in chosen) > 1:
        chosen.pop()
    found = Degraded(samples=clean, events=(), reference=clean)
    for name in sorted(chosen, key=lambda name: name not in MOVING):
        more = degrade(found.samples, recipe.rate_hz, name, strength, rng)
        found = replace(more, events=tuple(sorted((*found.events, *more.events), key=lambda e: e.start_s)))
    samples, events = window(found, recipe.rate_hz, round(recipe.seconds * recipe.rate_hz), rng)
    return Clip(samples=samples, rate_hz=recipe.rate_hz, events=events, negative=effect, strength=strength)


def window(found: Degraded, rate_hz: int, frames: int, rng: Rng) -> tuple[FloatArray, tuple[Event, ...]]:
    """`frames` frames with one of the events at least in part, and the events in them; shorter if there are no more.

    An edge of the recording that is cut off stays an edge of the clip; other ends are ends of a window.
    """
    last = max(len(found.samples) - frames, 0)
    start = int(rng.integers(0, last + 1))
    if found.events:
        event = found.events[int(rng.integers(len(found.events)))]
        begin, end = round(event.start_s * rate_hz), round(event.end_s * rate_hz)
        lowest, highest = max(min(end - frames, begin - frames + frames // 10), 0), min(begin, last)
        start = int(rng.integers(min(lowest, highest), highest + 1))
        if event.name == "abrupt_edge":
            start = 0 if event.start_s == 0 else last
    stop = min(start + frames, len(found.samples))
    shifted = (
        replace(
            event,
            start_s=max(event.start_s - start / rate_hz, 0.0),
            end_s=min(event.end_s, stop / rate_hz) - start / rate_hz,
        )
        for event in found.events
    )
    kept = tuple(event for event in shifted if event.end_s > event.start_s)
    return np.ascontiguousarray(found.samples[start:stop]), kept
