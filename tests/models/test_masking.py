"""Masks on recordings: what a mask of 1, of 0 and of a band must do, at any rate, in any blocks, without seams."""

import tracemalloc

import numpy as np
import pytest

from models.apply import apply
from models.card import Input, Licences, ModelCard, Output
from models.masking import MaskFilter, extracting, separate_array

BINS = 961
HZ = np.arange(BINS) * 16_000 / 1920
NOTHING = Licences(code="", weights="", training_data="", research_only=False)


def card(**changes):
    fields = {
        "name": "fixed",
        "version": "1",
        "task": "stems",
        "licences": NOTHING,
        "inputs": (Input(name="waveform", layout="btc"),),
        "outputs": (Output(name="vocals", role="mask", layout="bfk"),),
        "sample_rate_hz": 16_000,
        "channels": 2,
        "window_samples": 64 * 480,
        "hop_samples": 48 * 480,
        "frame_hop_samples": 480,
        "mask_window_samples": 1920,
        "device_batch": 4,
    }
    return ModelCard(**{**fields, **changes})


class Fixed:
    """A model whose mask does not depend on what it hears."""

    frames = None

    def __init__(self, mask, frames=64):
        self.card = card()
        self._mask = np.broadcast_to(np.asarray(mask, np.float32), (frames, BINS))

    def predict_each(self, batches):
        for windows in batches:
            yield {"vocals": np.repeat(self._mask[None], len(windows), axis=0)}


BAND = Fixed((HZ > 300) & (HZ < 3400))


def noise(frames, channels=2, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (frames, channels)).astype(np.float32)


def tone(hz, rate_hz, seconds=3.0):
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)).astype(np.float32)[:, None]


def rms_db(samples):
    return 10 * np.log10(np.mean(np.square(samples)) + 1e-20)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 22_050, 37_800, 44_056, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_mask_of_1_gives_the_recording_back(rate_hz, channels):
    samples = noise(rate_hz + 17, channels)
    given = separate_array(Fixed(1.0), samples, rate_hz)
    assert given.shape == samples.shape
    np.testing.assert_allclose(given, samples, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 100, 479, 480, 7000])
def test_any_length(frames):
    samples = noise(frames)
    np.testing.assert_allclose(separate_array(Fixed(1.0), samples, 16_000), samples, atol=1e-6)


def test_a_recording_shorter_than_a_sample_of_the_model_is_told():
    with pytest.raises(ValueError, match="no rows"):
        separate_array(Fixed(1.0), noise(1), 96_000)


