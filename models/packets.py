"""The time line of what is decoded packet by packet, so that damage costs what it hit and nothing more.

Conventions. The time line begins with the first sample that is to be heard (encoder delay is trimmed by libav) and is
told by the packets' time stamps. A packet that is refused or missing becomes silence of its length, and is counted.
What is damaged lasts longer, since decoders add the end of one packet to the beginning of the next: `around`. Frames
whose rate or channels differ from the first frame's are converted to those of the first, and are no damage.
Blocks are float32 [frames, channels], full scale +-1.0, about a second each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from models.formats import LAYOUTS, AudioError, AudioInfo
from models.stretches import Stretches

FloatArray = npt.NDArray[np.float32]

MAX_DAMAGED_AT = 100  #: so many places of damage are kept
MAX_GAP_S = 600.0  #: a jump of the time stamps beyond this is a broken clock, not a gap to fill
HELD_BACK_FRAMES = 16384  #: kept until the end, which may trim them: more than a packet of any codec holds


def block_frames(sample_rate_hz: int) -> int:
    """About a second, in whole FLAC frames (4096): reading across them costs libsndfile a tenth more."""
    return max(sample_rate_hz // 16384, 1) * 16384


class Outlet:
    """Where the blocks go: counts them, and refuses what is too long or not a number."""

    def __init__(self, sink: Callable[[FloatArray], object], info: AudioInfo, max_samples: int | None) -> None:
        self.sink = sink
        self.info = info
        self.max_frames = None if max_samples is None else max_samples // info.channels
        self.lossy = not info.lossless
        self.float_pcm = info.codec.startswith("pcm_f")
        self.frames = 0
        self.non_finite = 0
        self.first_non_finite = 0

    def put(self, block: FloatArray) -> None:
        """Passes `block` on.

        Raises:
            AudioError: `too_long`.
        """
        if self.max_frames is not None and self.frames + len(block) > self.max_frames:
            limit_s = self.max_frames / self.info.sample_rate_hz
            what = f"the recording is longer than the limit of {limit_s:.0f} s ({self.max_frames} frames)"
            advice = "Split it; or raise --max_hours and scan it once with --force --track_ids."
            raise AudioError("too_long", what, advice)
        if self.float_pcm and not is_finite(block):
            bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if not self.non_finite:
                self.first_non_finite = self.frames + int(bad[0])
            self.non_finite += int((~np.isfinite(block)).sum())
        self.sink(block)
        self.frames += len(block)

    def check_finite(self) -> None:
        """Raises AudioError `non_finite` if a sample was NaN or infinite."""
        if self.non_finite:
            at_s = self.first_non_finite / self.info.sample_rate_hz
            where = f"frame {self.first_non_finite} ({at_s:.3f} s)"
            what = f"{self.non_finite} samples are NaN or infinite, the first in {where}"
            raise AudioError("non_finite", what, "A faulty export of floating-point audio: export it again.")


def is_finite(block: FloatArray) -> bool:
    """Whether no sample is NaN or infinite. The sum tells it several times faster than np.isfinite does."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(block.sum())) or bool(np.isfinite(block).all())


