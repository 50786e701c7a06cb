"""A melody sung: syllables stretched to their notes, moved to their pitch, shaped to one voice.

Conventions. Frames of 5 ms, see `world`. Where consonants have no voice they keep none. The voice is mono, 44.1 kHz,
and exactly silent where nothing is sung; its level is of no meaning before it is mixed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from models.synthesis import world
from models.synthesis.lyrics import syllables
from models.synthesis.phrasing import Sung
from models.synthesis.pitch import midi_to_hz, pitch_curve
from models.synthesis.syllables import Syllable, syllable
from models.synthesis.tools import SynthesisError
from models.synthesis.voices import Singer
from models.synthesis.world import BINS, FRAME_S, HZ, RATE_HZ

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SILENT = np.log(1e-14)
VOCABULARY = 26  #: syllables in a song: they come back, as words do
JOIN = 3  # frames on either side over which one syllable's vowel becomes the next's
HELD_SHARE = (0.3, 0.3)  #: of a vowel's frames at its beginning and end, which keep their pace: diphthongs come late
ATTACK_S, RELEASE_S = 0.015, 0.06
BREATH_S = (0.18, 0.4)
BREATH_DB = -26.0


def vocabulary(singer: Singer, rng: np.random.Generator) -> tuple[Syllable, ...]:
    """Syllables for a song, spoken by the singer.

    Raises:
        SynthesisError: if espeak-ng is missing or fails, or none of its syllables has a vowel.
    """
    texts = rng.permutation(syllables(singer.language))[:VOCABULARY]
    spoken = tuple(found for text in texts if (found := syllable(singer.voice, str(text))) is not None)
    if not spoken:
        raise SynthesisError(f"espeak-ng speaks no vowel as {singer.voice}", "Is its data complete? espeak-ng --voices")
    return spoken


def sing(
    sung: Sequence[Sung], duration_s: float, semitones: float, singer: Singer, rng: np.random.Generator
) -> FloatArray:
    """The voice [round(duration_s * 44100)], with every note moved by `semitones`."""
    frames, samples = round(duration_s / FRAME_S) + 1, round(duration_s * RATE_HZ)
    if not sung:
        return np.zeros(samples)
    track = _Track(frames)
    for one in sung:
        track.put(one)
    track.join(sung)
    if singer.breathes:
        track.breathe(sung, rng)
    curve = pitch_curve(sung, frames, semitones, singer, rng)
    voice = _synthesised(track, midi_to_hz(curve), singer, rng)
    return np.pad(voice[:samples], (0, max(samples - len(voice), 0)))


class _Track:
    """The spectra of a whole song, frame by frame."""

    def __init__(self, frames: int) -> None:
        self.voiced = np.zeros(frames, np.bool_)
        self.active = np.zeros(frames, np.bool_)
        self.envelope = np.full((frames, BINS), SILENT)
        self.aperiodicity = np.ones((frames, BINS))

    def put(self, one: Sung) -> None:
        """Writes a syllable where it is sung."""
        first, last = (min(round(time_s / FRAME_S), len(self.voiced)) for time_s in (one.start_s, one.end_s))
        if last <= first:
            return
        times_s = np.arange(first, last, dtype=np.float64) * FRAME_S
        at = source_frames(one, times_s)
        low, part = at.astype(int), (at % 1)[:, None]
        high = np.minimum(low + 1, len(one.syllable.sound.voiced) - 1)
        sound = one.syllable.sound
        gain = (one.level_db + _edges_db(one, times_s)) * np.log(10) / 10
        self.envelope[first:last] = (1 - part) * sound.envelope[low] + part * sound.envelope[high] + gain[:, None]
        self.aperiodicity[first:last] = (1 - part) * sound.aperiodicity[low] + part * sound.aperiodicity[high]
        self.voiced[first:last] = sound.voiced[low]
        self.active[first:last] = True

    def join(self, sung: Sequence[Sung]) -> None:
        """Glides from one spectrum to the next where two voiced syllables meet."""
        for one in sung[1:]:
            at = round(one.start_s / FRAME_S)
            first, last = at - JOIN, at + JOIN
            if first < 1 or last >= len(self.voiced) or not self.voiced[first - 1 : last + 1].all():
                continue
            share = np.linspace(0, 1, last - first + 2)[1:-1, None]
            for spectra in (self.envelope, self.aperiodicity):
                spectra[first:last] = (1 - share) * spectra[first - 1] + share * spectra[last]

    def breathe(self, sung: Sequence[Sung], rng: np.random.Generator) -> None:
        """Puts a breath before phrases, where there is time for it: the voice's own vowels, without voice."""
        tract = np.mean([_vowel_envelope(one.syllable) for one in sung], axis=0)
        ends_s = [0.0, *(one.end_s for one in sung[:-1])]
        for one, before_s in zip(sung, ends_s, strict=True):
            length_s = float(rng.uniform(*BREATH_S))
            if one.start_s - before_s < length_s + 0.1 or rng.random() < 0.3:
                continue
            first = round((one.start_s - length_s - 0.04) / FRAME_S)
            frames = round(length_s / FRAME_S)
            swell_db = 20 * np.log10(np.hanning(frames + 2)[1:-1] + 1e-3) + BREATH_DB + rng.normal(0, 3)
            whitened = gaussian_filter1d(0.5 * tract, 12) + 0.5 * np.mean(tract)  # breath is flatter than voice
            self.envelope[first : first + frames] = whitened + (swell_db * np.log(10) / 10)[:, None]
            self.active[first : first + frames] = True


