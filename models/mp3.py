"""Damaged MP3: libav decodes nearly everything that has a header, so that what the bits say against it is asked for.

Conventions. A granule tells how many bits it has, and Huffman codes must use them up exactly: that libav checks when it
is asked to (err_detect), but then silences what does not fit. What is heard elsewhere is what it makes of it without
checking. So the strict decoder goes first, and where it complains another one, that checks nothing, decodes from a
little before: the samples are those that a lenient decoder makes of the whole file, to the last bit, and sound files
are decoded once.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import av

STRICT = {"err_detect": "buffer+aggressive+bitstream+crccheck"}  #: libav tells of each granule that does not fit
TAIL_FRAMES = 576 + 480  #: a granule overlaps the next one, and the filter bank remembers so much
#: Packets that a decoder must have seen: a frame draws on 511 bytes before it, 21 frames of 8 kbit/s at 24 kHz.
_MEMORY = 32
_ALIKE = 4  #: packets after which nothing is left of a difference: the overlap of a granule, and the filter bank


class Mp3Decoder:
    """Decodes packets of MP3 as a lenient decoder does, and says which ones do not fit.

    Args:
        context: libav's codec context of the stream, not opened yet.
        logs: where libav's messages of this thread arrive.
    """

    def __init__(self, context: Any, logs: list[Any]) -> None:
        context.options = STRICT
        self.strict = context
        self.logs = logs
        self.lenient: Any = None
        self.needed = 0  #: packets for which the lenient decoder goes on
        self.recent: deque[Any] = deque(maxlen=_MEMORY)

    def decode(self, packet: Any) -> tuple[list[Any], bool]:
        """The frames of `packet`, and whether its bits contradict themselves. Raises av.FFmpegError if it is refused."""
        self.logs.clear()
        try:
            frames = self.strict.decode(packet)
        except av.FFmpegError:
            self._follow(packet)
            raise
        told = bool(self.logs)
        if told:
            self._start()
            self.needed = _ALIKE
        heard = self._follow(packet)
        return (frames if heard is None else _timed(heard, frames)), told

    def _start(self) -> None:
        """A lenient decoder that has seen what went before."""
        if self.lenient is None:
            self.lenient = av.CodecContext.create(self.strict.codec.name, "r")
            for packet in self.recent:
                _decoded(self.lenient, packet)

    def _follow(self, packet: Any) -> list[Any] | None:
        """What the lenient decoder makes of `packet`; None where it makes the same as the strict one."""
        if not packet.size:
            return None
        self.recent.append(packet)
        if self.lenient is None:
            return None
        frames = _decoded(self.lenient, packet)
        self.needed -= 1
        if not self.needed:
            self.lenient = None
        return frames


def _decoded(decoder: Any, packet: Any) -> list[Any] | None:
    try:
        return list(decoder.decode(packet))
    except av.error.MemoryError:
        raise
    except av.FFmpegError:
        return None


def _timed(frames: list[Any], like: list[Any]) -> list[Any]:
    """`frames` with the time stamps of `like`: those know of the encoder's delay that is left out."""
    for frame, other in zip(frames, like, strict=False):
        frame.pts = other.pts
    return frames
