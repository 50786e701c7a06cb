"""Whatever comes: recordings drawn by chance, with anything done to them anywhere, their ends above all."""

import warnings

import numpy as np
import pytest

from models.defects import Facts, Heard, Measures

RATES_HZ = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000)
CHANNELS = (1, 2, 2, 3, 6, 8)
DONE = 8  # kinds of what is done


def recording(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Tones and noise of a millisecond to three seconds, [frames, channels], and their rate."""
    rate, channels = int(rng.choice(RATES_HZ)), int(rng.choice(CHANNELS))
    frames = int(rate * 10 ** rng.uniform(-3, 0.5)) + int(rng.integers(1, 5))
    t = np.arange(frames)[:, None] / rate
    wave = rng.normal(0, 10 ** rng.uniform(-6, -1), (frames, channels)) * rng.integers(0, 2)
    for _ in range(rng.integers(0, 5)):
        wave = wave + rng.uniform(0, 0.3, channels) * np.sin(2 * np.pi * rng.uniform(30, 0.45 * rate) * t)
    for _ in range(rng.integers(0, 6)):
        near_end = int(rng.integers(0, min(frames, 200)))
        at = int(rng.choice([rng.integers(0, frames), near_end, frames - 1 - near_end]))
        channel = slice(None) if rng.random() < 0.5 else slice(0, 1)
        spoil(wave, at, int(10 ** rng.uniform(0, np.log10(frames + 1))), channel, rng)
    return wave.astype(np.float32), rate


def spoil(wave: np.ndarray, at: int, length: int, channel: slice, rng: np.random.Generator) -> None:
    """Does one of DONE things to a stretch."""
    part = wave[at : at + length, channel]
    kind = rng.integers(0, DONE)
    if kind == 0:
        part[:] = 0
    elif kind == 1:
        part[:] = part[:1]
    elif kind == 2:
        part *= -1
    elif kind == 3:
        part += rng.normal(0, 10 ** rng.uniform(-3, 1), part.shape)
    elif kind == 4:
        part[:3] += rng.choice([-1, 1]) * 10 ** rng.uniform(-2, 1)
    elif kind == 5 and at > length:
        part[:] = wave[at - length : at, channel][: len(part)]
    elif kind == 6:
        np.clip(part, -0.1, 0.1, out=part)
    elif kind == 7:
        part[:] = np.round(part * 64) / 64


@pytest.mark.parametrize("seed", range(8))
def test_measures_tell_of_what_is_there_and_nothing_goes_wrong(seed: int) -> None:
    rng = np.random.default_rng([11, seed])
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for _ in range(40):
            samples, rate = recording(rng)
            for event in Measures(unsure=True).detect(Heard(samples, rate), Facts()):
                assert 0 <= event.start_s <= event.end_s <= len(samples) / rate + 1e-6
                assert 0 <= event.score <= 1
