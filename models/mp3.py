"""Damaged MP3: libav decodes nearly everything that has a header, so that what the bits say against it is asked for.

Conventions. A granule tells how many bits it has, and Huffman codes must use them up exactly: that libav checks when it
is asked to (err_detect), but then silences what does not fit. What is heard elsewhere is what it makes of it without
checking. So the strict decoder goes first, and where it complains another one, that checks nothing, decodes from a
little before: the samples are those that a lenient decoder makes of the whole file, to the last bit, and sound files
are decoded once. Of a file in which anything is amiss, all bits are looked at once more (models.mp3_bits).
"""

from __future__ import annotations

import itertools
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np

from models.mp3_bits import EXACT, damaged_granules
from models.mp3_side import Form, form_of
from models.stretches import Stretches

STRICT = {"err_detect": "buffer+aggressive+bitstream+crccheck"}  #: libav tells of each granule that does not fit
GRANULE = 576  #: frames
TAIL_FRAMES = GRANULE + 480  #: a granule overlaps the next one, and the filter bank remembers so much
_SAMPLED = 16  #: the form of one packet in so many is looked at
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
        self.ends = array("q")  #: of each packet on the time line, frames; -1 if it is refused
        self.told: set[int] = set()  #: packets that the strict decoder complained of
        self.refused = False  #: whether any packet was

    def decode(self, packet: Any) -> list[Any]:
        """The frames of `packet`. Raises av.FFmpegError if it is refused."""
        if self.logs:
            self.logs.clear()
        try:
            frames: list[Any] = self.strict.decode(packet)
        except av.FFmpegError:
            self._follow(packet)
            raise
        if not self.logs and self.lenient is None:  # as a rule
            self.recent.append(packet)
            return frames
        if self.logs:
            self.told.add(len(self.ends))
            self._start()
            self.needed = _ALIKE
        heard = self._follow(packet)
        return frames if heard is None else _timed(heard, frames)

    def placed(self, packet: Any, start: int, stop: int) -> None:
        """Tells where `packet` came to lie on the time line; nowhere (-1, -1) if it was refused."""
        self.ends.append(stop)
        self.refused |= stop < 0

    def finish(self, packets: Callable[[], Iterator[bytes]], stretches: Stretches) -> None:
        """Adds what is damaged in the file to `stretches`; `packets` gives all of them once more."""
        if not (self.told or self.refused) or len(self.told) > EXACT * len(self.ends):
            return
        form = _most_frequent(packets())
        damaged = np.zeros((0, 0), bool) if form is None else damaged_granules(packets(), form)
        for i, end in enumerate(self.ends[: len(damaged)]):
            granules = np.flatnonzero(damaged[i]).tolist() or range(damaged.shape[1] * (i in self.told))
            for granule in granules if end >= 0 else ():
                stop = end - GRANULE * (damaged.shape[1] - granule - 1)
                stretches.add(max(0, stop - GRANULE), max(0, stop) + TAIL_FRAMES)

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


def _most_frequent(packets: Iterator[bytes]) -> Form | None:
    """The form of most packets; not all are looked at."""
    forms = Counter(form_of(packet) for packet in itertools.islice(packets, 1, None, _SAMPLED))
    return max(forms, key=lambda form: (form is not None) * forms[form], default=None)


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
