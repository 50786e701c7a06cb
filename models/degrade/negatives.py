"""What sounds like a defect and is music: hard negatives for a detector.

Conventions. Every function takes clean samples float32 [frames, channels], the rate and a generator, and gives samples
of the same shape within full scale: `TREATMENTS` do something to the music, `SOUNDS` add a part of their own to it or,
with a chance of `ALONE`, play alone. None has a defect of a class of the injector in the sense of the `defects` table:
each is what a musician, a producer or a hall made. Left out on purpose: a bed of hiss or crackle for style cannot be
told from the defect, is reported, and is for the policy of whoever asked; a square wave of full amplitude counts as
clipping in `models.measures.clipping`, so synthesised squares here are band-limited. Rhythm is steady at 70 to 160
beats a minute.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import signal

from models import audio
from models.degrade import sounds
from models.degrade.event import FloatArray, Rng, rms
from models.degrade.speed import read_between

Negative = Callable[[FloatArray, int, Rng], FloatArray]

ALONE = 0.3


def negative(samples: FloatArray, sample_rate_hz: int, name: str, rng: Rng) -> FloatArray:
    """`samples` with the musical effect `name` of NEGATIVES. Raises ValueError if there is none."""
    if name not in NEGATIVES:
        raise ValueError(f"there is no effect {name!r}: choose one of {', '.join(NEGATIVES)}")
    return NEGATIVES[name](samples, sample_rate_hz, rng)


def within(samples: npt.NDArray[np.floating]) -> FloatArray:
    """Turned down where it would pass full scale: never clipped."""
    peak = float(np.abs(samples).max()) if samples.size else 0.0
    return np.asarray(samples * min(1.0, 0.98 / max(peak, 1e-9)), np.float32)


# Treatments of the music ----------------------------------------------------------------------------------------


def silence_between(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
    """A movement dies away, digital silence of a third to a half of the clip at most, the next begins softly."""
    out, frames = samples.copy(), len(samples)
    decay, rise = round(rng.uniform(0.3, 1.0) * min(rate_hz, frames / 4)), round(0.02 * rate_hz)
    rest = round(rng.uniform(0.2, 0.4) * frames)
    start = int(rng.integers(decay, frames - rest - rise))
    out[start - decay : start] *= _falling(decay)[:, None] ** rng.uniform(2, 4)
    out[start : start + rest] = 0
    out[start + rest : start + rest + rise] *= _falling(rise)[::-1, None]
    return out


def _falling(frames: int) -> FloatArray:
    return np.linspace(1, 0, frames, endpoint=False, dtype=np.float32)


def fade_out(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
    """The last part fades to silence, linearly or in decibels."""
    out, length = samples.copy(), round(rng.uniform(0.3, 0.7) * len(samples))
    out[-length:] *= _falling(length)[:, None] ** float(rng.choice([1, 2, 3]))
    out[-1] = 0
    return out


def tape_stop(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
    """The music slows down to a halt, and rests: the last gesture of a piece."""
    frames = len(samples)
    length = min(round(rng.uniform(0.5, 1.5) * rate_hz), frames // 2)
    start = int(rng.integers(frames // 3, frames - length))
    speed = np.linspace(1, 0, length) ** rng.uniform(0.6, 1.5)
    out = np.zeros_like(samples)
    out[:start] = samples[:start]
    out[start : start + length] = read_between(samples, start + np.cumsum(speed))
    out[start : start + length] *= np.minimum(1, np.linspace(4, 0, length, dtype=np.float32))[:, None]
    return within(out)


def glitch_repeat(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
    """Stutter edits in tempo: one bar in two or four ends with its eighth, sixteenth or thirty-second repeated."""
    out = samples.copy()
    beat = sounds.beat_s(rng) * rate_hz
    first, every = rng.uniform(0, beat), int(rng.choice([4, 8])) * beat
    part = max(int(beat / float(rng.choice([2, 4, 8]))), 8)
    fade = np.minimum(1, np.minimum(np.arange(part), np.arange(part)[::-1]) / (0.002 * rate_hz))[:, None]
    edges = _falling(round(0.002 * rate_hz))[::-1, None]
    for start in np.arange(first, len(samples) - 2 * beat, every).astype(int):
        piece = samples[start : start + part] * fade
        repeats = int(2 * beat / part)
        out[start : start + repeats * part] = np.tile(piece, (repeats, 1))
        for edge in (out[:start][::-1], out[start + repeats * part :]):
            edge[: len(edges)] *= edges[: len(edge)]  # a cut in the wave itself would be a click
    return within(out)


def pumping(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
    """Side-chained compression: down by 10 to 30 dB on each beat, back within it."""
    beat = sounds.beat_s(rng) * rate_hz
    phase = ((np.arange(len(samples)) + rng.uniform(0, beat)) % beat) / beat
    deep = 10 ** (-rng.uniform(10, 30) / 20)
    attack = np.clip((1 - phase) * beat / (0.005 * rate_hz), 0, 1)
    return np.asarray(samples * ((deep + (1 - deep) * np.minimum(1, phase * 1.6) ** 0.7) * attack)[:, None], np.float32)


def tremolo(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
    """The level swings 3 to 12 times a second, as a sine or nearly chopped."""
    t = np.arange(len(samples)) / rate_hz
    swing = np.sin(2 * np.pi * rng.uniform(3, 12) * t + rng.uniform(0, 6))
    shape = np.tanh(swing * rng.uniform(0.3, 6))
    depth = rng.uniform(0.4, 0.95)
    return np.asarray(samples * (1 - depth / 2 + depth / 2 * shape / np.abs(shape).max())[:, None], np.float32)


def vibrato(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
    """A chorus: the music with itself, read 10 to 25 ms late and swinging by a few."""
    t = np.arange(len(samples))
    late = rng.uniform(0.01, 0.025) + rng.uniform(0.001, 0.004) * np.sin(2 * np.pi * rng.uniform(0.3, 5) * t / rate_hz)
    return within(samples + rng.uniform(0.5, 1) * read_between(samples, np.maximum(t - late * rate_hz, 0)))


def limited(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
    """A brickwall-limited master: 6 to 14 dB louder, its gain moving smoothly, so without flat tops."""
    peak = float(np.abs(samples).max())
    driven = samples.astype(np.float64) / max(peak, 1e-6) * 10 ** (rng.uniform(6, 14) / 20)
    ceiling, ahead = 10 ** (-rng.uniform(0.1, 1.0) / 20), max(round(0.002 * rate_hz), 4)
    need = np.minimum(1, ceiling / np.maximum(np.abs(driven).max(axis=1), 1e-9))
    padded = np.pad(need, ahead, mode="edge")
    least = np.lib.stride_tricks.sliding_window_view(padded, 2 * ahead + 1).min(axis=1)
    window = np.hanning(2 * ahead + 3)[1:-1]
    smooth = np.convolve(np.pad(least, ahead, mode="edge"), window / window.sum(), "valid")
    return np.asarray(driven * np.minimum(smooth, need)[:, None], np.float32)


def distorted(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
    """Overdriven as a guitar amplifier does, then through its loudspeaker: no top stays flat."""
    drive = 10 ** (rng.uniform(10, 35) / 20)
    level = rms(samples)
    bent = np.tanh(drive * samples / max(float(np.abs(samples).max()), 1e-6) + rng.uniform(-0.2, 0.2))
    return within(sounds.cabinet(bent - bent.mean(axis=0), rate_hz, rng) * (level / max(rms(bent), 1e-6)) * 2)


def crushed(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
    """A whole part at 6 to 9 bits and a fraction of the rate, all along: a sampler of the eighties, low-passed."""
    hold = int(rng.integers(2, max(rate_hz // 12000, 2) + 1))
    held = samples[np.arange(len(samples)) // hold * hold]
    peak = max(float(np.abs(samples).max()), 1e-6)
    steps = 2.0 ** int(rng.integers(5, 9))
    return within(sounds.low_pass(np.round(held / peak * steps) / steps * peak, 0.4 * rate_hz / hold, rate_hz))


def lossy(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
    """Through MP3 (128 kbit/s), AAC or Vorbis and back, undamaged; at rates that MP3 does not know, Vorbis."""
    channels = samples.shape[1]
    codecs = ["mp3", "aac", "vorbis"] if rate_hz in (32000, 44100, 48000) else ["vorbis"]
    codec = str(rng.choice(codecs)) if channels <= 2 else "flac"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coded")
        rate = {"mp3": 128_000, "aac": 64_000 * channels}.get(codec)
        audio.encode(path, samples, rate_hz, codec=codec, bit_rate=rate)
        coded = audio.read(path)[0][: len(samples)]
    return within(np.pad(coded, ((0, len(samples) - len(coded)), (0, 0))))


# Sounds of their own --------------------------------------------------------------------------------------------


def _with(make: Callable[[int, int, Rng], npt.NDArray[np.float64]]) -> Negative:
    """A sound [frames] as a part beside the music, or alone; placed somewhere in the stereo field."""

    def mixed(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
        made = make(len(samples), rate_hz, rng)
        gains = np.ones(samples.shape[1])
        if samples.shape[1] == 2:
            angle = rng.uniform(0.15, 0.85) * np.pi / 2
            gains = np.sqrt(2) * np.array([np.cos(angle), np.sin(angle)])
        level = max(rms(samples), 1e-3) * 10 ** (rng.uniform(-10, 3) / 20) / max(rms(made), 1e-9)
        part = made[:, None] * gains * level
        return within(part if rng.random() < ALONE else samples + part)

    return mixed


def wide(make: Callable[[int, int, Rng], npt.NDArray[np.float64]]) -> Negative:
    """A sound that surrounds: made anew for each channel, with a beginning and an end that fade."""

    def mixed(samples: FloatArray, rate_hz: int, rng: Rng) -> FloatArray:
        made = np.stack([make(len(samples), rate_hz, rng) for _ in range(samples.shape[1])], axis=1)
        made *= signal.windows.tukey(len(samples), 0.3)[:, None]
        level = max(rms(samples), 1e-3) * 10 ** (rng.uniform(-10, 3) / 20) / max(rms(made), 1e-9)
        return within(made * level if rng.random() < ALONE else samples + made * level)

    return mixed


TREATMENTS: dict[str, Negative] = {
    "silence_between": silence_between,
    "fade_out": fade_out,
    "tape_stop": tape_stop,
    "glitch_repeat": glitch_repeat,
    "pumping": pumping,
    "tremolo": tremolo,
    "vibrato": vibrato,
    "limited": limited,
    "distorted": distorted,
    "crushed": crushed,
    "lossy": lossy,
}
SOUNDS: dict[str, Negative] = {
    "vinyl_clicks": _with(sounds.clicks_on_beat),
    "gated_drums": _with(sounds.gated_drums),
    "guitar": _with(sounds.guitar),
    "kick": _with(sounds.kick),
    "synth_bass": _with(sounds.synth_bass),
    "synth_line": _with(sounds.crushed_line),
    "castanets": _with(sounds.castanets),
    "hats": _with(sounds.hats),
    "applause": wide(sounds.applause),
    "rain": wide(sounds.rain),
    "wind": wide(sounds.wind),
}
NEGATIVES: dict[str, Negative] = TREATMENTS | SOUNDS
