"""Cloud Storage: listing, and reading that is pinned to what was listed.

Conventions. `gs://BUCKET/NAME`; a revision is `SIZE-CRC32C` with the CRC in base64 as Cloud Storage tells it, a
generation pins a read to one writing of an object. What is read whole is checked by its CRC32C here: the client library
does so only where nothing interrupted the download. Functions that take a `path` take local ones too.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, NamedTuple

from transforms.errors import MisuseError
from transforms.gcs_client import as_track_error, client, explained, patience
from transforms.stored import revision_of, unpack

SCHEME = "gs://"
_FIELDS = "name,generation,size,crc32c,updated"
_THREADS = 32  # requests at a time; each waits some 50 ms, mostly for the network
ATTEMPTS = 3  # at a download that arrives damaged, each with its own repetitions
_LOOKS = 10  # as often somebody may replace an object while it is read
_FOLDER_AT = 8  # so many names of one folder are cheaper listed than asked for one by one


class Object(NamedTuple):
    """What Cloud Storage tells of an object."""

    uri: str
    size_bytes: int
    crc32c: str
    generation: int
    modified_us: int

    @property
    def revision(self) -> str:
        """`SIZE-CRC32C`."""
        return f"{self.size_bytes}-{self.crc32c}"

    @property
    def content_token(self) -> str:
        """`crc32c:CRC-SIZE`."""
        return f"crc32c:{self.crc32c}-{self.size_bytes}"


def content_token(revision: str) -> str:
    """The content token of a Cloud Storage revision: nothing need be read for it.

    >>> content_token("11-yZRlqg==")
    'crc32c:yZRlqg==-11'
    """
    size, _, crc32c = revision.partition("-")
    return f"crc32c:{crc32c}-{size}"


def is_gcs(uri: str) -> bool:
    """Whether `uri` lies in Cloud Storage."""
    return uri.startswith(SCHEME)


def split(uri: str) -> tuple[str, str]:
    """Bucket and name.

    >>> split("gs://bucket/a/b.mp3")
    ('bucket', 'a/b.mp3')

    Raises:
        MisuseError: if there is no bucket.
    """
    bucket, _, name = uri.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise MisuseError(f"{uri!r} names no bucket", "Write gs://BUCKET/FOLDER.")
    return bucket, name


def list_objects(prefix: str) -> Iterator[Object]:
    """All objects whose URI begins with `prefix`, by name.

    Raises:
        MisuseError: if the bucket does not exist or may not be listed.
        RunError: if it cannot be listed to its end.
    """
    bucket, name = split(prefix)
    with explained(prefix):
        fields = f"items({_FIELDS}),nextPageToken"
        for blob in client().list_blobs(bucket, prefix=name, fields=fields, **patience()):
            yield _object(bucket, blob)


def _object(bucket: str, blob: Any) -> Object:
    modified_us = round(blob.updated.timestamp() * 1e6)
    return Object(f"{SCHEME}{bucket}/{blob.name}", blob.size, blob.crc32c, int(blob.generation), modified_us)


def describe(uris: Sequence[str]) -> dict[str, Object]:
    """What Cloud Storage tells of each of `uris`; those that do not exist are left out.

    Raises:
        MisuseError: if a bucket may not be read.
        RunError: if it cannot be reached.
    """
    folders: dict[str, list[str]] = {}
    for uri in uris:
        folders.setdefault(uri.rpartition("/")[0] + "/", []).append(uri)
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda item: _describe_folder(*item), folders.items())
        return {found_object.uri: found_object for objects in found for found_object in objects}


def _describe_folder(folder: str, uris: list[str]) -> list[Object]:
    if len(uris) < _FOLDER_AT:
        return [found for uri in uris if (found := _get(uri))]
    wanted = set(uris)
    bucket, prefix = split(folder)
    names = [split(uri)[1] for uri in uris]
    with explained(folder):
        blobs = client().list_blobs(
            bucket,
            prefix=prefix,
            delimiter="/",
            start_offset=min(names),
            end_offset=max(names) + "\0",
            fields=f"items({_FIELDS}),nextPageToken",
            **patience(),
        )
        return [found for blob in blobs if (found := _object(bucket, blob)).uri in wanted]


def _get(uri: str) -> Object | None:
    with explained(uri):
        blob = look_up(uri)
    return _object(split(uri)[0], blob) if blob else None


def read_heads(objects: Sequence[Object], length_bytes: int) -> list[bytes]:
    """The first bytes of each object; b"" for what is empty or gone meanwhile.

    Raises:
        MisuseError, RunError: as `describe`.
    """
    if not objects:
        return []
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda found: _read_head(found, length_bytes), objects))


def _read_head(found: Object, length_bytes: int) -> bytes:
    from google.api_core.exceptions import NotFound

    with explained(found.uri):
        try:
            return read_range(found, 0, min(length_bytes, found.size_bytes))
        except NotFound:
            return b""


def read_range(found: Object, start: int, stop: int) -> bytes:
    """Bytes `start` to `stop` (exclusive) as they are stored; Cloud Storage has no checksum of a part."""
    if stop <= start:
        return b""
    arguments: dict[str, Any] = {"if_generation_match": found.generation, "checksum": None, "raw_download": True}
    data = bytes(
        blob_of(found.uri, found.generation).download_as_bytes(start=start, end=stop - 1, **arguments, **patience())
    )
    if len(data) != stop - start:
        raise ConnectionError(f"{len(data)} bytes came instead of {stop - start}")
    return data


def blob_of(uri: str, generation: int | None = None) -> Any:
    """The client library's handle of an object; nothing is asked for."""
    bucket, name = split(uri)
    return client().bucket(bucket).blob(name, generation=generation)


