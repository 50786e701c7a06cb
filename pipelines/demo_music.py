"""Music for the demonstration catalogue: a small band, synthesised from a seed.

Conventions. Signals are float64 [frames] per voice and [frames, 2] mixed; pitches are MIDI numbers (69 = 440 Hz), times
are seconds. Partials stop below half the sample rate, so that nothing aliases; the same seed gives the same piece at
every rate. Made to be listened to: four chords, bass, drums, and a melody that prefers steps and lands on chord notes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import soxr

Signal = npt.NDArray[np.float64]

BEATS_PER_CHORD = 4
PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 1, 4))  # degrees of the scale
MAJOR = np.array([0, 2, 4, 5, 7, 9, 11])
PHRASE_BEATS = 8  # the last of them is a rest: the band breathes, and the background can be heard
WARPED_BELOW_HZ = 32000
TOP = 0.47  # of the sample rate: the highest partial


@dataclass(frozen=True)
class Piece:
    """What there is to be played."""

    seed: int
    duration_s: float
    tempo_bpm: float
    tonic: int = 57  #: MIDI number


def perform(piece: Piece, sample_rate_hz: int) -> Signal:
    """The piece in stereo, [frames, 2], peak 1."""
    frames = round(piece.duration_s * sample_rate_hz)
    beat_s = 60 / piece.tempo_bpm
    stereo = np.zeros((frames, 2))
    for voice, pan, level in ((_chords, -0.8, 0.9), (_melody, 0.7, 0.9), (_bass, 0.0, 0.5), (_drums, 0.15, 0.6)):
        rng = np.random.default_rng([piece.seed, len(voice.__name__)])
        mono = voice(piece, beat_s, frames, sample_rate_hz, rng)
        stereo += level * mono[:, None] * np.sqrt([(1 - pan) / 2, (1 + pan) / 2])
    stereo += 0.2 * _echo(stereo, round(0.25 * beat_s * sample_rate_hz))
    stereo *= _fade(frames, sample_rate_hz)[:, None]
    stereo -= stereo.mean(axis=0)
    scaled: Signal = stereo / np.abs(stereo).max()
    return scaled


def _echo(stereo: Signal, delay_frames: int) -> Signal:
    """Each side repeated on the other."""
    late = np.zeros_like(stereo)
    late[delay_frames:] = stereo[:-delay_frames, ::-1]
    return late


def _fade(frames: int, sample_rate_hz: int) -> Signal:
    time_s = np.arange(frames) / sample_rate_hz
    return _ramps(time_s, 0.005, 0.3)


# Voices ---------------------------------------------------------------------------------------------------------


def _scale(piece: Piece, degree: int) -> int:
    octave, step = divmod(degree, 7)
    return int(piece.tonic + 12 * octave + MAJOR[step])


def _degree_at(piece: Piece, beat: int) -> int:
    return PROGRESSIONS[piece.seed % len(PROGRESSIONS)][beat // BEATS_PER_CHORD % 4]


def _beats(piece: Piece, beat_s: float) -> list[int]:
    return [beat for beat in range(int(piece.duration_s / beat_s)) if beat % PHRASE_BEATS < PHRASE_BEATS - 1]


def _chords(piece: Piece, beat_s: float, frames: int, rate_hz: int, rng: np.random.Generator) -> Signal:
    """A strummed triad on every other beat."""
    out = np.zeros(frames)
    for beat in [beat for beat in _beats(piece, beat_s) if beat % 2 == 0]:
        length_s = beat_s * (1.8 if beat % PHRASE_BEATS < PHRASE_BEATS - 2 else 0.9)
        for string, third in enumerate((0, 2, 4, 7)):
            note = _scale(piece, _degree_at(piece, beat) + third)
            at_s = beat * beat_s + 0.018 * string + 0.004 * rng.random()
            _add(out, _pluck(note, length_s, rate_hz, brightness=1.6), at_s, rate_hz, 0.25)
    return out


def _bass(piece: Piece, beat_s: float, frames: int, rate_hz: int, rng: np.random.Generator) -> Signal:
    """Root and fifth."""
    out = np.zeros(frames)
    for beat in _beats(piece, beat_s):
        degree = _degree_at(piece, beat) + (4 if beat % 4 == 3 and rng.random() < 0.7 else 0)
        _add(
            out, _pluck(_scale(piece, degree) - 24, 0.9 * beat_s, rate_hz, brightness=2.2), beat * beat_s, rate_hz, 0.7
        )
    return out


def _melody(piece: Piece, beat_s: float, frames: int, rate_hz: int, rng: np.random.Generator) -> Signal:
    """A walk over the scale, on chord notes where a chord begins, with rests."""
    out = np.zeros(frames)
    step, beat = 9, 0.0
    while beat < piece.duration_s / beat_s:
        left = PHRASE_BEATS - 1 - beat % PHRASE_BEATS
        length = min(float(rng.choice([0.5, 0.5, 1.0, 1.5])), left)
        step = int(np.clip(step + rng.choice([-2, -1, -1, 1, 1, 2]), 7, 16))
        if beat % BEATS_PER_CHORD == 0:
            step = _degree_at(piece, int(beat)) + 7
        if rng.random() > 0.15:
            note = _bell(_scale(piece, step), length * beat_s, rate_hz)
            _add(out, note, beat * beat_s, rate_hz, 0.45)
        beat += length if length < left else length + 1
    return out


def _drums(piece: Piece, beat_s: float, frames: int, rate_hz: int, rng: np.random.Generator) -> Signal:
    """Bass drum on one and three, snare on two and four, hi-hat on the eighths."""
    out = np.zeros(frames)
    for beat in _beats(piece, beat_s):
        drum = _kick(rate_hz) if beat % 2 == 0 else _snare(rate_hz, rng)
        _add(out, drum, beat * beat_s, rate_hz, 0.8)
        for half in (0.0, 0.5):
            _add(out, _hat(rate_hz, rng), (beat + half) * beat_s, rate_hz, 0.3 if half else 0.2)
    return out


# Sounds ---------------------------------------------------------------------------------------------------------


def _add(out: Signal, sound: Signal, at_s: float, rate_hz: int, level: float) -> None:
    start = round(at_s * rate_hz)
    room = max(len(out) - start, 0)
    out[start : start + len(sound)] += level * sound[:room]


def _hz(note: float) -> float:
    return float(440 * 2 ** ((note - 69) / 12))


@functools.lru_cache(maxsize=64)
def _pluck(note: int, length_s: float, rate_hz: int, brightness: float) -> Signal:
    """A string: the higher a partial, the weaker it is and the faster it fades."""
    time_s = np.arange(round(length_s * rate_hz)) / rate_hz
    pitch_hz = _hz(note)
    turn = np.exp((2j * np.pi * pitch_hz - 0.6) * time_s)  # its powers are the partials
    partial_wave = np.exp(-3.5 * time_s) * turn
    out = np.zeros_like(time_s)
    for partial in range(1, min(16, int(TOP * rate_hz / pitch_hz)) + 1):
        out += partial_wave.imag / partial**brightness
        partial_wave = partial_wave * turn
    return out * _edges(time_s)


def _bell(note: int, length_s: float, rate_hz: int) -> Signal:
    """A soft mallet: few partials, a little vibrato."""
    time_s = np.arange(round((length_s + 0.15) * rate_hz)) / rate_hz
    phase = 2 * np.pi * _hz(note) * time_s + 0.12 * np.sin(2 * np.pi * 5.5 * time_s) * np.minimum(1, 4 * time_s)
    out = np.zeros_like(time_s)
    for partial, level, fading in ((1, 1.0, 4.0), (2, 0.25, 5.5), (4, 0.2, 9.0), (9.2, 0.06, 18.0)):
        if partial * _hz(note) < TOP * rate_hz:
            out += level * np.exp(-fading * time_s) * np.sin(partial * phase)
    return out * _edges(time_s)


def _edges(time_s: Signal) -> Signal:
    return _ramps(time_s, 0.004, 0.02)


def _ramps(time_s: Signal, in_s: float, out_s: float) -> Signal:
    return np.asarray(np.clip(np.minimum(time_s / in_s, (time_s[-1] - time_s) / out_s), 0.0, 1.0))


@functools.lru_cache(maxsize=4)
def _kick(rate_hz: int) -> Signal:
    time_s = np.arange(round(0.3 * rate_hz)) / rate_hz
    falling_hz = 48 + 90 * np.exp(-time_s * 35)
    wave: Signal = np.sin(2 * np.pi * np.cumsum(falling_hz) / rate_hz)
    return wave * np.exp(-time_s * 14) * _edges(time_s)


def _snare(rate_hz: int, rng: np.random.Generator) -> Signal:
    time_s = np.arange(round(0.2 * rate_hz)) / rate_hz
    noise = rng.standard_normal(len(time_s)) * np.exp(-time_s * 28)
    return (0.3 * noise + 0.5 * np.sin(2 * np.pi * 190 * time_s) * np.exp(-time_s * 25)) * _edges(time_s)


def _hat(rate_hz: int, rng: np.random.Generator) -> Signal:
    """Noise, differentiated: bright up to half the sample rate."""
    time_s = np.arange(round(0.12 * rate_hz)) / rate_hz
    noise: Signal = np.diff(rng.standard_normal(len(time_s)), prepend=0.0) / np.sqrt(2)
    return noise * np.exp(-time_s * 45) * _edges(time_s)


# Loudness -------------------------------------------------------------------------------------------------------


def loudness_lufs(samples: npt.ArrayLike, sample_rate_hz: int) -> float:
    """Integrated loudness by FFmpeg's ebur128 filter: an authority other than songscan's own measure.

    Args:
        samples: [frames, channels], one or two channels.
    """
    block = np.ascontiguousarray(samples, np.float32)
    if sample_rate_hz < WARPED_BELOW_HZ:  # the filter bends the curve of BS.1770 there, by 0.2 dB at 8 kHz
        block = np.ascontiguousarray(soxr.resample(block, sample_rate_hz, 48000, quality="VHQ"))
        sample_rate_hz = 48000
    layout = "mono" if block.shape[1] == 1 else "stereo"
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=sample_rate_hz, format="flt", layout=layout, time_base=Fraction(1, sample_rate_hz)
    )
    meter = graph.add("ebur128", "metadata=1:framelog=quiet")
    sink = graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), "flt", layout)
    frame.sample_rate, frame.pts = sample_rate_hz, 0
    graph.push(frame)
    graph.push(None)
    lufs = 0.0
    while True:
        try:
            lufs = float(graph.pull().metadata.get("lavfi.r128.I", lufs))  # a last, shorter block has none
        except av.error.EOFError:
            return lufs
