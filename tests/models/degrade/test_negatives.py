"""Musical effects: shape and bounds, determinism, and that measures which settle a class find no defect in them."""

import numpy as np
import pytest

from models.degrade.negatives import NEGATIVES, negative
from models.measures.clipping import clipped_share
from tests import signals


@pytest.mark.parametrize("name", NEGATIVES)
@pytest.mark.parametrize(("channels", "rate_hz"), [(2, 44100), (1, 16000), (6, 8000)])
def test_effects_keep_the_shape_and_do_not_clip(name, channels, rate_hz):
    clean = signals.music(3.0, rate_hz, channels)
    kept = clean.copy()
    one, two = (negative(clean, rate_hz, name, np.random.default_rng(5)) for _ in range(2))
    assert one.shape == clean.shape
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    assert np.abs(one).max() <= 1.0
    assert (one == two).all()
    assert (clean == kept).all()
    assert (one != clean).any() or (name, channels) == ("lossy", 6)
    assert np.abs(one).max() > 1e-3


@pytest.mark.parametrize("name", ["limited", "distorted", "guitar", "kick", "hats", "lossy"])
def test_loud_effects_have_no_flat_tops(name):
    for seed in range(3):
        made = negative(signals.music(3.0, 44100), 44100, name, np.random.default_rng(seed))
        assert clipped_share(made, 44100) < 1e-4


def test_an_unknown_effect_is_refused():
    with pytest.raises(ValueError, match="no effect 'flanger'"):
        negative(signals.music(1.0), 48000, "flanger", np.random.default_rng(0))
