"""Clicks and crackle: short disturbances added to the music, as record players and bad connections make them.

Conventions. A shape is float64 [samples], its greatest magnitude 1.0, its first sample not zero. Heights are the peak
of the disturbance against the RMS of the 50 ms of music around it. Disturbances of old records last 20 us to 4 ms, come
singly and at heights over a wide range, and are followed by low-frequency pulses where the stylus was thrown (Godsill
and Rayner, Digital Audio Restoration, 1998, chapters 5 and 7). Music's own peaks stand 10 to 20 dB over its RMS: so a
faint click hides below the peaks, a middle one equals them and is far broader in spectrum than the music, a strong one
is beyond. Crackle is 8, 30 or 120 small clicks a second (Poisson), its heights log-normal by 4 dB.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.degrade.event import Degraded, FloatArray, Rng, apart, between, columns, events_of, factor, level_near, rms
from models.degrade.event import some_channel as draw_channel

Shape = npt.NDArray[np.float64]

CLICK_DB = (8.0, 16.0, 24.0)  #: faint, middle, strong; varied by 3 dB
CRACKLE_DB = (-5.0, 2.0, 9.0)
CRACKLE_PER_S = (8.0, 30.0, 120.0)
CLICKS_PER_S = 0.12  #: on average, beyond the first
MOST_CLICKS = 12
APART_S = 0.08
CRACKLE_JOINS_S = 0.5  #: silence of the crackle that does not end it
TURN_S = 1.8  #: a turn of a record at 33 1/3 a minute


def impulse(rate_hz: int, rng: Rng) -> Shape:
    """One to four samples: a bit error, a bad splice."""
    shape: Shape = rng.uniform(0.3, 1.0, int(rng.integers(1, 5)))
    shape[0] = 1.0
    if rng.random() < 0.5:
        shape[1::2] *= -1
    return shape


def ring(rate_hz: int, rng: Rng) -> Shape:
    """A decaying oscillation of 0.2 to 3 ms: a scratch, as the pickup answers it."""
    frames = max(round(rng.uniform(0.0002, 0.003) * rate_hz), 3)
    hz = min(np.exp(rng.uniform(np.log(800), np.log(12000))), 0.4 * rate_hz)
    t = np.arange(frames)
    return np.asarray(np.exp(-5 * t / frames) * np.cos(2 * np.pi * hz / rate_hz * t + rng.uniform(-1, 1)))


def jump(rate_hz: int, rng: Rng) -> Shape:
    """A step that returns exponentially, as a jump of the offset passes a coupling capacitor."""
    frames = max(round(rng.uniform(0.002, 0.025) * rate_hz), 4)
    return np.asarray(np.exp(-5 * np.arange(frames) / frames))


def pop(rate_hz: int, rng: Rng) -> Shape:
    """A tick, then a pulse of 30 to 200 Hz that fades in 10 to 40 ms: a deep scratch."""
    frames = round(rng.uniform(0.01, 0.04) * rate_hz)
    t = np.arange(frames)
    tail = np.exp(-4 * t / frames) * np.sin(2 * np.pi * rng.uniform(30, 200) / rate_hz * t + rng.uniform(0.3, 1))
    tick = ring(rate_hz, rng)
    shape: Shape = rng.uniform(0.4, 0.9) * tail
    shape[: len(tick)] += tick[:frames]
    return shape


def burst(rate_hz: int, rng: Rng) -> Shape:
    """Noise of 0.1 to 2 ms that decays: dust."""
    frames = max(round(rng.uniform(0.0001, 0.002) * rate_hz), 2)
    return np.asarray(rng.normal(0, 1, frames) * np.exp(-3 * np.arange(frames) / frames))


SHAPES: tuple[Callable[[int, Rng], Shape], ...] = (impulse, ring, jump, pop, burst)


def drawn_shape(shapes: tuple[Callable[[int, Rng], Shape], ...], rate_hz: int, rng: Rng) -> Shape:
    """One of `shapes`, to its peak 1.0, of either polarity, that ends without a step of its own."""
    shape = shapes[rng.integers(len(shapes))](rate_hz, rng)
    if len(shape) > 8:  # what is left at the end would be a second click
        shape = shape * np.minimum(1.0, np.arange(len(shape), 0, -1) / (0.3 * len(shape)))
    if abs(shape[0]) < 1e-3:
        shape[0] = 0.05
    return np.asarray(shape / np.abs(shape).max() * rng.choice([-1.0, 1.0]))


def _add(samples: FloatArray, at: int, shape: Shape, height: float, channel: int | None, rng: Rng) -> tuple[int, int]:
    """Adds a click to `samples` in place; in all channels it is not equally high, and may be of opposite polarity."""
    stop = min(at + len(shape), len(samples))
    width = samples[:, columns(channel)].shape[1]
    gains: Shape = np.ones(width)
    if rng.random() < 0.6:
        gains = np.asarray(rng.uniform(0.4, 1.0, width))
    gains[rng.integers(width)] = 1.0
    if rng.random() < 0.3:  # the vertical motion of a stylus is the difference of left and right
        gains[1::2] *= -1
    clicked = samples[at:stop, columns(channel)] + height * shape[: stop - at, None] * gains
    samples[at:stop, columns(channel)] = np.clip(clicked, -1.0, 1.0)
    return at, stop


def click(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """Clicks of several shapes, one or more, at least APART_S apart; see CLICK_DB."""
    out = samples.copy()
    wanted = min(1 + int(rng.poisson(CLICKS_PER_S * len(samples) / rate_hz)), MOST_CLICKS)
    channel = draw_channel(samples.shape[1], rng)
    spans: list[tuple[int, int]] = []
    for at in rng.integers(0, len(samples) - 8, 4 * wanted).tolist():
        shape = drawn_shape(SHAPES, rate_hz, rng)
        alone = all(abs(at - start) > APART_S * rate_hz for start, _ in spans)
        if alone and len(spans) < wanted:
            height = level_near(samples, at, rate_hz, channel) * factor(strength, *CLICK_DB, rng, 3)
            spans.append(_add(out, at, shape, height, channel, rng))
    return Degraded(samples=out, events=events_of("click", sorted(spans), rate_hz, channel), reference=samples)


def crackle(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """Many small clicks, all along or in a stretch of at least a second, at times denser once a turn of the record."""
    out = samples.copy()
    channel = draw_channel(samples.shape[1], rng, 0.2)
    start, stop = stretch(len(samples), rate_hz, 1.0, rng)
    count = max(int(rng.poisson(between(strength, *CRACKLE_PER_S) * (stop - start) / rate_hz)), 4)
    places = np.sort(rng.integers(start, max(stop - round(0.003 * rate_hz), start + 1), count))
    if rng.random() < 0.3:
        turns = 0.5 + 0.5 * np.cos(2 * np.pi * (places / rate_hz / TURN_S + rng.random()))
        places = places[(rng.random(count) < 0.2 + 0.8 * turns) | (np.arange(count) < 4)]
    spans, whole = [], rms(samples)
    for at in places.tolist():
        shape = drawn_shape((impulse, ring, burst, burst), rate_hz, rng)[: stop - at]
        height = level_near(samples, at, rate_hz, channel, whole) * factor(strength, *CRACKLE_DB, rng, 0)
        spans.append(_add(out, at, shape, height * 10 ** (rng.normal(0, 4) / 20), channel, rng))
    joined = apart(spans, round(CRACKLE_JOINS_S * rate_hz))
    return Degraded(samples=out, events=events_of("crackle", joined, rate_hz, channel), reference=samples)


def stretch(frames: int, rate_hz: int, shortest_s: float, rng: Rng, whole: float = 0.4) -> tuple[int, int]:
    """All frames with the chance `whole`, else a part of at least `shortest_s`, or of half of them if that is less."""
    if rng.random() < whole:
        return 0, frames
    shortest = min(round(shortest_s * rate_hz), frames // 2)
    length = int(rng.integers(shortest, frames))
    start = int(rng.integers(0, frames - length + 1))
    return start, start + length
