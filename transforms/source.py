"""The file of a track, opened once, and watched for changes while it is read.

Conventions. Whatever a name holds is harmless from here on: only the descriptor goes further. Errors have stage `open`.
"""

from __future__ import annotations

import errno
import os
import stat

from transforms.errors import TrackError

FilePath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class Source:
    """A regular file, opened for reading.

    Raises:
        TrackError: `gone`, `no_permission`, `read_error` (transient) or `not_a_file`.
    """

    def __init__(self, path: FilePath) -> None:
        self.name = repr(os.fsdecode(path))
        try:
            # O_NONBLOCK: opening a FIFO must not wait for somebody to write to it.
            self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise _cannot_open(self.name, error) from error
        if not stat.S_ISREG(os.fstat(self.fd).st_mode):
            os.close(self.fd)
            raise TrackError("open", "not_a_file", f"{self.name} is no regular file", _NOT_A_FILE)
        self.state = self._state()

    def _state(self) -> tuple[int, ...]:
        status = os.fstat(self.fd)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def check_unchanged(self, since: tuple[int, ...] | None = None) -> None:
        """Raises TrackError if the file is another than at the opening, or than it was in the state `since`."""
        if self._state() != (since or self.state):
            advice = "Somebody is writing to it: it is read again in the next run."
            what = f"{self.name} changed while it was read"
            raise TrackError("open", "changed_while_read", what, advice, transient=True)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


_NOT_A_FILE = "A folder, a pipe or a device? Leave it out of the catalogue."


def _cannot_open(name: str, error: OSError | ValueError) -> TrackError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        advice = "Moved or deleted since it was listed, or a link that leads nowhere: list the catalogue again."
        return TrackError("open", "gone", f"{name} is not there", advice, transient=True)
    if isinstance(error, PermissionError):
        advice = "Give the user that scans the right to read it."
        return TrackError("open", "no_permission", f"{name} may not be read ({error.strerror})", advice, transient=True)
    if isinstance(error, ValueError) or error.errno in (errno.ENXIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ENODEV):
        return TrackError("open", "not_a_file", f"{name} cannot be opened as a file ({error})", _NOT_A_FILE)
    advice = "The disk or the network failed: it is tried again in the next run."
    return TrackError("open", "read_error", f"{name} cannot be opened ({error})", advice, transient=True)