def source_frames(one: Sung, times_s: FloatArray) -> FloatArray:
    """Which frame of the spoken syllable is sung at each time: consonants at their own pace, the vowel stretched.

    Consonants that have less time than they took are hurried, not cut.
    """
    first, last = one.syllable.vowel
    end = len(one.syllable.sound.voiced) - 1
    tail_s = min(one.syllable.tail_s, 0.35 * (one.end_s - one.onset_s))
    held_s = one.end_s - one.onset_s - tail_s
    early, late = (share * (last - first) * min(1.0, held_s / ((last - first) * FRAME_S)) for share in HELD_SHARE)
    begin, finish = first + HELD_SHARE[0] * (last - first), last - HELD_SHARE[1] * (last - first)
    at_s = np.cumsum([one.start_s, one.onset_s - one.start_s, early * FRAME_S, held_s - (early + late) * FRAME_S])
    times = [*at_s, one.end_s - tail_s, one.end_s]
    return np.asarray(np.clip(np.interp(times_s, times, [0, first, begin, finish, last, end]), 0, end))


def _edges_db(one: Sung, times_s: FloatArray) -> FloatArray:
    """Fades at those ends of a syllable where there is a break: an attack, a release."""
    attack = np.ones(len(times_s)) if one.joins_last else (times_s - one.start_s + FRAME_S) / ATTACK_S
    release_s = min(RELEASE_S, 0.3 * (one.end_s - one.start_s))
    release = np.ones(len(times_s)) if one.joins_next else (one.end_s - times_s) / release_s
    attack, release = np.clip(attack, 0.05, 1), np.clip(release, 0.03, 1)
    return np.asarray(20 * np.log10(attack * release))


def _vowel_envelope(spoken: Syllable) -> FloatArray:
    return np.asarray(spoken.sound.envelope[slice(*spoken.vowel)].mean(axis=0))


def _synthesised(track: _Track, hz: FloatArray, singer: Singer, rng: np.random.Generator) -> FloatArray:
    envelope = shaped(track.envelope, singer) + _flutter(len(hz), rng)[:, None]
    noisy = np.maximum(track.aperiodicity, _least_noise(singer))
    voice = world.synthesise(np.where(track.voiced, hz, 0.0), envelope, np.clip(noisy, 0.001, 0.999))
    return voice * _gate(track.active, len(voice))


def shaped(envelope: FloatArray, singer: Singer) -> FloatArray:
    """Spectra [frames, 1025] of the singer's own vocal tract: formants moved, tilted about 1 kHz."""
    at = np.minimum(np.arange(BINS) / singer.formant_shift, BINS - 1)
    low, part = at.astype(int), at % 1
    high = np.minimum(low + 1, BINS - 1)
    octaves = np.log2(np.maximum(HZ, 100.0) / 1000)
    tilt = singer.tilt_db_per_octave * np.clip(octaves, -3, 4) * np.log(10) / 10
    moved = (1 - part) * envelope[:, low] + part * envelope[:, high] + tilt
    return np.asarray(np.logaddexp(moved, _air(moved, singer.air_db)))


def _air(envelope: FloatArray, air_db: float) -> FloatArray:
    """Breath [frames, 1025] that goes with the voice: espeak-ng's vowels end at 9 kHz, a singer's do not."""
    level = np.log(np.exp(envelope[:, :513]).mean(axis=1, keepdims=True))
    khz = HZ / 1000
    slope_db = np.where(khz < 4, -30 + 6 * (khz - 4), -0.9 * (khz - 10)) - 3 * np.clip(khz - 17, 0, None)
    return np.asarray(level + (air_db + slope_db) * np.log(10) / 10)


def _least_noise(singer: Singer) -> FloatArray:
    """The least aperiodicity [1025]: as drawn at 4 kHz, less below, and nearly all noise at the top.

    espeak-ng's voices are periodic to the last harmonic, which no human voice is.
    """
    floor = singer.breathiness * np.clip(HZ / 4000, 0.1, 1) ** 0.7
    return np.asarray(np.maximum(floor, np.clip((HZ - 5000) / 7000, 0, 0.95)))


def _flutter(frames: int, rng: np.random.Generator) -> FloatArray:
    """Small slow changes of level [frames], in the logarithm of power: a stretched vowel must not stand still."""
    noise = uniform_filter1d(rng.normal(0, 1, frames), 15, mode="nearest") * np.sqrt(15)
    return np.asarray(0.12 * noise)


def _gate(active: BoolArray, samples: int) -> FloatArray:
    """1 where something is sung, 0 elsewhere, [samples], faded within a frame or two."""
    frames = gaussian_filter1d(active.astype(np.float64), 1.0, truncate=3)
    return np.asarray(np.interp(np.arange(samples) / RATE_HZ, np.arange(len(frames)) * FRAME_S, frames))
