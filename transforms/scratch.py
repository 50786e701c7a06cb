"""Decoded samples between the decoder child, which writes them once, and the tasks, which read them in blocks.

Conventions. Samples are float32 [frames, channels], native byte order, interleaved, from byte 0 of a file without a
name: in memory (memfd) while they are few, else on disk. It is gone when nobody holds it open, whatever dies.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from typing import NoReturn, Self

import numpy as np
import numpy.typing as npt

from models.audio import Decoded

FloatArray = npt.NDArray[np.float32]

SAMPLE_BYTES = 4


class Samples:
    """Samples in a file without a name.

    Args:
        fd: the file; closed with this object.
        sample_rate_hz: of the samples.
        channels: of each frame.
        frames: how many there are.
        memory_backed: whether they lie in memory.
        release: takes `fd` back in the end.
    """

    def __init__(
        self,
        fd: int,
        *,
        sample_rate_hz: int,
        channels: int,
        frames: int,
        memory_backed: bool,
        release: Callable[[int], None] = os.close,
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.frames = frames
        self.memory_backed = memory_backed
        self._fd = fd
        #: Gives the memory or the disk space back; happens by itself when this object is collected.
        self.close = weakref.finalize(self, release, fd)

    def read(self, start: int, stop: int) -> FloatArray:
        """Frames `start` to `stop` (exclusive), a fresh array [frames, channels]; their end cuts it short.

        Raises:
            ValueError: if it is closed.
            OSError: if the disk fails.
        """
        if not self.close.alive:
            raise ValueError("these samples are closed: read them before close(), or make them again")
        start, stop = max(start, 0), min(stop, self.frames)
        samples = np.empty((max(stop - start, 0), self.channels), np.float32)
        rest, offset = samples.reshape(-1).view(np.uint8).data, start * self._frame_bytes
        while rest:
            count = os.preadv(self._fd, [rest], offset)
            if count == 0:
                raise OSError(f"the scratch file ends at byte {offset}, before frame {stop}: was it cut off?")
            rest, offset = rest[count:], offset + count
        return samples

    def blocks(self, block_frames: int) -> Iterator[FloatArray]:
        """All of them in blocks of `block_frames`, the last one shorter."""
        for start in range(0, self.frames, block_frames):
            yield self.read(start, start + block_frames)

    @property
    def _frame_bytes(self) -> int:
        return self.channels * SAMPLE_BYTES

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("samples are an open file: audio is never pickled, send the Track and decode it again")


class Scratch(Samples):
    """A decoded recording, and what the decoder says of it."""

    def __init__(
        self, fd: int, decoded: Decoded, *, memory_backed: bool, release: Callable[[int], None] = os.close
    ) -> None:
        super().__init__(
            fd,
            sample_rate_hz=decoded.info.sample_rate_hz,
            channels=decoded.info.channels,
            frames=decoded.frames,
            memory_backed=memory_backed,
            release=release,
        )
        self.decoded = decoded


class SpareMemory:
    """Keeps one memory file for the next recording: fresh pages cost the kernel more than the samples cost to copy."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._closed = False

    def take(self) -> int:
        """A memory file; what it holds is to be overwritten."""
        fd, self._fd = self._fd, None
        return os.memfd_create("songscan") if fd is None else fd

    def give(self, fd: int) -> None:
        """Takes a memory file back."""
        if self._fd is None and not self._closed:
            self._fd = fd
        else:
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Gives the memory back to the system; so does `give` from now on."""
        self._closed = True
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class ScratchWriter:
    """Writes samples to `memory_fd` until there are more than `memory_backed_bytes`, then all of them to `disk_fd`."""

    def __init__(self, memory_fd: int, disk_fd: int, memory_backed_bytes: int) -> None:
        self.memory_fd = memory_fd
        self.disk_fd = disk_fd
        self.memory_backed_bytes = memory_backed_bytes
        self.memory_backed = True
        self.size_bytes = 0

    def write(self, block: FloatArray) -> None:
        """Appends `block` [frames, channels].

        Raises:
            OSError: if the disk is full.
        """
        data = np.ascontiguousarray(block).data.cast("B")
        if self.memory_backed and self.size_bytes + len(data) > self.memory_backed_bytes:
            self._move()
        fd = self.memory_fd if self.memory_backed else self.disk_fd
        while data:
            count = os.pwrite(fd, data, self.size_bytes)
            self.size_bytes += count
            data = data[count:]

    def _move(self) -> None:
        offset = 0
        while offset < self.size_bytes:
            offset += os.sendfile(self.disk_fd, self.memory_fd, offset, self.size_bytes - offset)
        os.ftruncate(self.memory_fd, 0)
        self.memory_backed = False
