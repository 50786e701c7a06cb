"""Bytes as Cloud Storage holds them: the CRC32C that it knows them by, and what it may have been told to unpack."""

from __future__ import annotations

import base64
import contextlib
import gzip
import shutil
import tempfile
from typing import IO

import google_crc32c

_BLOCK_BYTES = 1 << 20


def crc32c_of(file: IO[bytes]) -> str:
    """The CRC32C of a whole open file, in base64 as Cloud Storage tells it.

    >>> import io
    >>> crc32c_of(io.BytesIO(b"hello world"))
    'yZRlqg=='
    """
    checksum = google_crc32c.Checksum()
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        checksum.update(block)
    return base64.b64encode(checksum.digest()).decode()


def revision_of(file: IO[bytes]) -> str:
    """`SIZE-CRC32C` of a whole open file.

    >>> import io
    >>> revision_of(io.BytesIO(b"hello world"))
    '11-yZRlqg=='
    """
    crc32c = crc32c_of(file)
    return f"{file.tell()}-{crc32c}"


def unpack(file: IO[bytes]) -> None:
    """Undoes `Content-Encoding: gzip`, as a browser would; what only claims to be packed stays as it is."""
    file.seek(0)
    with tempfile.TemporaryFile(prefix="songscan-") as plain, contextlib.suppress(gzip.BadGzipFile):
        shutil.copyfileobj(gzip.GzipFile(fileobj=file), plain)
        plain.seek(0)
        file.seek(0)
        file.truncate()
        shutil.copyfileobj(plain, file)
