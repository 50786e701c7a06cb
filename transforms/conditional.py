"""Small objects of Cloud Storage that several processes write: each change holds only if nobody was faster.

Conventions. `generation` is the number of one writing of an object, as Cloud Storage gives it. Each call may repeat its
request when the answer is lost: a mark in the object's metadata tells our own writing from one of somebody else.
Content is small (a few kB) and checked by CRC32C.
"""

from __future__ import annotations

import io
import uuid

from transforms import gcs
from transforms.gcs_client import in_words, patience, run_error

_MARK = "songscan-write"
_ROLE = "Storage Object User"


def create_exclusively(uri: str, content: bytes) -> int | None:
    """Writes an object that is not there yet; its generation, or None if there is one already.

    Raises:
        RunError: if the bucket does not exist or may not be written to, or cannot be reached in time.
    """
    return replace(uri, content, 0)


def replace(uri: str, content: bytes, generation: int) -> int | None:
    """Writes over the object's writing `generation`; the new one, or None if another is there meanwhile, or none.

    Raises:
        RunError: as `create_exclusively`.
    """
    from google.api_core.exceptions import PreconditionFailed

    mark = uuid.uuid4().hex
    blob = gcs.blob_of(uri)
    blob.metadata = {_MARK: mark}
    with in_words(run_error(f"cannot write {uri}", _ROLE)):
        try:
            blob.upload_from_string(content, if_generation_match=generation, checksum="crc32c", **patience())
        except PreconditionFailed:
            # Perhaps it was met, and the answer was lost: then what is there bears our mark.
            blob = gcs.look_up(uri)
            if blob is None or (blob.metadata or {}).get(_MARK) != mark:
                return None
        return int(blob.generation)


def read_with_generation(uri: str) -> tuple[bytes, int] | None:
    """Content and generation of an object, of one and the same writing; None if there is none.

    Raises:
        RunError: if it may not be read, cannot be reached in time, or arrives damaged.
    """
    content = io.BytesIO()
    with in_words(run_error(f"cannot read {uri}", _ROLE)):
        found = gcs.fetch_current(uri, content)
    return (content.getvalue(), found.generation) if found else None


def delete(uri: str, generation: int) -> bool:
    """Deletes the object if it is still the writing `generation`; whether none is there now: False if it is another.

    Raises:
        RunError: if it may not be deleted, or cannot be reached in time.
    """
    from google.api_core.exceptions import NotFound, PreconditionFailed

    with in_words(run_error(f"cannot delete {uri}", _ROLE)):
        try:
            gcs.blob_of(uri).delete(if_generation_match=generation, **patience())
        except PreconditionFailed:  # another is there, or none: the answer to our own request may have been lost
            return gcs.look_up(uri) is None
        except NotFound:
            return True
    return True