class TimeLine:
    """Joins decoded frames into blocks, with silence where packets are missing.

    Args:
        skip_frames: so many frames have gone to the outlet already, from another decoder.
        tolerance_s: deviations of the time stamps that are no gaps.
        around: so many frames before a missing packet, and behind it, are false too.
    """

    def __init__(
        self, outlet: Outlet, *, skip_frames: int = 0, tolerance_s: float = 0.0, around: tuple[int, int] = (0, 0)
    ) -> None:
        self.outlet = outlet
        self.skip_frames = skip_frames
        self.tolerance_s = tolerance_s
        self.rate_hz = outlet.info.sample_rate_hz
        self.position = 0  #: frames so far, silence included
        self.decoded_frames = 0
        self.damaged_packets = 0
        self.damaged_at_s: list[float] = []
        self.stretches = Stretches()
        self.lead_frames, self.tail_frames = around
        self.origin: int | None = None  #: time stamp of frame 0, in frames
        self.form: tuple[str, int, int] | None = None  #: sample format, channels and rate that all frames are to have
        self.target: tuple[Any, Any, int] = (None, None, 0)  #: the same for libav
        self.time_base = (1, self.rate_hz)  #: of the time stamps: numerator and denominator, seconds
        self.ticks = 1.0  #: of the time stamps, per frame
        self.expected_pts = -math.inf  #: of the next frame, if nothing is missing
        self.block_frames = block_frames(self.rate_hz)
        self.fifo = av.AudioFifo()
        self.packer = av.AudioResampler(format="flt")
        self.foreign: tuple[tuple[str, int, int], Any] | None = None

    def damaged(self, packet: Any = None, *, at: int | None = None) -> None:
        """Counts a packet that is damaged or missing: where its time stamp says, or in frame `at`, or here."""
        self.damaged_packets += 1
        at = self.position if at is None else at
        length = 0
        if packet is not None and packet.pts is not None and self.origin is not None:
            at = max(at, self.to_frames(packet.pts) - self.origin)
            length = self.to_frames(packet.duration or 0) + self.tail_frames
        self.stretches.add(at, at + length)
        if len(self.damaged_at_s) < MAX_DAMAGED_AT:
            self.damaged_at_s.append(at / self.rate_hz)

    def add(self, frame: Any, known_loss: bool) -> None:
        """Adds a decoded frame at its place. `known_loss`: the gap before it is counted as damage already."""
        form = (frame.format.name, frame.layout.nb_channels, frame.sample_rate)
        frames = frame.samples
        if not self.form:
            self._begin(frame)
        pts = frame.pts
        if pts is not None:
            if not -1 <= pts - self.expected_pts <= 1:  # the quick way to see that nothing is missing
                self._keep_time(pts, frames, known_loss)
            self.expected_pts = pts + frames * self.ticks
            frame.pts = None  # else the FIFO checks it
        if form != self.form:
            self._append_foreign(frame, form)
            return
        self.fifo.write(frame)
        self.decoded_frames += frames
        self.position += frames
        if self.fifo.samples >= self.block_frames + HELD_BACK_FRAMES:
            self._emit(self.block_frames)

    def _begin(self, first: Any) -> None:
        """All frames are to be of the first one's sample format, but of the rate and channels that the header told."""
        info = self.outlet.info
        self.form = (first.format.name, info.channels, info.sample_rate_hz)
        layout = first.layout if first.layout.nb_channels == info.channels else LAYOUTS[info.channels]
        self.target = (first.format, layout, info.sample_rate_hz)
        base = first.time_base
        self.time_base = (base.numerator, base.denominator)
        self.ticks = base.denominator / (base.numerator * first.sample_rate)

    def _append_foreign(self, frame: Any, form: tuple[str, int, int]) -> None:
        if self.foreign is None or self.foreign[0] != form:
            self.foreign = form, av.AudioResampler(*self.target)
        for converted in self.foreign[1].resample(frame):
            converted.pts = None
            converted.time_base = Fraction(*self.time_base)  # else the FIFO refuses it
            self.fifo.write(converted)
            self.decoded_frames += converted.samples
            self.position += converted.samples

    def _keep_time(self, pts: int, frames: int, known_loss: bool) -> None:
        at = self.to_frames(pts)
        if self.origin is None:
            self.origin = at - self.position
            return
        gap = at - self.origin - self.position
        tolerance = max(self.tolerance_s * self.rate_hz, frames / 2)
        if -tolerance <= gap <= tolerance:
            return
        if not known_loss and gap > 0:
            self.damaged()
        if 0 < gap <= MAX_GAP_S * self.rate_hz:
            self.silence(gap)
        else:
            self.origin = at - self.position  # another stream chained to the first, or a broken clock

    def to_frames(self, ticks: int) -> int:
        """Ticks of the time stamps as frames."""
        return ticks * self.rate_hz * self.time_base[0] // self.time_base[1]

    def left_out(self, packet: Any) -> None:
        """Tells that `packet` is no audio, though the time stamps count it."""
        if self.origin is not None:
            self.origin += self.to_frames(packet.duration or 0)

    def end_of(self, packet: Any) -> int | None:
        """Where `packet` ends on the time line; the last packet of an M4A tells so where the padding begins."""
        if packet is None or packet.pts is None or self.origin is None:
            return None
        return self.to_frames(packet.pts + (packet.duration or 0)) - self.origin

    def shift(self, frames: int) -> None:
        """Adds silence that the time stamps do not know of."""
        self.silence(frames)
        if self.origin is not None:
            self.origin -= frames

    def silence(self, frames: int) -> None:
        """Adds `frames` frames of silence."""
        self._emit(self.fifo.samples)
        if frames > 0:
            self.stretches.add(max(0, self.position - self.lead_frames), self.position + frames + self.tail_frames)
        for start in range(0, frames, self.rate_hz):
            self._put(np.zeros((min(self.rate_hz, frames - start), self.outlet.info.channels), np.float32))
        self.position += frames

    def finish(self, end: int | None) -> None:
        """Passes on what is held back, up to frame `end` of the time line."""
        if end is not None and 0 < self.position - end < self.fifo.samples:
            self.decoded_frames -= self.position - end
            self._emit(self.fifo.samples - (self.position - end))
            self.position = end
        else:
            self._emit(self.fifo.samples)

    def _emit(self, frames: int) -> None:
        if frames <= 0:
            return
        for packed in self.packer.resample(self.fifo.read(frames)):
            count = packed.samples * self.outlet.info.channels
            # No copy: the array keeps libav's buffer alive, and nobody else writes to it.
            self._put(np.frombuffer(packed.planes[0], np.float32, count).reshape(packed.samples, -1))

    def _put(self, block: FloatArray) -> None:
        skipped = min(self.skip_frames, len(block))
        self.skip_frames -= skipped
        block = block[skipped:]
        if self.outlet.lossy and not is_finite(block):
            self.damaged(at=self.outlet.frames)  # a lossy decoder made it from garbage
            bad = self.outlet.frames + np.flatnonzero(~np.isfinite(block).all(axis=1))
            self.stretches.add(int(bad[0]), int(bad[-1]) + 1)
            block = np.where(np.isfinite(block), block, np.float32(0.0))
        if len(block):
            self.outlet.put(block)
