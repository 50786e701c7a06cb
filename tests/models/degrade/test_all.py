"""What holds for every defect: determinism, bounds, untouched surroundings, and refusals in words."""

import numpy as np
import pytest

from models.degrade import NAMES, STRENGTHS, degrade
from tests import signals

RATE_HZ = 16000
CODED = ("codec_damage",)
SHAPES = ((1, 1.0, 8000), (2, 2.0, 16000), (6, 1.5, 48000), (2, 1.0, 192000))


def draw(name, strength=0.5, seed=0, samples=None, rate_hz=RATE_HZ):
    samples = signals.music(4.0, rate_hz) if samples is None else samples
    return degrade(samples, rate_hz, name, strength, np.random.default_rng(seed))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strength", STRENGTHS.values())
def test_outside_the_events_nothing_changes(name, strength):
    clean = signals.music(4.0, RATE_HZ)
    for seed in range(2 if name in CODED else 6):
        found = draw(name, strength, seed, clean)
        assert found.events == tuple(sorted(found.events, key=lambda event: event.start_s))
        assert found.events
        until = len(found.samples) if found.moved_from_s is None else round(found.moved_from_s * RATE_HZ)
        inside = np.zeros(found.samples.shape, bool)
        for event in found.events:
            assert event.name == name
            assert 0 <= event.start_s < event.end_s <= len(found.samples) / RATE_HZ
            columns = slice(None) if event.channel is None else event.channel
            inside[round(event.start_s * RATE_HZ) : round(event.end_s * RATE_HZ), columns] = True
        assert (found.samples[:until] == found.reference[:until])[~inside[:until]].all()
        assert len(found.samples) != len(found.reference) or (found.samples != found.reference)[inside].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_one_defect_and_leaves_the_input_alone(name):
    clean = signals.music(2.0, RATE_HZ)
    kept = clean.copy()
    one, two, other = (draw(name, 0.5, seed, clean) for seed in (3, 3, 4))
    assert (one.samples.shape, one.events) == (two.samples.shape, two.events)
    assert (one.samples == two.samples).all()
    assert one.samples.shape != other.samples.shape or (one.samples != other.samples).any()
    assert (clean == kept).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "length_s", "rate_hz"), SHAPES)
def test_shapes_and_rates(name, channels, length_s, rate_hz):
    clean = 2 * signals.music(length_s, rate_hz, channels)
    clean /= max(1.0, np.abs(clean).max())
    if (name, channels) == ("channel_fault", 1):
        with pytest.raises(ValueError, match="two channels"):
            draw(name, 0.5, 5, clean, rate_hz)
        return
    for strength in (0.0, 1.0):
        found = draw(name, strength, 5, clean, rate_hz)
        assert found.samples.dtype == np.float32
        assert found.samples.shape[1] == channels
        assert np.abs(found.samples).max() <= 1.0
        assert found.events
        assert all(event.channel is None or channels > 1 for event in found.events)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "klick"}, "no defect 'klick'"),
        ({"strength": 1.5}, "strength of 1.5"),
        ({"sample_rate_hz": 44}, "in kHz"),
        ({"samples": np.ones((2, 16000), np.float32)}, "transpose"),
        ({"samples": np.ones((8000, 1), np.float32)}, "0.500 s came"),
        ({"samples": np.zeros((16000, 1), np.float32)}, "silent"),
        ({"samples": np.full((16000, 1), 32767.0, np.float32)}, "full scale is 1.0"),
        ({"samples": np.full((16000, 1), np.nan, np.float32)}, "full scale is 1.0"),
    ],
)
def test_nonsense_is_refused_in_words(changed, words):
    given = {"samples": signals.music(1.0, RATE_HZ), "sample_rate_hz": RATE_HZ, "name": "click", "strength": 0.5}
    with pytest.raises(ValueError, match=words):
        degrade(**given | changed, rng=np.random.default_rng(0))