def test_silence_stays_silence():
    assert not separate_array(BAND, np.zeros((44_100, 2), np.float32), 44_100).any()


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100, 48_000])
def test_tones_within_and_without_the_band(rate_hz):
    inside, outside = tone(1000, rate_hz), tone(5000, rate_hz)
    middle = slice(rate_hz // 2, -rate_hz // 2)
    assert abs(rms_db(separate_array(BAND, inside, rate_hz)[middle]) - rms_db(inside[middle])) < 0.01
    assert rms_db(separate_array(BAND, outside, rate_hz)[middle]) < -80


def test_above_the_masks_band_its_top_holds():
    samples = tone(15_000, 44_100)
    middle = slice(8820, -8820)  # where the tone begins and ends there is more than a tone
    np.testing.assert_allclose(separate_array(Fixed(HZ > 6000), samples, 44_100)[middle], samples[middle], atol=1e-4)
    assert rms_db(separate_array(BAND, samples, 44_100)[4410:-4410]) < -80


def test_channels_keep_their_levels():
    left = tone(1000, 44_100)
    given = separate_array(BAND, np.concatenate([left, 0.25 * left], axis=1), 44_100)
    np.testing.assert_allclose(given[:, 1], 0.25 * given[:, 0], atol=1e-6)


def filtered(samples, rate_hz, block, rows):
    count = -(-len(samples) * 100 // (3 * rate_hz))
    parts, mask = [], np.random.default_rng(1).random((count, BINS)).astype(np.float32)
    blocks = iter([samples[start : start + block] for start in range(0, len(samples), block)])
    made = MaskFilter(card(), blocks, len(samples), rate_hz, parts.append)
    for start in range(0, count, rows):
        made.add(mask[start : start + rows])
    made.finish()
    return np.concatenate(parts)


@pytest.mark.parametrize("rate_hz", [22_050, 44_100])
def test_blocks_change_nothing(rate_hz):
    samples = noise(5 * rate_hz + 123)
    whole = filtered(samples, rate_hz, len(samples), 1)
    for block, rows in ((1000, 48), (rate_hz, 7), (77, 400)):
        np.testing.assert_allclose(filtered(samples, rate_hz, block, rows), whole, atol=2e-7)


def test_a_moving_mask_is_centred_on_its_frames():
    """Frames 0..31 are silent, those from 32 on let all through: the step lies between their centres, at 32 hops."""
    mask = np.zeros((64, BINS))
    mask[32:] = 1
    samples = np.ones((64 * 480, 1), np.float32)
    given = separate_array(Fixed(mask), samples, 16_000)[:, 0]
    assert abs(np.interp(0.5, given, np.arange(len(given))) - 32 * 480) < 2
    assert np.abs(given[: 30 * 480]).max() < 1e-6
    np.testing.assert_allclose(given[34 * 480 :], 1, atol=1e-6)


@pytest.mark.parametrize("sound", ["tone", "noise"])
def test_no_seams(sound):
    """Neither level nor spectral flux are higher where windows and blocks join than elsewhere."""
    rate_hz, seconds = 44_100, 12
    samples = tone(1000, rate_hz, seconds) if sound == "tone" else noise(seconds * rate_hz, 1)
    given = separate_array(BAND, samples, rate_hz)[rate_hz:-rate_hz, 0]
    frames = given[: len(given) // 1323 * 1323].reshape(-1, 1323)
    spectra = np.abs(np.fft.rfft(frames * np.hanning(1323), axis=1))
    flux = np.abs(np.diff(spectra, axis=0)).sum(axis=1)
    level = np.sqrt(np.mean(frames**2, axis=1))
    joins = np.arange(48, len(flux) + 33, 48) - 33  # hops of windows, less the second that is left out
    joins = joins[(joins > 0) & (joins < len(flux))]
    near = np.unique(np.concatenate([joins - 1, joins]))
    far = np.setdiff1d(np.arange(len(flux)), near)
    assert level[near].max() < level[far].max() * 1.05
    assert flux[near].mean() < flux[far].mean() * 1.15 + 1e-3


def test_a_foreign_waveform_is_brought_to_the_recording():
    """A separator at 8 kHz, mono, that halves what it hears."""

    class Halves:
        frames = None
        card = card(
            outputs=(Output(name="voice", role="waveform", layout="btc"),),
            sample_rate_hz=8000,
            channels=1,
            frame_hop_samples=None,
            mask_window_samples=None,
            window_samples=8000,
            hop_samples=6000,
        )

        def predict_each(self, batches):
            for windows in batches:
                yield {"voice": windows / 2}

    low, high = tone(1000, 44_100), tone(9000, 44_100)
    samples = np.repeat(low + high, 2, axis=1)
    given = separate_array(Halves(), samples, 44_100)
    assert given.shape == samples.shape
    middle = slice(4410, -4410)
    np.testing.assert_allclose(given[middle], np.repeat(low / 2, 2, axis=1)[middle], atol=2e-3)


def test_memory_does_not_grow_with_length():
    rate_hz, block = 44_100, 44_100

    def peak(seconds):
        tracemalloc.start()
        blocks = (noise(block, seed=number) for number in range(seconds))
        extracted = extracting(BAND.card, blocks, seconds * rate_hz, rate_hz, 2, lambda samples: None)
        heard = (noise(16_000, seed=number) for number in range(seconds))
        apply(BAND, heard, seconds * 16_000, {"vocals": extracted.add})
        extracted.finish()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(80) < peak(20) * 1.1
