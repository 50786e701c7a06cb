"""Decoding packet by packet with libav: what is refused, what is decoded but cannot be right, and how a file ends.

Conventions. Those of models.packets. libav's messages of this thread are captured while it decodes: a packet that it
decodes and complains of is damaged too, though it is heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import av

from models.formats import audio_stream, open_container
from models.mp3 import Mp3Decoder
from models.ogg import first_hole, first_page, last_page, rest
from models.packets import MAX_GAP_S, TimeLine
from models.stretches import Stretches


class Plain:
    """libav's decoder of a stream.

    Args:
        context: its codec context.
        logs: where libav's messages of this thread arrive.
    """

    def __init__(self, context: Any, logs: list[Any]) -> None:
        self.context = context
        self.logs = logs
        self.told: list[tuple[int, int]] = []

    def decode(self, packet: Any) -> list[Any]:
        """The frames of `packet`. Raises av.FFmpegError if it is refused."""
        if self.logs:
            self.logs.clear()
        frames: list[Any] = self.context.decode(packet)
        return frames

    def placed(self, packet: Any, start: int, stop: int) -> None:
        """Tells where `packet` came to lie on the time line; nowhere (-1, -1) if it was refused."""
        if self.logs and stop > start:
            self.told.append((start, stop))

    def finish(self, packets: Callable[[], Iterator[bytes]], stretches: Stretches) -> None:
        """Adds what the decoder complained of, though it decoded it, to `stretches`."""
        for start, stop in self.told:
            stretches.add(start, stop)


def decode_packets(name: str, container: Any, stream: Any, line: TimeLine) -> None:
    """Decodes `stream` of the file `name`, opened as `container`, into `line`."""
    clockless = container.format.name in ("mp3", "aac")  # time stamps are made by counting packets
    context = stream.codec_context
    good_bytes = good_packets = 0
    known_loss, last, loss_end = False, None, None
    with av.logging.Capture() as logs:
        decoder = Mp3Decoder(context, logs) if context.codec.name.startswith("mp3") else Plain(context, logs)
        for packet in _packets(container, stream, line):
            try:
                frames = decoder.decode(packet)
            except av.error.MemoryError:
                raise
            except av.FFmpegError:
                if clockless and _is_tag(packet):
                    line.left_out(packet)  # files that were joined, each with its tags
                    continue
                line.damaged(packet)
                decoder.placed(packet, -1, -1)
                known_loss, loss_end = True, line.end_of(packet)
                if clockless and good_packets and packet.duration:
                    lost = round(packet.size * good_packets / good_bytes)
                    line.shift(max(lost - 1, 0) * line.to_frames(packet.duration))
                continue
            if clockless and not frames and _is_tag(packet):
                line.left_out(packet)
                continue
            start = line.position
            for frame in frames:
                line.add(frame, known_loss)
                known_loss, loss_end = False, None
            if packet.size:
                decoder.placed(packet, start, line.position)
                good_bytes, good_packets = good_bytes + packet.size, good_packets + 1
                last = packet
    if loss_end is not None and 0 < loss_end - line.position <= MAX_GAP_S * line.rate_hz:
        line.silence(loss_end - line.position)
    decoder.finish(lambda: _again(name), line.stretches)
    line.finish(line.end_of(last) if container.format.name.startswith("mov") else None)


def _is_tag(packet: Any) -> bool:
    """Whether this is ID3 or APE tags, which libav's parser passes on where they stand between frames."""
    return bytes(memoryview(packet)[:3]) in (b"ID3", b"TAG", b"APE")


def _again(name: str) -> Iterator[bytes]:
    """All packets of the file once more."""
    with open_container(name) as container:
        for packet in container.demux(audio_stream(container)):
            if packet.size and not _is_tag(packet):
                yield bytes(packet)


def _packets(container: Any, stream: Any, line: TimeLine) -> Iterator[Any]:
    """The packets of `stream`; a demuxer that gives up counts as a damaged packet."""
    try:
        yield from container.demux(stream)
    except av.error.MemoryError:
        raise
    except av.FFmpegError:
        line.damaged()


def end_ogg(name: str, context: Any, line: TimeLine) -> None:
    """Holds the end of the time line against the last page, which tells the length."""
    hole = None if line.damaged_packets else first_hole(name)
    if hole is not None:
        line.damaged(at=round(hole * line.position))  # where one stream ends and another begins, no clock tells
    first, last = first_page(name), last_page(name)
    if last is None or not last.last:
        line.damaged()
        lost = round(rest(name) * line.position)  # nothing tells how long that was, but its size
        line.silence(lost if lost <= MAX_GAP_S * line.rate_hz else 0)
        return
    # Opus counts the delay of the encoder too, and always at 48 kHz: as libav's time stamps do.
    delay = int.from_bytes(context.extradata[10:12], "little") if context.name.endswith("opus") else 0
    missing = line.to_frames(last.granule - delay) - (line.origin or 0) - line.position
    chained = first is None or first.serial != last.serial
    if line.damaged_packets and not chained and line.tolerance_s * line.rate_hz < missing <= MAX_GAP_S * line.rate_hz:
        line.silence(missing)
