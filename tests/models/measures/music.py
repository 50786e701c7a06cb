"""Made-up music for tests: the same on every machine, stereo, with everything that fools a meter and no defect.

Float32 [frames, 2], full scale 1.0. `pop` is loud and dense, `chamber` quiet, with rests and a faint room.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

_CHORDS = ((57, 60, 64, 69), (53, 57, 60, 65), (48, 55, 60, 64), (55, 59, 62, 67))  # MIDI notes: Am F C G
_BASS = (45, 41, 36, 43)  # G is 98 Hz; the walk below adds B, 61.7 Hz


def note_hz(note: float) -> float:
    return float(440 * 2 ** ((note - 69) / 12))


def pluck(
    note: float, duration_s: float, sample_rate_hz: int, decay_s: float, harmonics: int = 24
) -> npt.NDArray[np.float64]:
    """A string: harmonics that fall by 9 dB an octave and die away, the higher the sooner."""
    t = np.arange(int(duration_s * sample_rate_hz)) / sample_rate_hz
    wave = np.zeros(len(t))
    for n in range(1, harmonics + 1):
        hz = note_hz(note) * n
        if hz < 0.45 * sample_rate_hz:
            wave += np.sin(2 * np.pi * hz * t + n * n) * n**-1.5 * np.exp(-t / decay_s * n**0.4)
    attack = np.minimum(1, t / 0.004) * np.minimum(1, (t[-1] + 1 / sample_rate_hz - t) / 0.01)
    return wave * attack


def place(
    track: npt.NDArray[np.float64], at_s: float, sound: npt.NDArray[np.float64], pan: float, sample_rate_hz: int
) -> None:
    """Adds a sound at a time, `pan` from 0 (left) to 1 (right)."""
    start = int(at_s * sample_rate_hz)
    sound = sound[: max(0, len(track) - start)]
    track[start : start + len(sound)] += sound[:, None] * np.array([np.cos(pan * np.pi / 2), np.sin(pan * np.pi / 2)])


@functools.cache
def pop(sample_rate_hz: int = 44_100, duration_s: float = 24.0, seed: int = 1) -> Samples:
    """Chords, bass and drums at 113 beats a minute; peaks at -0.3 dBFS, nothing clipped."""
    random = np.random.default_rng(seed)
    track = np.zeros((int(duration_s * sample_rate_hz), 2))
    beat_s = 60 / 113
    for beat in range(int(duration_s / beat_s) + 1):
        at_s, bar = beat * beat_s, beat // 4 % 4
        place(
            track,
            at_s,
            0.9 * pluck(_BASS[bar] if beat % 4 < 3 else 35, beat_s * 0.95, sample_rate_hz, 0.5),
            0.5,
            sample_rate_hz,
        )
        for i, note in enumerate(_CHORDS[bar]):
            sound = pluck(note, 1.5 * beat_s, sample_rate_hz, 0.6) * (0.3 + 0.1 * random.random())
            place(track, at_s + 0.01 * i, sound, 0.1 + 0.27 * i, sample_rate_hz)
        for half in (0.0, 0.5):
            hat = random.standard_normal(int(0.06 * sample_rate_hz)) * np.exp(
                -np.arange(int(0.06 * sample_rate_hz)) / (0.015 * sample_rate_hz)
            )
            place(
                track, at_s + half * beat_s, 0.12 * np.diff(hat, prepend=0), 0.3 + 0.4 * random.random(), sample_rate_hz
            )
        t = np.arange(int(0.25 * sample_rate_hz)) / sample_rate_hz
        drum = (
            np.sin(2 * np.pi * (50 * t + 4 * (1 - np.exp(-t * 30))))
            if beat % 2 == 0
            else random.standard_normal(len(t)) * 0.5
        )
        place(track, at_s, 0.9 * drum * np.exp(-t * 18), 0.5, sample_rate_hz)
    track += random.standard_normal(track.shape) * 3e-5
    return _kept(track * (0.966 / np.abs(track).max()))


@functools.cache
def chamber(sample_rate_hz: int = 44_100, duration_s: float = 24.0, seed: int = 2) -> Samples:
    """A slow tune over long tones that swell and fade, with rests; about -28 LUFS in a room at -82 dBFS."""
    random = np.random.default_rng(seed)
    track = np.zeros((int(duration_s * sample_rate_hz), 2))
    at_s = 0.3
    while at_s < duration_s:
        length_s = float(random.choice([0.7, 1.1, 1.6]))
        note = int(random.choice([62, 64, 65, 67, 69, 71, 74, 76]))
        for pitch, pan, level in ((note, 0.35, 1.0), (note - 9, 0.6, 0.6), (note - 16, 0.7, 0.5)):
            sound = pluck(pitch, length_s, sample_rate_hz, 3.0)
            swell = np.sin(np.pi * np.arange(len(sound)) / len(sound)) ** 0.7
            place(track, at_s, level * sound * swell, pan, sample_rate_hz)
        at_s += length_s + float(random.choice([0.0, 0.0, 0.5]))
    track *= 0.12 / np.abs(track).max()
    return _kept(track + random.standard_normal(track.shape) * 10 ** (-82 / 20))


def _kept(track: npt.NDArray[np.float64]) -> Samples:
    samples = track.astype(np.float32)
    samples.flags.writeable = False  # it is made once and shared by all tests
    return samples