# Whole objects --------------------------------------------------------------------------------------------------


def download(uri: str, generation: int | None, path: str, revision: str | None = None) -> None:
    """Copies the object to the local `path`, and checks its CRC32C; whatever fails, `path` stays for the caller.

    Args:
        generation: pins it to what was listed; None takes what is there.
        revision: what was listed; asked for if it is None.

    Raises:
        TrackError: transient, stage `open`: `gone` (deleted, or written anew since), `no_permission`, `network` or
            `corrupt_download`.
        OSError: if there is no room.
    """
    with as_track_error(uri), open(path, "wb+") as file:
        if generation is None or revision is None:
            found = current(uri, generation)
            generation, revision = found.generation, found.revision
        _fetch(uri, generation, revision, file)


def look_up(uri: str, generation: int | None = None) -> Any:
    """The client library's handle of an object, with all that is told of it; None if it is not there."""
    bucket, name = split(uri)
    return client().bucket(bucket).get_blob(name, generation=generation, **patience()) if name else None


def current(uri: str, generation: int | None = None) -> Object:
    """The object that is there, of this generation if it is given; else the client library's NotFound."""
    from google.api_core.exceptions import NotFound

    blob = look_up(uri, generation)
    if blob is None:
        raise NotFound("there is no such object")
    return _object(split(uri)[0], blob)


def fetch_current(uri: str, file: IO[bytes]) -> Object | None:
    """Whatever is there into the empty `file`, all of one writing; None if nothing is. Errors are the library's."""
    from google.api_core.exceptions import Conflict, NotFound, PreconditionFailed

    for _ in range(_LOOKS):
        if (blob := look_up(uri)) is None:
            return None
        found = _object(split(uri)[0], blob)
        with contextlib.suppress(NotFound, PreconditionFailed):  # replaced or deleted since: look again
            _fetch(uri, found.generation, found.revision, file)
            return found
    raise Conflict("it is replaced all the time")


def _fetch(uri: str, generation: int, revision: str, file: IO[bytes]) -> None:
    """One writing of an object into `file`, all of it, checked; unpacked if it was packed for the transfer."""
    from google.cloud.storage.exceptions import DataCorruption

    for _ in range(ATTEMPTS):
        file.seek(0)
        file.truncate()
        blob = blob_of(uri, generation)
        # Raw, as it is stored: the checksum is of that. Ours is the check; the library's would end the repetitions.
        blob.download_to_file(file, if_generation_match=generation, checksum=None, raw_download=True, **patience())
        if revision_of(file) == revision:
            if blob.content_encoding == "gzip":
                unpack(file)
            return
    raise DataCorruption(None, f"{uri} arrived damaged {ATTEMPTS} times")


def read_bytes(uri: str, *, most_bytes: int) -> bytes:
    """The first `most_bytes` of an object, or all of it if it is shorter.

    Raises:
        TrackError: as `download`.
    """
    with as_track_error(uri):
        found = current(uri)
        if found.size_bytes > most_bytes:
            return read_range(found, 0, most_bytes)
        whole = io.BytesIO()
        fetch_current(uri, whole)
        return whole.getvalue()[:most_bytes]


def exists(path: str) -> bool:
    """Whether a file, local or gs://, exists.

    Raises:
        MisuseError, RunError: as `describe`.
    """
    return _get(path) is not None if is_gcs(path) else os.path.isfile(path)


def open_binary(path: str) -> IO[bytes]:
    """Opens a file, local or gs://, for reading; it can seek. An object is fetched whole before, and checked.

    Raises:
        MisuseError: if a gs:// object does not exist.
        RunError: if it cannot be fetched, or arrives damaged.
        OSError: if a local file cannot be opened, or there is no room for a copy.
    """
    if not is_gcs(path):
        return open(path, "rb")
    copy = tempfile.TemporaryFile(prefix="songscan-")  # noqa: SIM115
    try:
        with explained(path):
            found = fetch_current(path, copy)
        if found is None:
            raise MisuseError(f"{path!r} does not exist", "Check the names of bucket and folder.")
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy
