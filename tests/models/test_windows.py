"""Windows cover the recording, and what goes in comes out again."""

import numpy as np
import pytest

from models.windows import Grid, OverlapAdd, cut

GRIDS = [
    Grid(window=8, hop=8),
    Grid(window=8, hop=3),
    Grid(window=9, hop=4, lead_in=2),
    Grid(window=16, hop=5, lead_in=7),
    Grid(window=8, hop=1, lead_in=1),
]


def in_blocks(rows, size):
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def noise(rows, channels=2):
    return np.random.default_rng(rows).normal(size=(rows, channels)).astype(np.float32)


def slow_windows(rows, grid):
    """All windows of the padded recording by definition."""
    silence = np.zeros((grid.lead_in, rows.shape[1]), np.float32)
    padded = np.concatenate([silence, rows, silence])
    found, start = [], 0
    while start == 0 or start + grid.window - grid.hop < len(padded):
        window = padded[start : start + grid.window]
        found.append(np.concatenate([window, np.zeros((grid.window - len(window), rows.shape[1]), np.float32)]))
        start += grid.hop
    return found


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("rows", [1, 3, 8, 9, 17, 40, 101])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_windows_are_those_of_the_definition_however_the_recording_comes(grid, rows, block):
    sound = noise(rows)
    windows = list(cut(in_blocks(sound, block), grid))
    np.testing.assert_array_equal(windows, slow_windows(sound, grid))
    assert len(windows) == grid.count(rows)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("rows", [1, 3, 8, 9, 17, 40, 101])
def test_put_together_again_it_is_the_recording(grid, rows):
    sound = noise(rows)
    adder = OverlapAdd(grid, rows)
    back = [adder.add(window) for window in cut([sound], grid)]
    np.testing.assert_allclose(np.concatenate([*back, adder.finish()]), sound, atol=1e-6)


def test_a_seam_is_a_cross_fade_and_no_step():
    grid = Grid(window=200, hop=100, lead_in=50)
    adder = OverlapAdd(grid, 1000)
    levels = [np.full((200, 1), float(number % 2), np.float32) for number in range(grid.count(1000))]
    whole = np.concatenate([*map(adder.add, levels), adder.finish()])
    assert len(whole) == 1000
    assert np.abs(np.diff(whole[:, 0])).max() == pytest.approx(1 / 101, rel=0.01)


def test_the_tail_may_be_left_out():
    grid = Grid(window=8, hop=8, drop_tail=True)
    assert len(list(cut([noise(23)], grid))) == grid.count(23) == 2
    assert len(list(cut([noise(5)], grid))) == grid.count(5) == 1  # but never everything


def test_a_short_recording_is_repeated_where_the_card_says_so():
    sound = noise(3)
    (window,) = cut([sound], Grid(window=8, hop=8, repeat_short=True))
    np.testing.assert_array_equal(window, np.concatenate([sound, sound, sound[:2]]))
    (window,) = cut([sound], Grid(window=8, hop=8, lead_in=1, repeat_short=True))
    np.testing.assert_array_equal(window[1:7], np.concatenate([sound, sound]))
    assert (window[[0, 7]] == 0).all()
    (window,) = cut([sound], Grid(window=8, hop=8))
    np.testing.assert_array_equal(window, np.concatenate([sound, np.zeros((5, 2), np.float32)]))


def test_a_recording_without_rows_has_no_windows():
    with pytest.raises(ValueError, match="no rows"):
        list(cut([], Grid(window=8, hop=8)))


def test_memory_does_not_grow_with_length():
    grid = Grid(window=100, hop=40, lead_in=10)
    blocks = (noise(50, 1) for _ in range(2000))
    adder = OverlapAdd(grid, 100_000)
    kept = max(len(adder.add(window)) for window in cut(blocks, grid))
    assert kept <= grid.hop
    assert len(adder._sum) == grid.window
