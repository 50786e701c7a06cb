"""Cutting a recording into windows, and putting what a model gave for them together again. Pure NumPy.

Conventions. Rows are frames of audio or of a framewise output: arrays [rows, ...]. A grid says where windows lie (see
models/card.py): the recording, with `lead_in` rows of silence before and after it, is covered by windows of `window`
rows every `hop` rows. Everything streams: memory is a few windows, whatever the length of the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where windows lie over a recording.

    Args:
        window: rows of a window.
        hop: rows from one window to the next, at most `window`.
        lead_in: rows of silence before and after the recording.
        repeat_short: a recording too short for one window is repeated; otherwise silence follows it.
        drop_tail: what is left after the last whole window is left out; otherwise it is filled with silence.
    """

    window: int
    hop: int
    lead_in: int = 0
    repeat_short: bool = False
    drop_tail: bool = False

    def count(self, rows: int) -> int:
        """How many windows a recording of so many rows has.

        >>> Grid(window=4, hop=2).count(7), Grid(window=4, hop=2, drop_tail=True).count(7)
        (3, 2)
        """
        over = rows + 2 * self.lead_in - self.window
        if over <= 0:
            return 1
        return over // self.hop + 1 if self.drop_tail else -(-over // self.hop) + 1


def cut(blocks: Iterable[FloatArray], grid: Grid) -> Iterator[FloatArray]:
    """The windows [window, channels] of a recording that comes in `blocks` [rows, channels], in order.

    Raises:
        ValueError: if there are no rows.
    """
    kept: FloatArray | None = None
    rows = cut_windows = 0
    for block in blocks:
        rows += len(block)
        kept = np.concatenate([_silence(grid.lead_in, block) if kept is None else kept, block])
        while len(kept) >= grid.window:
            yield kept[: grid.window]
            cut_windows, kept = cut_windows + 1, kept[grid.hop :]
    if kept is None or not rows:
        raise ValueError("there are no rows to cut into windows")
    yield from _ending(kept, rows, cut_windows, grid)


def _ending(kept: FloatArray, rows: int, done: int, grid: Grid) -> Iterator[FloatArray]:
    """The windows that end after the last row of the recording; `kept` begins with the next one."""
    if done == 0 and grid.repeat_short and rows + 2 * grid.lead_in < grid.window:
        body = grid.window - 2 * grid.lead_in
        times = -(-body // rows)
        kept = np.concatenate([kept[: grid.lead_in], np.tile(kept[grid.lead_in :], (times, 1))[:body]])
    for number in range(grid.count(rows) - done):
        window = kept[number * grid.hop : number * grid.hop + grid.window]
        yield np.concatenate([window, _silence(grid.window - len(window), window)])


def _silence(rows: int, like: FloatArray) -> FloatArray:
    return np.zeros((rows, *like.shape[1:]), like.dtype)


class OverlapAdd:
    """Puts windows [window, ...] together, cross-fading linearly where they overlap; a constant stays a constant.

    Args:
        grid: how the windows lie.
        rows: how many rows the whole has; what is beyond is cut off, and what no window covers is 0.
    """

    def __init__(self, grid: Grid, rows: int) -> None:
        self._grid = grid
        self._left = rows
        self._skip = grid.lead_in
        ramp = np.minimum(np.arange(1, grid.window + 1), np.arange(grid.window, 0, -1))
        self._weight = np.minimum(ramp, grid.window - grid.hop + 1).astype(np.float64)
        self._sum: npt.NDArray[np.float64] | None = None
        self._weights = np.zeros(grid.window)

    def add(self, window: FloatArray) -> FloatArray:
        """Takes the next window; the rows that are final now, float32."""
        weight = self._weight.reshape(-1, *(1,) * (window.ndim - 1))
        if self._sum is None:
            self._sum = np.zeros(window.shape)
        self._sum += weight * window
        self._weights += self._weight
        return self._take(self._grid.hop)

    def finish(self) -> FloatArray:
        """The rest."""
        if self._sum is None:
            raise ValueError("no window came")
        rest = self._take(self._grid.window)
        return np.concatenate([rest, _silence(self._left, rest)])

    def _take(self, rows: int) -> FloatArray:
        assert self._sum is not None
        weights = self._weights[:rows].reshape(-1, *(1,) * (self._sum.ndim - 1))
        done = (self._sum[:rows] / np.where(weights > 0, weights, 1)).astype(np.float32)
        self._sum = np.concatenate([self._sum[rows:], np.zeros((rows, *self._sum.shape[1:]))])
        self._weights = np.concatenate([self._weights[rows:], np.zeros(rows)])
        done, self._skip = done[self._skip :], max(0, self._skip - len(done))
        done = done[: self._left]
        self._left -= len(done)
        return done
