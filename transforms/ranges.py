"""Files of which only parts are read, local or on Cloud Storage.

Conventions. The parts come from one and the same writing of an object. Cloud Storage has no checksum of parts: that is
up to the file's format, as Parquet's checksums of its pages are.
"""

from __future__ import annotations

import io
import os
from typing import IO, Any

from transforms import gcs
from transforms.gcs_client import explained

_READ_AHEAD_BYTES = 1 << 20


def open_ranges(path: str) -> IO[bytes]:
    """Opens a file, local or gs://, for reading; the parts of an object are fetched as they are needed.

    Raises:
        MisuseError: if a gs:// object does not exist, or was replaced while it was read.
        RunError: now or while reading, if it cannot be fetched.
        OSError: if a local file cannot be opened.
    """
    if not gcs.is_gcs(path):
        return open(path, "rb")
    with explained(path):
        return io.BufferedReader(_Ranges(gcs.current(path)), _READ_AHEAD_BYTES)


class _Ranges(io.RawIOBase):
    def __init__(self, found: gcs.Object) -> None:
        self._found = found
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._found.size_bytes}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        with explained(self._found.uri):
            data = gcs.read_range(self._found, self._at, min(self._at + len(buffer), self._found.size_bytes))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
