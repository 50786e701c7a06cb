"""Cloud Storage: listing, and reading that is pinned to what was listed.

Conventions. `gs://BUCKET/NAME`; a revision is `SIZE-CRC32C` with the CRC in base64 as Cloud Storage tells it, a
generation pins a read to one writing of an object. The client library finds credentials by itself (Application Default
Credentials) and talks to an emulator if STORAGE_EMULATOR_HOST is set. Functions that take a `path` take local ones too.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, NamedTuple

from transforms.errors import MisuseError, TrackError
from transforms.gcs_client import client as _client

SCHEME = "gs://"
_FIELDS = "name,generation,size,crc32c,updated"
_THREADS = 32  # requests at a time; each waits some 50 ms, mostly for the network
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


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turns a refusal by Cloud Storage into words about `uri`."""
    from google.api_core import exceptions

    try:
        yield
    except exceptions.NotFound as error:
        raise MisuseError(f"{uri!r} does not exist", "Check the names of bucket and folder.") from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise MisuseError(
            f"{uri!r} may not be read by this account", "Grant it the role Storage Object Viewer on the bucket."
        ) from error


def list_objects(prefix: str) -> Iterator[Object]:
    """All objects whose URI begins with `prefix`, by name.

    Raises:
        MisuseError: if the bucket does not exist or may not be listed.
    """
    bucket, name = split(prefix)
    with _explained(prefix):
        for blob in _client().list_blobs(bucket, prefix=name, fields=f"items({_FIELDS}),nextPageToken"):
            yield _object(bucket, blob)


def _object(bucket: str, blob: Any) -> Object:
    modified_us = round(blob.updated.timestamp() * 1e6)
    return Object(f"{SCHEME}{bucket}/{blob.name}", blob.size, blob.crc32c, int(blob.generation), modified_us)


def describe(uris: Sequence[str]) -> dict[str, Object]:
    """What Cloud Storage tells of each of `uris`; those that do not exist are left out.

    Raises:
        MisuseError: if a bucket may not be read.
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
    with _explained(folder):
        blobs = _client().list_blobs(
            bucket,
            prefix=prefix,
            delimiter="/",
            start_offset=min(names),
            end_offset=max(names) + "\0",
            fields=f"items({_FIELDS}),nextPageToken",
        )
        return [found for blob in blobs if (found := _object(bucket, blob)).uri in wanted]


def _get(uri: str) -> Object | None:
    bucket, name = split(uri)
    with _explained(uri):
        blob = _client().bucket(bucket).get_blob(name) if name else None
    return _object(bucket, blob) if blob else None


def read_heads(objects: Sequence[Object], length_bytes: int) -> list[bytes]:
    """The first bytes of each object; b"" for what is empty or gone meanwhile."""
    if not objects:
        return []
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda found: _read_head(found, length_bytes), objects))


def _read_head(found: Object, length_bytes: int) -> bytes:
    from google.api_core import exceptions

    bucket, name = split(found.uri)
    try:
        blob = _client().bucket(bucket).blob(name, generation=found.generation)
        return bytes(blob.download_as_bytes(end=length_bytes - 1)) if found.size_bytes else b""
    except exceptions.NotFound:
        return b""


@contextlib.contextmanager
def _as_track_error(uri: str) -> Iterator[None]:
    """Turns what can go wrong with one object into a transient `TrackError`."""
    from google.api_core import exceptions
    from google.cloud.storage.exceptions import DataCorruption
    from requests import exceptions as http

    def trouble(reason: str, message: str, advice: str) -> TrackError:
        return TrackError("open", reason, f"{uri!r} {message}", advice, transient=True)

    try:
        yield
    except (exceptions.NotFound, exceptions.PreconditionFailed) as error:
        message = "was deleted or written anew after it was listed"
        raise trouble("gone", message, "The next run takes it as it is then.") from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        advice = "Grant the worker's account the role Storage Object Viewer on the bucket."
        raise trouble("no_permission", "may not be read", advice) from error
    except DataCorruption as error:
        raise trouble("corrupt_download", "arrived damaged", "Run again.") from error
    except (exceptions.GoogleAPICallError, exceptions.RetryError, http.RequestException) as error:
        raise trouble("network", f"could not be fetched: {error}", "Run again when the network is well.") from error


def download(uri: str, generation: int | None, path: str) -> None:
    """Copies the object to the local `path`; `generation` pins it to what was listed, and its CRC32C is checked.

    Raises:
        TrackError: transient, stage `open`: `gone` (deleted, or written anew since), `no_permission`, `network` or
            `corrupt_download`.
    """
    bucket, name = split(uri)
    blob = _client().bucket(bucket).blob(name, generation=generation)
    with _as_track_error(uri):
        blob.download_to_filename(path, if_generation_match=generation, checksum="crc32c")


def read_bytes(uri: str, *, most_bytes: int) -> bytes:
    """The first `most_bytes` of an object, or all of it if it is shorter.

    Raises:
        TrackError: as `download`.
    """
    bucket, name = split(uri)
    with _as_track_error(uri):
        blob = _client().bucket(bucket).get_blob(name)
        if blob is None:
            raise TrackError("open", "gone", f"{uri!r} does not exist", "Check its name.", transient=True)
        return bytes(blob.download_as_bytes(end=most_bytes - 1)) if blob.size else b""


def exists(path: str) -> bool:
    """Whether a file, local or gs://, exists."""
    return _get(path) is not None if is_gcs(path) else os.path.isfile(path)


def open_binary(path: str) -> IO[bytes]:
    """Opens a file, local or gs://, for reading; it can seek.

    Raises:
        MisuseError: if a gs:// object does not exist.
        OSError: if a local file cannot be opened.
    """
    if not is_gcs(path):
        return open(path, "rb")
    bucket, name = split(path)
    with _explained(path):
        blob = _client().bucket(bucket).get_blob(name)
    if blob is None:
        raise MisuseError(f"{path!r} does not exist", "Check the names of bucket and folder.")
    opened: IO[bytes] = blob.open("rb", chunk_size=8 << 20)
    return opened


@contextlib.contextmanager
def written_whole(path: str, unfinished: str | None = None) -> Iterator[str]:
    """Gives a local path to write to; what was written appears at `path`, local or gs://, whole or not at all.

    Args:
        unfinished: folder to write in, on the disk of `path`; that of `path` itself if None.
    """
    with contextlib.ExitStack() as stack:
        if is_gcs(path):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="songscan-"))
        else:
            folder = unfinished or os.path.dirname(os.path.abspath(path))
            for needed in {folder, os.path.dirname(os.path.abspath(path))}:
                os.makedirs(needed, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
        os.fchmod(descriptor, 0o666 & ~_umask())  # mkstemp keeps a file to its owner; results are for all to read
        os.close(descriptor)
        stack.callback(_remove, scratch)
        yield scratch
        if is_gcs(path):
            bucket, name = split(path)
            _client().bucket(bucket).blob(name).upload_from_filename(scratch)
        else:
            os.replace(scratch, path)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
