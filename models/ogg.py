"""Ogg page by page: where its pages break off, and a view of the file that libav can read across such a hole.

Conventions. Places and sizes are in bytes. A page is `OggS`, version 0, flags, granule position (8 bytes), serial
number (4), page number (4), checksum (4), number of segments, their sizes, and the segments themselves (RFC 3533).
"""

from __future__ import annotations

import bisect
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_PAGE_BYTES = 65307
#: What is left of a hole: enough for libav to see that something is missing. It gives up after MAX_PAGE_BYTES of it.
_LEFT_BYTES = 512
_MARK = b"OggS\0"
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Page:
    """A page that is whole."""

    size: int
    last: bool  #: whether it carries the end-of-stream mark
    granule: int  #: position of its end, in units of the codec; -1 if no packet ends in it
    serial: int
    content: bytes


def page_at(file: BinaryIO, at: int) -> Page | None:
    """The page at byte `at`; None if there is none, or not all of it. The checksum is not looked at."""
    file.seek(at)
    head = file.read(27)
    if len(head) < 27 or head[:5] != _MARK or head[5] > 7:
        return None
    sizes = file.read(head[26])
    content = head + sizes + file.read(sum(sizes))
    size = 27 + head[26] + sum(sizes)
    if len(content) < size:
        return None
    granule = int.from_bytes(head[6:14], "little", signed=True)
    return Page(size, bool(head[5] & 4), granule, int.from_bytes(head[14:18], "little"), content)


def first_page(name: str) -> Page | None:
    """The first page of the file `name`; None if it is not whole."""
    with open(name, "rb") as file:
        return page_at(file, 0)


def last_page(name: str) -> Page | None:
    """The last page of the file `name`; None if it is damaged: half an Ogg file is otherwise a sound one."""
    with open(name, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - 2 * MAX_PAGE_BYTES)
        file.seek(start)
        at = file.read().rfind(b"OggS")
        page = None if at < 0 else page_at(file, start + at)
        return page if page is not None and _is_right(page) else None


def first_hole(name: str) -> float | None:
    """Where pages of the file `name` are missing first, as a share (0..1) of its bytes; None if there is no hole."""
    with open(name, "rb") as file:
        pieces = list(_pieces(file))
        return pieces[0][1] / file.seek(0, os.SEEK_END) if len(pieces) > 1 else None


def rest(name: str) -> float:
    """Bytes behind the last page of the file `name`, as a share of those before."""
    with open(name, "rb") as file:
        *_, (_, end) = _pieces(file)
        return file.seek(0, os.SEEK_END) / end - 1.0


def mended(name: str) -> io.BufferedIOBase | None:
    """The Ogg file `name` with every hole cut short, as a file; None if there is no hole.

    Raises:
        OSError: if it cannot be read.
    """
    file = open(name, "rb")  # noqa: SIM115 - the view keeps it open
    pieces = list(_pieces(file))
    if len(pieces) > 1:
        return _View(file, pieces)
    file.close()
    return None


def _pieces(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Start and end of each run of whole pages."""
    size = file.seek(0, os.SEEK_END)
    start = at = previous = 0
    while at < size:
        page = page_at(file, at)
        if page is not None:
            previous, at = at, at + page.size
            continue
        following = _next_page(file, previous + 1)
        if following is None:
            size = at or size  # the end is missing, or something else follows
            break
        # Where the last page before the hole is damaged itself, libav would search the hole from there on.
        broken = page_at(file, previous)
        end = at if broken is not None and _is_right(broken) else previous
        if end > start:
            yield start, end
        start = at = previous = following
    yield start, size


def _next_page(file: BinaryIO, at: int) -> int | None:
    """Where the first undamaged page from byte `at` on begins."""
    tail = b""
    file.seek(at)
    while more := file.read(_READ_BYTES):
        block = tail + more
        resume = file.tell()
        found = block.find(_MARK)
        while found >= 0:
            place = resume - len(block) + found
            page = page_at(file, place)
            if page is not None and _is_right(page):
                return place
            found = block.find(_MARK, found + 1)
        file.seek(resume)
        tail = block[-len(_MARK) + 1 :]
    return None


def _is_right(page: Page) -> bool:
    crc = 0
    for byte in page.content[:22] + bytes(4) + page.content[26:]:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ byte]
    return crc == int.from_bytes(page.content[22:26], "little")


def _table() -> list[int]:
    table = []
    for crc in range(256):
        crc <<= 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
        table.append(crc)
    return table


_CRC = _table()


class _View(io.BufferedIOBase):
    """Pieces of a file one after the other, zeros of _LEFT_BYTES between them."""

    def __init__(self, file: BinaryIO, pieces: list[tuple[int, int]]) -> None:
        self.file = file
        self.at = 0
        self.parts: list[tuple[int, int, int | None]] = []  #: start and end here, and start in the file
        self.size = 0
        for start, end in pieces:
            if self.parts:
                self._append(_LEFT_BYTES, None)
            self._append(end - start, start)

    def _append(self, size: int, start: int | None) -> None:
        self.parts.append((self.size, self.size + size, start))
        self.size += size

    def readable(self) -> bool:
        """As of every file."""
        return True

    def seekable(self) -> bool:
        """As of every file."""
        return True

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self.at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to `offset` from the start, from here or from the end."""
        self.at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence])
        return self.at

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes, and fewer where a piece ends; none at the end."""
        if self.at >= self.size:
            return b""
        start, end, place = self.parts[bisect.bisect_right(self.parts, self.at, key=lambda part: part[0]) - 1]
        count = end - self.at if size is None or size < 0 else min(size, end - self.at)
        if place is None:
            content = bytes(count)
        else:
            self.file.seek(place + self.at - start)
            content = self.file.read(count)
        self.at += len(content)
        return content

    def close(self) -> None:
        """Closes the file behind it."""
        self.file.close()
        super().close()
