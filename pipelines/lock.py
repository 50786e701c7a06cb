"""One run at a time on one output, and one temporary folder for all that it needs.

On one machine a lock of the operating system keeps two runs apart, which no crash leaves behind. On Cloud Storage,
where the other run may be anywhere, there is a lease besides (transforms/lease.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from transforms import gcs
from transforms.errors import RunError
from transforms.lease import Held, acquire, kept


@contextlib.contextmanager
def lock(output: str, named: str = "") -> Iterator[int]:
    """Holds OUTPUT/state/lock, an advisory lock; its file descriptor.

    Args:
        named: what `output` is called in errors, if it stands for something else.

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
                f"another run is writing to {named or output} (process {holder})",
                "wait for it, or give another output folder",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def leased(output: str, run_id: str) -> Iterator[Held | None]:
    """Holds the lease of an output on Cloud Storage; None for a folder, which needs none.

    Should it get lost, this process is interrupted as by SIGTERM: another run may be writing.

    Raises:
        RunError: if another run holds it.
    """
    if not gcs.is_gcs(output):
        yield None
        return
    from pipelines.jobs import is_over

    with kept(acquire(output, run_id, is_over), lambda: os.kill(os.getpid(), signal.SIGTERM)) as held:
        yield held


_PREFIX = "songscan-"


@contextlib.contextmanager
def temporary_folder(output: str) -> Iterator[str]:
    """Has all temporary files of this process and its children lie in one folder, which goes with the context.

    Should the process be killed, the next run on `output` removes the folder: for the holder of the lock only.
    """
    note = Path(output, "state", "temporary")
    if note.exists():
        left = Path(note.read_text(encoding="utf-8"))
        if left.name.startswith(_PREFIX) and left.parent == Path(tempfile.gettempdir()):  # not what a stranger wrote
            shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    before, before_in_environment = tempfile.tempdir, os.environ.get("TMPDIR")
    try:
        note.write_text(folder, encoding="utf-8")
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        yield folder
    finally:
        tempfile.tempdir = before
        os.environ.pop("TMPDIR")
        if before_in_environment is not None:
            os.environ["TMPDIR"] = before_in_environment
        shutil.rmtree(folder, ignore_errors=True)
        note.unlink(missing_ok=True)
