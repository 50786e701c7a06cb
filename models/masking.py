"""Masks and waveforms of a separator, applied to a recording at its own rate and with all its channels.

Conventions. Samples are float32 [frames, channels], masks float32 [mask frames, bins], 0..1. A network hears a reduced
rate; its mask is multiplied to the STFT of the recording itself, whose window has the same duration, so that nothing is
cut off and the stereo image stays. Mask frame n is centred at (n + 1/2) hops, in seconds, whatever the rate: hops may
then differ by a sample. Windows are periodic Hann windows before and after; what is added up is divided by the sum of
their squares, so a mask of 1 gives the recording back.

Above the mask's last bin its mean over the last kilohertz holds; beyond the recording's ends the first and last rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import scipy.fft
import soxr

from models.apply import apply
from models.audio import converted, converted_frames, downmix
from models.card import ModelCard, Role
from models.model import Model
from models.windows import FloatArray

Sink = Callable[[FloatArray], object]

ROLES: tuple[Role, ...] = ("mask", "waveform")  #: of which a separator has exactly one output
TOGETHER = 32  #: mask frames that are transformed at once
TOP_HZ = 1000.0  #: the part of a mask that speaks for all above it
BLOCK_S = 10.0


def extracting(
    card: ModelCard, blocks: Iterator[FloatArray], frames: int, sample_rate_hz: int, channels: int, sink: Sink
) -> MaskFilter | Resampled:
    """What takes the output of a separator (`add`), to the end (`finish`), and hands what it extracts to `sink`.

    Args:
        blocks: the recording from its start, [frames, channels] each, to be read as masks come.
        frames: of the recording.
        sink: takes blocks at the recording's rate, with all its channels, `frames` in all.

    Raises:
        ModelError: if the card has no output, or several, that a separator may have.
    """
    if card.output_of(*ROLES).role == "mask":
        return MaskFilter(card, blocks, frames, sample_rate_hz, sink)
    return Resampled(card, frames, sample_rate_hz, channels, sink)


def separate_array(model: Model, samples: FloatArray, sample_rate_hz: int) -> FloatArray:
    """What `model` extracts from `samples` [frames, channels], an array of the same shape.

    Raises:
        ModelError: as `Model.predict_each` does.
        ValueError: if there are too few samples for one at the model's rate.
    """
    card, parts = model.card, list[FloatArray]()

    def blocks() -> Iterator[FloatArray]:
        step = max(1, round(BLOCK_S * sample_rate_hz))
        return (samples[start : start + step] for start in range(0, len(samples), step))

    extracted = extracting(card, blocks(), len(samples), sample_rate_hz, samples.shape[1], parts.append)
    heard = converted(blocks(), sample_rate_hz, card.sample_rate_hz, card.channels)
    frames = converted_frames(len(samples), sample_rate_hz, card.sample_rate_hz)
    apply(model, heard, frames, {card.output_of(*ROLES).name: extracted.add})
    extracted.finish()
    return np.concatenate(parts)


class MaskFilter:
    """Multiplies masks, as they come, to the STFT of a recording.

    Args:
        card: tells rate, window and hop of the masks.
        blocks: the recording, from its start.
        frames: how many it has.
        sink: takes the filtered recording, `frames` in all.
    """

    def __init__(
        self, card: ModelCard, blocks: Iterator[FloatArray], frames: int, sample_rate_hz: int, sink: Sink
    ) -> None:
        window, hop = card.mask_window_samples, card.frame_hop_samples
        assert window is not None
        assert hop is not None
        self._window = 2 * round(window * sample_rate_hz / card.sample_rate_hz / 2)
        self._hop = hop * sample_rate_hz / card.sample_rate_hz  # samples, perhaps no whole number
        self._hann = np.hanning(self._window + 1)[:-1].astype(np.float32)
        self._bins = _Bins(card, window, self._window, sample_rate_hz)
        self._around = -(-window // (2 * hop))  # mask frames beyond each end whose windows reach into the recording
        self._wanted = int(np.ceil(frames / self._hop)) + 2 * self._around
        self._frames = frames
        self._sink = sink
        self._source = _Reader(blocks, frames)
        self._rows: list[FloatArray] = []
        self._waiting = 0  # mask frames in _rows
        self._done = 0  # mask frames transformed, those before the start included
        self._last: FloatArray | None = None
        self._sum: FloatArray | None = None  # added up so far, from sample _at on
        self._weights = np.zeros(0, np.float32)
        self._at = self._start(0)

    def add(self, mask: FloatArray) -> None:
        """Takes the next rows of the mask, [mask frames, bins]."""
        if not len(mask):
            return
        if self._last is None:
            self._push(np.repeat(mask[:1], self._around, axis=0))
        self._last = mask[-1:]
        self._push(mask)
        while self._waiting >= TOGETHER:
            self._transform(TOGETHER)

    def finish(self) -> None:
        """No more masks come: what is left."""
        assert self._last is not None, "no mask came"
        missing = self._wanted - self._done - self._waiting
        self._push(np.repeat(self._last, max(0, missing), axis=0))
        while self._done < self._wanted:
            self._transform(min(TOGETHER, self._wanted - self._done))
        self._give(self._frames)

    def _push(self, rows: FloatArray) -> None:
        self._rows.append(rows)
        self._waiting += len(rows)

    def _take(self, count: int) -> FloatArray:
        rows = np.concatenate(self._rows)
        self._rows, self._waiting = [rows[count:]], len(rows) - count
        return rows[:count]

    def _start(self, number: int) -> int:
        """The first sample of the window of a mask frame; the first one lies before the recording."""
        return round((number - self._around + 0.5) * self._hop - self._window / 2)

    def _transform(self, count: int) -> None:
        masks = self._take(count)
        if self._done + count > self._wanted:  # a mask may be a frame longer than the recording, by rounding
            count = self._wanted - self._done
            masks = masks[:count]
        if not count:
            return
        starts = np.array([self._start(self._done + number) for number in range(count)])
        first, stop = int(starts[0]), int(starts[-1]) + self._window
        samples = np.ascontiguousarray(self._source.read(first, stop).T)
        view = np.lib.stride_tricks.sliding_window_view(samples, self._window, axis=1)  # [channels, places, window]
        windows = view[:, starts - first]  # a copy
        windows *= self._hann
        spectra = scipy.fft.rfft(windows, axis=-1)
        spectra *= self._bins.of(masks)
        windows = scipy.fft.irfft(spectra, self._window, axis=-1, overwrite_x=True)
        windows *= self._hann
        self._add_up(windows, starts, stop)
        self._done += count
        self._give(self._start(self._done))

    def _add_up(self, windows: FloatArray, starts: np.ndarray[tuple[int], np.dtype[np.int64]], stop: int) -> None:
        grow = stop - self._at - len(self._weights)
        if self._sum is None:
            self._sum = np.zeros((len(windows), 0), np.float32)
        self._sum = np.pad(self._sum, ((0, 0), (0, grow)))
        self._weights = np.pad(self._weights, (0, grow))
        squares = np.square(self._hann)
        for number, start in enumerate(starts - self._at):
            self._sum[:, start : start + self._window] += windows[:, number]
            self._weights[start : start + self._window] += squares

    def _give(self, until: int) -> None:
        """Hands on what is before sample `until`: no later window reaches there."""
        assert self._sum is not None
        until = min(until, self._frames)
        count = until - self._at
        if count <= 0:
            return
        done = self._sum[:, :count] / np.maximum(self._weights[:count], 1e-6)
        self._sum, self._weights = self._sum[:, count:], self._weights[count:]
        done = done[:, max(0, -self._at) :]
        self._at = until
        if done.shape[1]:
            self._sink(np.ascontiguousarray(done.T))


class _Reader:
    """A recording in blocks, read forwards by overlapping ranges; beyond its ends there is silence."""

    def __init__(self, blocks: Iterator[FloatArray], frames: int) -> None:
        self._blocks = blocks
        self._frames = frames
        self._kept: FloatArray | None = None
        self._first = 0  # the frame at which _kept begins

    def read(self, start: int, stop: int) -> FloatArray:
        """Frames `start` to `stop`, [frames, channels]; `start` never goes back."""
        kept = next(self._blocks) if self._kept is None else self._kept
        drop = min(max(0, start - self._first), len(kept))
        kept, self._first = kept[drop:], self._first + drop
        parts, have = [kept], self._first + len(kept)
        while have < min(stop, self._frames):
            parts.append(next(self._blocks))
            have += len(parts[-1])
        self._kept = np.concatenate(parts) if len(parts) > 1 else kept
        inside = self._kept[max(0, start - self._first) : max(0, stop - self._first)]
        before = max(0, min(0, stop) - start)
        after = stop - start - before - len(inside)
        return np.pad(inside, ((before, after), (0, 0))) if before or after else inside


class _Bins:
    """Brings a mask's bins to those of another STFT."""

    def __init__(self, card: ModelCard, window: int, native_window: int, sample_rate_hz: int) -> None:
        count = window // 2 + 1
        hz = np.arange(native_window // 2 + 1) * sample_rate_hz / native_window
        places = np.round(hz * window / card.sample_rate_hz, 6)
        self._top = max(1, round(TOP_HZ * window / card.sample_rate_hz))
        self._lower = np.minimum(np.floor(places).astype(np.int64), count)  # `count` is the mean of the top
        self._upper = np.minimum(self._lower + 1, count)
        self._share = (places - np.floor(places)).astype(np.float32)
        self._exact = not self._share[self._lower < count].any()

    def of(self, masks: FloatArray) -> FloatArray:
        """Masks [frames, native bins]."""
        whole = np.concatenate([masks, masks[:, -self._top :].mean(axis=1, keepdims=True)], axis=1)
        lower = whole[:, self._lower]
        return lower if self._exact else lower + self._share * (whole[:, self._upper] - lower)


class Resampled:
    """Brings a separator's waveform to a recording's rate, channels and length.

    What lies above the separator's band is lost to it, so it stays with the accompaniment.
    """

    def __init__(self, card: ModelCard, frames: int, sample_rate_hz: int, channels: int, sink: Sink) -> None:
        self._same = card.sample_rate_hz == sample_rate_hz
        self._stream = soxr.ResampleStream(
            card.sample_rate_hz, sample_rate_hz, card.channels, dtype="float32", quality="HQ"
        )
        self._channels = channels
        self._left = frames
        self._sink = sink
        self._given = card.channels

    def add(self, samples: FloatArray) -> None:
        """Takes the next samples [frames, the card's channels]."""
        self._give(samples if self._same else self._stream.resample_chunk(np.ascontiguousarray(samples)))

    def finish(self) -> None:
        """No more come: what is left, and silence where rounding leaves a sample out."""
        if not self._same:
            self._give(self._stream.resample_chunk(np.zeros((0, self._given), np.float32), last=True))
        if self._left:
            self._sink(np.zeros((self._left, self._channels), np.float32))

    def _give(self, samples: FloatArray) -> None:
        samples = samples.reshape(-1, self._given)[: self._left]
        self._left -= len(samples)
        if len(samples):
            self._sink(_spread(samples, self._channels))


def _spread(samples: FloatArray, channels: int) -> FloatArray:
    """Mono or stereo to `channels`: as they are, mixed down, or the mean of them in each."""
    if samples.shape[1] == channels:
        return samples
    if channels == 1:
        return downmix(samples, 1)
    return np.repeat(downmix(samples, 1), channels, axis=1)
