"""Instruments and noises that a detector may take for defects: the sounds behind `negatives`.

Conventions. Every sound is float64 [frames], at any level, made from the number of frames, the rate and a generator.
What is played is in tempo: `beat_s` gives the beat. Oscillators are sums of harmonics below 0.45 of the rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import signal

from models.degrade.event import Rng

Sound = npt.NDArray[np.float64]


def beat_s(rng: Rng) -> float:
    """A beat of 70 to 160 a minute."""
    return 60.0 / float(rng.uniform(70, 160))


def low_pass(samples: npt.NDArray[np.floating], hz: float, rate_hz: int) -> Sound:
    """Butterworth, fourth order, along the first axis; nothing is done from 0.45 of the rate on."""
    if hz >= 0.45 * rate_hz:
        return np.asarray(samples, np.float64)
    return np.asarray(signal.sosfilt(signal.butter(4, hz, fs=rate_hz, output="sos"), samples, axis=0))


def cabinet(samples: npt.NDArray[np.floating], rate_hz: int, rng: Rng) -> Sound:
    """A guitar loudspeaker: 90 Hz to 3.5 or 6 kHz."""
    high = signal.butter(2, 90, "highpass", fs=rate_hz, output="sos")
    return low_pass(signal.sosfilt(high, samples, axis=0), rng.uniform(3000, 6000), rate_hz)


def strokes(frames: int, rate_hz: int, rng: Rng, divisions: int, chance: float) -> Iterator[int]:
    """Where strokes fall: on a rhythm of a bar (16 steps of a beat's `divisions`) that repeats, a little loosely."""
    step = beat_s(rng) * rate_hz / divisions
    rhythm = rng.random(4 * divisions) < chance
    rhythm[0] = True
    first = rng.uniform(0, step)
    for index in range(int((frames - first) / step)):
        if rhythm[index % len(rhythm)]:
            at = round(first + index * step + rng.normal(0, 0.001) * rate_hz)
            if 0 <= at < frames - 64:
                yield at


def _put(out: Sound, at: int, sound: Sound) -> None:
    stop = min(at + len(sound), len(out))
    out[at:stop] += sound[: stop - at]


def clicks_on_beat(frames: int, rate_hz: int, rng: Rng) -> Sound:
    """A record's click or a metronome as percussion: the same sample of 1 to 8 ms on every stroke."""
    t = np.arange(round(rng.uniform(0.001, 0.008) * rate_hz)) / rate_hz
    hz = min(rng.uniform(600, 6000), 0.4 * rate_hz)
    click = np.exp(-t * rng.uniform(600, 3000)) * np.cos(2 * np.pi * hz * t) * (1 - t / (t[-1] + 1 / rate_hz))
    out = np.zeros(frames)
    for at in strokes(frames, rate_hz, rng, int(rng.choice([1, 2, 4])), 0.6):
        _put(out, at, click * rng.uniform(0.8, 1))
    return out


def gated_drums(frames: int, rate_hz: int, rng: Rng) -> Sound:
    """Snares of noise with a long room, cut hard by a gate after 80 to 250 ms."""
    length = round(rng.uniform(0.08, 0.25) * rate_hz)
    t = np.arange(length) / rate_hz
    out = np.zeros(frames)
    for at in strokes(frames, rate_hz, rng, 2, 0.35):
        body = np.sin(2 * np.pi * 190 * t) * np.exp(-t * 30)
        hit = rng.normal(0, 1, length) * (0.5 + 0.5 * np.exp(-t * 20)) + body
        hit[-max(rate_hz // 1000, 1) :] *= np.linspace(1, 0, max(rate_hz // 1000, 1))
        _put(out, at, hit)
    return low_pass(out, rng.uniform(5000, 16000), rate_hz)


def oscillator(hz: float, seconds: Sound, kind: str, highest_hz: float) -> Sound:
    """A square or sawtooth of harmonics up to `highest_hz`."""
    harmonics = np.arange(1, max(int(highest_hz / hz), 1) + 1)
    harmonics = harmonics[::2] if kind == "square" else harmonics
    out = np.zeros(len(seconds))
    for harmonic in harmonics[:80]:
        out += np.sin(2 * np.pi * harmonic * hz * seconds) / harmonic
    return out


def notes(frames: int, rate_hz: int, rng: Rng, lowest: int, highest: int) -> Iterator[tuple[int, float, Sound]]:
    """Notes of a minor scale: where they begin, their frequency, and their times in seconds."""
    scale = [n for n in range(lowest, highest + 1) if n % 12 in (9, 11, 0, 2, 4, 5, 7)]
    starts = [*strokes(frames, rate_hz, rng, 2, 0.5), frames]
    for at, then in pairwise(starts):
        seconds = np.arange(min(max(then - at, 64), 2 * rate_hz)) / rate_hz
        yield at, 440.0 * 2 ** ((int(rng.choice(scale)) - 69) / 12), seconds


def _shaped(sound: Sound, rate_hz: int, decay_per_s: float) -> Sound:
    t = np.arange(len(sound)) / rate_hz
    edges = np.minimum(1, np.minimum(t / 0.004, (t[-1] - t) / 0.008))
    return np.asarray(sound * np.exp(-decay_per_s * t) * edges)


def guitar(frames: int, rate_hz: int, rng: Rng) -> Sound:
    """Fifths through tanh and a loudspeaker."""
    out, drive = np.zeros(frames), rng.uniform(3, 20)
    for at, hz, t in notes(frames, rate_hz, rng, 40, 57):
        both = oscillator(hz, t, "saw", 0.2 * rate_hz) + oscillator(1.5 * hz, t, "saw", 0.2 * rate_hz)
        _put(out, at, _shaped(np.tanh(drive * both * np.exp(-1.5 * t)), rate_hz, 0.5))
    return cabinet(out, rate_hz, rng)


def kick(frames: int, rate_hz: int, rng: Rng) -> Sound:
    """A drum machine's: a sine falling to 40 to 60 Hz, its beginning a click, its end long."""
    t = np.arange(round(rng.uniform(0.2, 0.9) * rate_hz)) / rate_hz
    hz = rng.uniform(40, 60) + rng.uniform(100, 400) * np.exp(-t * rng.uniform(30, 80))
    drum = np.sin(2 * np.pi * np.cumsum(hz) / rate_hz) * np.exp(-t * rng.uniform(3, 8))
    drum += rng.uniform(0.1, 0.6) * np.exp(-t * 1500) * rng.normal(0, 1, len(t))
    out = np.zeros(frames)
    for at in strokes(frames, rate_hz, rng, 2, 0.4):
        _put(out, at, _shaped(drum, rate_hz, 0.0))
    return out


def synth_bass(frames: int, rate_hz: int, rng: Rng) -> Sound:
    """Square or sawtooth basses, some at 49 to 62 Hz for long, as hum is."""
    out, kind = np.zeros(frames), str(rng.choice(["square", "saw"]))
    for at, hz, t in notes(frames, rate_hz, rng, 29, 50):
        _put(out, at, _shaped(oscillator(hz, t, kind, min(0.45 * rate_hz, 9000.0)), rate_hz, rng.uniform(0, 3)))
    return low_pass(out, rng.uniform(300, 6000), rate_hz)


def crushed_line(frames: int, rate_hz: int, rng: Rng) -> Sound:
    """A line of a bit-crushed or vocoded synthesiser."""
    out = np.zeros(frames)
    for at, hz, t in notes(frames, rate_hz, rng, 48, 76):
        tone = oscillator(hz, t, "square", 0.3 * rate_hz)
        if rng.random() < 0.5:
            tone = tone * (0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(4, 16) * t))
        _put(out, at, _shaped(tone, rate_hz, rng.uniform(0, 4)))
    steps = 2.0 ** int(rng.integers(2, 5))
    return np.asarray(np.round(out * steps) / steps)


def castanets(frames: int, rate_hz: int, rng: Rng) -> Sound:
    """Dry wooden strokes of 10 ms, some in rolls."""
    t = np.arange(round(0.012 * rate_hz)) / rate_hz
    hz = min(rng.uniform(1500, 3000), 0.2 * rate_hz)
    out = np.zeros(frames)
    for at in strokes(frames, rate_hz, rng, 4, 0.4):
        for again in range(int(rng.choice([1, 1, 3]))):
            wood = np.sin(2 * np.pi * hz * t) + 0.5 * np.sin(2 * np.pi * 1.58 * hz * t + rng.uniform(0, 6))
            noise = 0.3 * rng.normal(0, 1, len(t)) * np.exp(-t * 2500)
            _put(out, at + again * round(0.045 * rate_hz), (wood * np.exp(-t * 500) + noise) * rng.uniform(0.5, 1))
    return out


def hats(frames: int, rate_hz: int, rng: Rng) -> Sound:
    """Hi-hats: high noise, closed (20 ms) and open (300 ms, choked by the next)."""
    out = np.zeros(frames)
    starts = [*strokes(frames, rate_hz, rng, 4, 0.7), frames]
    for at, then in pairwise(starts):
        t = np.arange(max(min(then - at, round(0.3 * rate_hz)), 64)) / rate_hz
        _put(out, at, rng.normal(0, 1, len(t)) * np.exp(-t * float(rng.choice([8, 80, 150]))) * rng.uniform(0.5, 1))
    high = signal.butter(4, min(6000, 0.3 * rate_hz), "highpass", fs=rate_hz, output="sos")
    return np.asarray(signal.sosfilt(high, out))


def applause(frames: int, rate_hz: int, rng: Rng) -> Sound:
    """Hands: short bands of noise about 1 to 2.5 kHz, 50 to 300 a second."""
    places = rng.integers(0, frames, int(rng.uniform(50, 300) * frames / rate_hz))
    clap = np.zeros(frames)
    np.add.at(clap, places, rng.lognormal(0, 0.8, len(places)) * rng.choice([-1, 1], len(places)))
    t = np.arange(round(0.012 * rate_hz)) / rate_hz
    hand = rng.normal(0, 1, len(t)) * np.exp(-t * 400)
    return low_pass(np.asarray(signal.fftconvolve(clap, hand)[:frames]), rng.uniform(2500, 7000), rate_hz)


def rain(frames: int, rate_hz: int, rng: Rng) -> Sound:
    """Drops, 500 to 3000 a second, each a ping of 1 to 3 ms, over noise."""
    places = rng.integers(0, frames, int(rng.uniform(500, 3000) * frames / rate_hz))
    drops = np.zeros(frames)
    np.add.at(drops, places, rng.lognormal(-1, 1, len(places)))
    t = np.arange(round(0.004 * rate_hz)) / rate_hz
    ping = np.sin(2 * np.pi * min(rng.uniform(2000, 6000), 0.4 * rate_hz) * t) * np.exp(-t * 1500)
    made = signal.fftconvolve(drops, ping)[:frames]
    return np.asarray(made + rng.uniform(0.1, 0.6) * made.std() * rng.normal(0, 1, frames))


def wind(frames: int, rate_hz: int, rng: Rng) -> Sound:
    """Noise below 300 to 1200 Hz whose level wanders."""
    knots = rng.uniform(0.1, 1, max(frames // rate_hz + 2, 4))
    swell = np.interp(np.linspace(0, len(knots) - 1, frames), np.arange(len(knots)), knots)
    return low_pass(rng.normal(0, 1, frames), rng.uniform(300, 1200), rate_hz) * swell
