"""Music made here and never coded must not be accused, whatever is done to it; decoded music must be found out."""

import functools

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import soxr

from bench.lossy_source import in_16_bits, through_codec
from models.measures.lossy import LossyMeter, lossy_source
from models.measures.lossy_grids import EXCERPT_SAMPLES, GRIDS, offset_curve, peak_gap

RATE_HZ = 44100
STEP = 2.0**-15


@functools.cache
def song(duration_s=9.0, seed=1):
    """Decaying chords with harmonics up to 14 kHz and bursts of noise: float32 [frames, 2]."""
    rng = np.random.default_rng(seed)
    t = np.arange(RATE_HZ // 4) / RATE_HZ
    notes = []
    for _ in range(round(4 * duration_s)):
        pitch_hz = 110 * 2 ** (rng.integers(0, 25) / 12)
        partials = np.arange(1, int(14000 / pitch_hz))
        tone = np.sin(2 * np.pi * pitch_hz * np.outer(t, partials) + rng.uniform(0, 6, len(partials))) @ (
            partials**-0.8
        )
        burst = rng.normal(0, 0.5, (len(t), 2)) * np.exp(-t / 0.06)[:, None]
        notes.append(tone[:, None] * [0.5, 0.4] * np.exp(-t / 0.2)[:, None] + burst)
    whole = np.concatenate(notes)
    return (0.6 * whole / np.abs(whole).max()).astype(np.float32)


@functools.cache
def decoded(codec, setting):
    rate_hz = 48000 if codec == "opus" else RATE_HZ
    source = soxr.resample(song(), RATE_HZ, rate_hz)
    return through_codec(source, rate_hz, codec, setting)[1237:], rate_hz


@pytest.mark.parametrize(
    ("codec", "setting"),
    [("mp3", 128), ("mp3", 256), ("aac", 128), ("aac", 256), ("vorbis", 0.5), ("opus", 128)],
)
def test_decoded_music_is_found_out(codec, setting):
    samples, rate_hz = decoded(codec, setting)
    evidence = lossy_source(in_16_bits(samples), rate_hz)
    assert evidence.lossy
    assert evidence.score > 0.8
    assert codec in evidence.words.lower()


def lowpassed(cutoff_hz):
    return scipy.signal.oaconvolve(song(), scipy.signal.firwin(511, cutoff_hz, fs=RATE_HZ)[:, None], axes=0)


def dull():
    return scipy.signal.lfilter(*scipy.signal.butter(2, 5000, fs=RATE_HZ), song(), axis=0)


def gated():
    level = scipy.ndimage.maximum_filter1d(np.abs(song()).max(axis=1), 1000)
    return song() * (level > np.median(level))[:, None]


def noisy():
    return song() + np.random.default_rng(3).normal(0, 0.002, song().shape)


def faded():
    return song() * np.linspace(1, 0, len(song()))[:, None]


def looped(period_samples):
    loop = np.random.default_rng(2).normal(0, 0.1, (period_samples, 2))
    return np.tile(loop, (9 * RATE_HZ // period_samples, 1))


def clicks(period_samples):
    train = np.zeros((9 * RATE_HZ, 2))
    train[::period_samples] = 0.8
    return train


def tone(frequency_hz):
    return np.sin(2 * np.pi * frequency_hz / RATE_HZ * np.arange(9 * RATE_HZ))[:, None] * [0.5, 0.5]


NEGATIVES = {
    "as it is": song,
    "low-passed at 11 kHz": lambda: lowpassed(11000),
    "low-passed at 16 kHz": lambda: lowpassed(16000),
    "dull": dull,
    "from 32 kHz": lambda: soxr.resample(soxr.resample(song(), RATE_HZ, 32000), 32000, RATE_HZ),
    "quiet": lambda: song() * 0.03,
    "faded": faded,
    "gated": gated,
    "noisy": noisy,
    "clipped": lambda: np.clip(4 * song(), -0.9, 0.9),
    "mono": lambda: song()[:, :1],
    "loop of a frame": lambda: looped(1024),
    "loop of an excerpt's spacing": lambda: looped(32768),
    "clicks on a frame grid": lambda: clicks(1152),
    "clicks off any": lambda: clicks(4410),
    "tone": lambda: tone(3000),
    "tone of whole period": lambda: tone(RATE_HZ / 16),
}


@pytest.mark.parametrize("name", NEGATIVES)
def test_music_that_never_was_coded_is_not_accused(name):
    evidence = lossy_source(in_16_bits(np.asarray(NEGATIVES[name](), np.float32)), RATE_HZ)
    assert not evidence.lossy
    assert evidence.score is None or evidence.score < 0.5


@pytest.mark.parametrize("rate_hz", [32000, 48000, 96000])
def test_resampled_music_is_not_accused(rate_hz):
    resampled = soxr.resample(song(), RATE_HZ, rate_hz)
    assert lossy_source(in_16_bits(resampled), rate_hz).lossy is False


def test_a_changed_gain_and_sample_format_leave_the_answer():
    samples, rate_hz = decoded("mp3", 128)
    answers = [
        lossy_source(samples, rate_hz),
        lossy_source(in_16_bits(samples * np.float32(0.1)), rate_hz),  # -20 dB
        lossy_source(samples * np.float32(1e-3), rate_hz),  # float keeps what 16 bits would round away
    ]
    assert [evidence.lossy for evidence in answers] == [True, True, True]


@pytest.mark.parametrize("cut", [1, 575, 40001])
def test_a_changed_start_leaves_the_answer(cut):
    samples, rate_hz = decoded("aac", 128)
    assert lossy_source(in_16_bits(samples[cut:]), rate_hz).lossy


def test_mono_of_a_lossy_file_is_found_out():
    samples = through_codec(song()[:, :1], RATE_HZ, "mp3", 96)
    assert lossy_source(in_16_bits(samples[77:, 0]), RATE_HZ).lossy


@pytest.mark.parametrize("block", [1000, 32769])
def test_blocks_do_not_matter(block):
    samples, meter = tripled(), LossyMeter(RATE_HZ, 2)
    for start in range(0, len(samples), block):
        meter.add(samples[start : start + block])
    assert meter.result() == in_one_go()


def tripled():
    """Long enough to thin the excerpts out."""
    return np.tile(in_16_bits(decoded("mp3", 128)[0]), (4, 1))


@functools.cache
def in_one_go():
    return lossy_source(tripled(), RATE_HZ)


def test_memory_is_bounded_over_a_long_recording():
    meter = LossyMeter(RATE_HZ, 2)
    block = np.zeros((32768, 2), np.float32)
    for _ in range(3000):
        meter.add(block)
    assert len(meter._excerpts) < 32
    assert max(meter._excerpts) > 2500, "the excerpts must reach to the end"


@pytest.mark.parametrize(
    ("samples", "rate_hz", "word"),
    [
        (np.zeros((10 * RATE_HZ, 2)), RATE_HZ, "quiet"),
        (song()[: 4 * RATE_HZ], RATE_HZ, "5 s"),
        (song(), 22050, "22050 Hz"),
        (np.random.default_rng(0).integers(-1, 2, (10 * RATE_HZ, 2)) / 2**15, RATE_HZ, "quiet"),
        (np.zeros((0, 2)), RATE_HZ, "5 s"),
    ],
)
def test_none_where_it_cannot_be_told(samples, rate_hz, word):
    evidence = lossy_source(np.asarray(samples, np.float32), rate_hz)
    assert evidence.score is None
    assert evidence.lossy is None
    assert word in evidence.words


def test_a_hand_made_codec_is_placed_to_the_sample():
    """MDCT frames with every second coefficient zero, put together by plain sums: the curve peaks where they lie."""
    hop, offset = 1024, 300
    window = np.sin(np.pi / 2 * np.sin(np.pi / (2 * hop) * (np.arange(2 * hop) + 0.5)) ** 2)
    n, k = np.arange(2 * hop)[:, None], np.arange(hop)[None]
    basis = np.sqrt(2 / hop) * np.cos(np.pi / hop * (n + 0.5 + hop / 2) * (k + 0.5)) * window[:, None]
    signal = np.zeros(EXCERPT_SAMPLES + 4 * hop)
    rng = np.random.default_rng(0)
    for frame in range(len(signal) // hop - 1):
        coefficients = rng.normal(0, 0.05, hop) * (rng.random(hop) < 0.5)
        signal[frame * hop : (frame + 2) * hop] += basis @ coefficients
    excerpt = in_16_bits(signal[hop + offset :][:EXCERPT_SAMPLES].astype(np.float32))
    grid = GRIDS[1]
    curve = offset_curve(excerpt, 0, grid, STEP)
    assert int(np.argmax(curve)) == (hop - offset) % grid.period_samples
    assert peak_gap([curve]) > 10
    moved = offset_curve(excerpt, 5, grid, STEP)
    assert int(np.argmax(moved)) == (hop - offset + 5) % grid.period_samples


def test_the_transforms_keep_the_level_of_noise():
    noise = np.random.default_rng(0).normal(0, 0.1, EXCERPT_SAMPLES).astype(np.float32)
    for grid in GRIDS[:3]:  # Opus emphasises treble first
        frames = np.stack(list(grid.coefficients(noise)))
        assert np.sqrt(np.mean(np.square(frames))) == pytest.approx(0.1, rel=0.05)
