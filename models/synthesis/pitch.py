"""The pitch of a singer, frame by frame: notes, joined by glides, with vibrato, drift and error.

Conventions. Curves are [frames], every 5 ms; pitches are MIDI numbers with fractions, offsets are cents.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve1d
from scipy.signal import lfilter

from models.synthesis.phrasing import Sung
from models.synthesis.voices import Singer
from models.synthesis.world import FRAME_S

FloatArray = npt.NDArray[np.float64]

REST_S = 0.2  #: a rest as long as this ends a phrase: nobody glides over it
VIBRATO_RISE_S = 0.3
DRIFT_S = 0.4  #: time constant of the slow wandering


def midi_to_hz(midi: npt.ArrayLike) -> FloatArray:
    """Frequencies of equal temperament.

    >>> midi_to_hz([69, 57]).tolist()
    [440.0, 220.0]
    """
    return np.asarray(440.0 * 2 ** ((np.asarray(midi, np.float64) - 69) / 12))


def pitch_curve(
    sung: Sequence[Sung], frames: int, semitones: float, singer: Singer, rng: np.random.Generator
) -> FloatArray:
    """The pitch [frames] that `singer` gives to `sung`, moved by `semitones`; within rests, that of the last note."""
    detuned = [rng.normal(0, singer.detune_cents) for one in sung for _ in one.notes]
    curve = smooth(steps(sung, frames, detuned), singer.glide_s)
    cents = scoops(sung, frames, singer, rng) + vibrato(sung, frames, singer, rng) + drift(frames, singer, rng)
    return curve + semitones + cents / 100


def steps(sung: Sequence[Sung], frames: int, detuned_cents: Sequence[float]) -> FloatArray:
    """The pitches of the notes [frames] without any glide: each holds until the next syllable begins.

    Consonants already have the pitch of their vowel, so that a glide is over soon after the vowel's onset.
    """
    curve = np.zeros(frames)
    errors = iter(detuned_cents)
    for one in sung:
        begins_s = [one.start_s, *(note.start_s for note in one.notes[1:])]
        for begin_s, note in zip(begins_s, one.notes, strict=True):
            curve[_frame(begin_s) :] = note.midi + next(errors) / 100
    if sung:
        curve[: _frame(sung[0].start_s)] = curve[min(_frame(sung[0].start_s), frames - 1)]
    return curve


def _frame(time_s: float) -> int:
    return max(round(time_s / FRAME_S), 0)


def smooth(curve: FloatArray, glide_s: float) -> FloatArray:
    """Steps made glides that last `glide_s`, around where the step was."""
    width = max(round(glide_s / FRAME_S), 1) | 1
    window = np.hanning(width + 2)[1:-1]
    return np.asarray(convolve1d(curve, window / window.sum(), mode="nearest"))


def scoops(sung: Sequence[Sung], frames: int, singer: Singer, rng: np.random.Generator) -> FloatArray:
    """Cents [frames], none above 0: phrases begin below their pitch, about every other time."""
    cents = np.zeros(frames)
    ends_s = [-np.inf, *(one.end_s for one in sung[:-1])]
    for one, before_s in zip(sung, ends_s, strict=True):
        if one.start_s - before_s < REST_S or rng.random() < 0.5:
            continue
        times_s = np.arange(frames) * FRAME_S - one.onset_s
        below = singer.scoop_cents * np.exp(-np.maximum(times_s, 0) / 0.04)
        cents -= np.where((times_s > one.start_s - one.onset_s) & (times_s < 0.3), below, 0.0)
    return cents


def vibrato(sung: Sequence[Sung], frames: int, singer: Singer, rng: np.random.Generator) -> FloatArray:
    """Cents [frames]: on every note that lasts, setting in late and growing."""
    depth = np.zeros(frames)
    for note in (note for one in sung for note in one.notes):
        late_s = np.arange(frames) * FRAME_S - note.start_s - singer.vibrato_delay_s
        held = late_s < note.duration_s - singer.vibrato_delay_s
        depth += np.where(held, np.clip(late_s / VIBRATO_RISE_S, 0, 1), 0.0) * rng.uniform(0.6, 1.0)
    rate_hz = singer.vibrato_hz * (1 + 0.06 * _wandering(frames, 0.5, rng))
    phase = 2 * np.pi * np.cumsum(rate_hz) * FRAME_S + rng.uniform(0, 2 * np.pi)
    return singer.vibrato_cents * smooth(depth, 0.08) * np.sin(phase)


def drift(frames: int, singer: Singer, rng: np.random.Generator) -> FloatArray:
    """Cents [frames]: nobody holds a pitch quite still, neither over a note nor from one period to the next."""
    return singer.drift_cents * _wandering(frames, DRIFT_S, rng) + 3.0 * _wandering(frames, 0.02, rng)


def _wandering(frames: int, time_constant_s: float, rng: np.random.Generator) -> FloatArray:
    """Noise [frames] of standard deviation 1 that forgets itself within the time constant."""
    keep = np.exp(-FRAME_S / time_constant_s)
    noise = rng.normal(0, np.sqrt(1 - keep**2), frames)
    return np.asarray(lfilter([1.0], [1.0, -keep], noise))
