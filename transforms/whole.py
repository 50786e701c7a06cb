"""Files that appear whole or not at all, local or on Cloud Storage.

Conventions. An upload is written over what bears its name: the last writer wins, and nobody reads half of two. It is
made in chunks that are repeated one by one, and only over the writing that was there when it began: a request that
arrives late, when the call is long over, undoes nothing. Cloud Storage is told the CRC32C beforehand and refuses
anything else; what it says of the object afterwards is compared again. An upload that fails leaves no object behind, or
the whole one where a request arrives after its answer was given up.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator

from transforms import gcs
from transforms.errors import RunError
from transforms.gcs_client import FORBIDDEN, GONE, in_words, patience, run_error, said
from transforms.stored import crc32c_of

CHUNK_BYTES = 8 << 20  # what a break costs at most; a multiple of 256 KiB
ATTEMPTS = 4  # at a whole upload, each with its own repetitions
_LATER = "run again when the network is well"


class UploadError(RunError):
    """The way to Cloud Storage failed: what was to be uploaded may be tried again later."""


@contextlib.contextmanager
def written_whole(path: str, unfinished: str | None = None) -> Iterator[str]:
    """Gives a local path to write to; what was written appears at `path`, local or gs://, whole or not at all.

    Args:
        unfinished: folder to write in. For a local `path` it must be on the same disk, and is its own folder if None;
            for gs:// it is any scratch space, and the system's temporary folder if None.

    Raises:
        RunError: if there is no such bucket, or it may not be written to.
        UploadError: if an upload fails for a reason that may pass.
        OSError: if there is no room.
    """
    if gcs.is_gcs(path):
        with _scratch(unfinished or tempfile.gettempdir()) as scratch:
            yield scratch
            upload(scratch, path)
        return
    folder = unfinished or os.path.dirname(os.path.abspath(path))
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with _scratch(folder) as scratch:
        yield scratch
        os.replace(scratch, path)


@contextlib.contextmanager
def _scratch(folder: str) -> Iterator[str]:
    os.makedirs(folder, exist_ok=True)
    descriptor, path = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    os.fchmod(descriptor, 0o666 & ~_umask())  # mkstemp keeps a file to its owner; results are for all to read
    os.close(descriptor)
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def upload(path: str, uri: str) -> None:
    """Copies the local file `path` to the object `uri`.

    Raises:
        RunError: if there is no such bucket, or it may not be written to.
        UploadError: if it fails for another reason.
    """
    from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, Unauthorized
    from google.cloud.storage.exceptions import DataCorruption

    with open(path, "rb") as file:
        crc32c, size = crc32c_of(file), file.tell()
    failure: Exception | None = None
    with in_words(_words(uri)):
        for _ in range(ATTEMPTS):
            try:
                if _put(path, uri, size, crc32c):
                    return
            except (Forbidden, Unauthorized):
                raise
            # Garbled, or its session is lost; a ValueError is the client library's own where Cloud Storage kept less
            # than a whole chunk. All of that begins anew.
            except (GoogleAPICallError, DataCorruption, ValueError) as error:
                failure = error
        if isinstance(failure, NotFound):
            raise failure
    why = said(failure) if failure else "somebody else writes to it all the time"
    raise UploadError(f"{uri} could not be uploaded: {why}", _LATER)


def _words(uri: str) -> Callable[[str, Exception], RunError]:
    refused = run_error(f"cannot write {uri}", "Storage Object User")

    def words(kind: str, error: Exception) -> RunError:
        if kind in (GONE, FORBIDDEN):
            return refused(kind, error)
        return UploadError(f"{uri} could not be uploaded: {said(error)}", _LATER)

    return words


def _put(path: str, uri: str, size: int, crc32c: str) -> bool:
    """Uploads once; whether the object that is there then holds what the file does."""
    from google.api_core.exceptions import PreconditionFailed

    before = gcs.look_up(uri)
    blob = gcs.blob_of(uri)
    blob.chunk_size = CHUNK_BYTES
    condition = {"if_generation_match": int(before.generation) if before else 0}
    try:
        blob.upload_from_filename(path, checksum="crc32c", crc32c_checksum_value=crc32c, **condition, **patience())
    except PreconditionFailed:  # somebody was faster; perhaps it was we, and the answer was lost
        blob = gcs.look_up(uri)
    return blob is not None and (blob.size, blob.crc32c) == (size, crc32c)
