"""One run at a time on one output."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from transforms.errors import RunError


@contextlib.contextmanager
def lock(output: str) -> Iterator[int]:
    """Holds OUTPUT/state/lock, an advisory lock; its file descriptor.

    Whoever inherits the descriptor holds the lock too, until all holders are gone: a pipeline that outlives a launcher
    which was killed still keeps the next run off.

    Raises:
        RunError: if another process holds it, or the folder cannot be written.
    """
    try:
        folder = Path(output, "state")
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RunError(
            f"cannot write to {output}: {error.strerror}", "give an output folder that may be written"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip() or "unknown"
            raise RunError(
                f"another run is writing to {output} (process {holder})", "wait for it, or give another output folder"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
