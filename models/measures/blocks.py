"""What all meters share: cutting a stream into blocks of one size, whatever sizes it comes in.

A meter folds over a recording in bounded memory: `add` takes the next samples, float32 [frames, channels] with full
scale at 1.0 (more is allowed, NaN and infinities are not), `result` gives the measure. Inside, samples lie as planes
[channels, frames] and arrive in blocks of one fixed size, the last one shorter. So the arithmetic, and with it the
result to the last bit, does not depend on how the recording was cut.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Array = npt.NDArray[Any]
Places = npt.NDArray[np.int64]  #: frames, cells or bins
Value = TypeVar("Value")

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 192_000
MOST_CHANNELS = 8
LFE = 3  # place of the low-frequency channel in the standard layouts of 6 to 8 channels (WAV, FLAC, ITU-R BS.775)


class Blocks:
    """Cuts a stream into planes [channels, size_samples]; a yielded plane is valid until the next one is asked for.

    Args:
        before: samples that each of them begins with beyond its size, of those that came before, as far as there are.
    """

    def __init__(self, size_samples: int, channels: int, in_one_piece: bool = True, before: int = 0) -> None:
        self._in_one_piece = in_one_piece
        self._size, self._before = size_samples, before
        self._kept = np.empty((channels, before + size_samples), np.float32)
        self._old = self._filled = 0  # of what is kept: what came in an earlier block, and all

    def push(self, planes: Samples) -> Iterator[Samples]:
        """The full blocks that `planes` [channels, frames] completes; what is left over waits for the next call."""
        at, size = 0, self._size
        while at < planes.shape[1]:
            if self._filled == self._old <= at and planes.shape[1] - at >= size:
                part = planes[:, at - self._old : at + size]
                is_as_wanted = part.strides[1] == part.itemsize and not self._in_one_piece
                yield part if is_as_wanted else np.ascontiguousarray(part)  # no copy where it is planes already
                at += size
                self._keep(part, copied=planes.shape[1] - at < size)
                continue
            taken = min(self._old + size - self._filled, planes.shape[1] - at)
            self._kept[:, self._filled : self._filled + taken] = planes[:, at : at + taken]
            self._filled, at = self._filled + taken, at + taken
            if self._filled == self._old + size:
                yield self._kept[:, : self._filled]
                self._keep(self._kept[:, : self._filled])

    def _keep(self, block: Samples, *, copied: bool = True) -> None:
        """Has the next block begin with the end of this one; where that is at hand, it is not `copied`."""
        self._old = self._filled = min(self._before, block.shape[1])
        if copied and self._old:
            self._kept[:, : self._old] = block[:, -self._old :]

    def rest(self) -> Samples:
        """What has not made a full block, and what is before it: [channels, frames]."""
        return self._kept[:, : self._filled]


class Meter(ABC, Generic[Value]):
    """Folds a measure over a recording. Subclasses say what to do with a block and how to conclude.

    Raises:
        ValueError: if rate or channels are out of range, or a block has another shape.
    """

    in_one_piece: ClassVar[bool] = True  #: whether arithmetic takes all channels of a block as one row of numbers

    def __init__(
        self, sample_rate_hz: int, channels: int, *, block_samples: int | None = None, before: int = 0
    ) -> None:
        if not LOWEST_RATE_HZ <= sample_rate_hz <= HIGHEST_RATE_HZ:
            raise ValueError(f"sample rate {sample_rate_hz} Hz is outside 8000..192000; is it in kHz?")
        if not 1 <= channels <= MOST_CHANNELS:
            raise ValueError(f"{channels} channels are outside 1..8; samples are [frames, channels], not transposed")
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.frames = 0
        self._blocks = Blocks(block_samples or sample_rate_hz, channels, self.in_one_piece, before)
        self._concluded: list[Value] = []

    def add(self, block: Samples) -> None:
        """Takes the next samples of the recording, [frames, channels]."""
        if block.ndim != 2 or block.shape[1] != self.channels:
            raise ValueError(f"a block of shape {block.shape} came; [frames, {self.channels}] is wanted")
        if self._concluded:
            raise ValueError("samples came after result(); a meter measures one recording, take a new one")
        self.frames += len(block)
        for planes in self._blocks.push(block.T.astype(np.float32, copy=False)):
            self._fold(planes)

    def result(self) -> Value:
        """The measure of all that was added; nothing can be added afterwards."""
        if not self._concluded:
            rest = self._blocks.rest()
            if rest.shape[1]:
                self._fold(rest)
            self._concluded.append(self._conclude())
        return self._concluded[0]

    @abstractmethod
    def _fold(self, planes: Samples) -> None:
        """Takes a block [channels, frames]; all but the last are of one size, after what they have from before."""

    @abstractmethod
    def _conclude(self) -> Value:
        """The measure, once all blocks are folded."""


def measured(meter: type[Meter[Value]], samples: Samples, sample_rate_hz: int) -> Value:
    """The result of `meter` over a whole array, [frames] or [frames, channels]."""
    columns = samples[:, None] if samples.ndim == 1 else samples
    whole = meter(sample_rate_hz, columns.shape[1])
    whole.add(columns)
    return whole.result()


def power_db(power: float) -> float | None:
    """Decibels of a mean square (0 dB: mean square 1, which is full-scale DC or square wave); None for nothing."""
    return float(10 * np.log10(power)) if power > 0 else None


def within_float32(planes: Samples) -> Samples:
    """`planes` with what float32 cannot square brought down to +180 dBFS; no copy where there is nothing to bring."""
    limit = np.float32(1e9)
    return np.clip(planes, -limit, limit) if max(planes.max(), -planes.min()) > limit else planes
