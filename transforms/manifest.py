"""A manifest as a catalogue: a table of tracks in CSV, JSON Lines or Parquet.

Conventions. Columns `track_id` and `uri`, and if you like `title`, `artist`, `lyrics`, `lyrics_uri`; others are
ignored. Text is UTF-8; CSV is separated by commas, semicolons or tabs, its first line names the columns. A URI is a
local path, file:// or gs://, absolute or relative to the manifest's folder. Whoever names a track in a manifest says
that it is audio: one that is missing is `unreadable`, and no first bytes are looked at. Lines are counted from 1.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import posixpath
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms import folder, gcs
from transforms.errors import MisuseError
from transforms.listing import AUDIO, UNREADABLE, Entry, microseconds
from transforms.records import Problem

EXTENSIONS = (".csv", ".jsonl", ".ndjson", ".parquet")
_REQUIRED = ("track_id", "uri")
_OPTIONAL = ("title", "artist", "lyrics", "lyrics_uri")
_COLUMNS = (*_REQUIRED, *_OPTIONAL)
_NAMED_DUPLICATES = 5
_LINES_AT_ONCE = 10_000
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")

Line = dict[str, str | None]


def manifest_entries(path: str) -> Iterator[Entry]:
    """The tracks of the manifest at `path`, local or gs://.

    Raises:
        MisuseError: naming file, line and value: it does not exist or is not what its name says, a column is missing,
            an id or a URI is empty, of an unknown kind, or given twice.
    """
    if not gcs.is_gcs(path) and not os.path.isfile(path):
        raise MisuseError(f"the manifest {path!r} does not exist", "Check the path.")
    home = posixpath.dirname(path)
    lines = _checked(path, _lines(path))
    while chunk := list(itertools.islice(lines, _LINES_AT_ONCE)):
        for line in chunk:
            line.update({name: _resolved(uri, home) for name in ("uri", "lyrics_uri") if (uri := line[name])})
        objects = gcs.describe([uri for line in chunk if (uri := line["uri"]) and gcs.is_gcs(uri)])
        yield from (_entry(line, objects) for line in chunk)


# Lines ----------------------------------------------------------------------------------------------------------


def _lines(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    extension = os.path.splitext(path)[1].lower()
    with gcs.open_binary(path) as file:
        read = {".csv": _csv_lines, ".parquet": _parquet_lines}.get(extension, _json_lines)
        yield from read(path, file)


def _text(path: str, file: Any) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            value = line[max(0, error.start - 10) : error.end + 10]
            raise _wrong(path, number, f"{value!r} is not UTF-8", "Save the manifest as UTF-8.") from error


def _csv_lines(path: str, file: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    text = _text(path, file)
    header = next(text, "")
    separator = max(",;\t", key=header.count)
    reader = csv.reader(itertools.chain([header], text), delimiter=separator, strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        _need_columns(path, columns)
        for values in reader:
            if len(values) > len(columns):
                what = f"{len(values)} values for {len(columns)} columns, the first is {values[0]!r}"
                raise _wrong(path, reader.line_num, what, f"Put values that contain {separator!r} in double quotes.")
            if values:
                yield reader.line_num, dict(itertools.zip_longest(columns, values))
    except csv.Error as error:
        raise _wrong(path, reader.line_num, str(error), "Check the double quotes of this line.") from error


def _json_lines(path: str, file: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_text(path, file), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            advice = "Write one JSON object per line."
            raise _wrong(path, number, f"{line.strip()[:60]!r} is not JSON ({error.msg})", advice) from error
        if not isinstance(value, dict):
            raise _wrong(
                path, number, f"{line.strip()[:60]!r} is not a JSON object", 'Write {"track_id": ..., "uri": ...}.'
            )
        _need_columns(path, value, number)
        yield number, value


def _parquet_lines(path: str, file: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        parquet = pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise MisuseError(f"the manifest {path!r} is not Parquet ({error})", "Check what wrote it.") from error
    _need_columns(path, parquet.schema_arrow.names)
    wanted = [name for name in parquet.schema_arrow.names if name in _COLUMNS]
    number = itertools.count(1)
    for batch in parquet.iter_batches(_LINES_AT_ONCE, columns=wanted):
        yield from ((next(number), row) for row in batch.to_pylist())


def _need_columns(path: str, columns: Any, number: int = 1) -> None:
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        what = f"{' and '.join(missing)} missing among {', '.join(map(repr, columns)) or 'no columns'}"
        raise _wrong(path, number, what, "A manifest needs the columns track_id and uri; names are case-sensitive.")


def _wrong(path: str, number: int, what: str, advice: str) -> MisuseError:
    return MisuseError(f"{path!r}, line {number}: {what}", advice)


# Checks ---------------------------------------------------------------------------------------------------------


def _checked(path: str, lines: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[Line]:
    seen: dict[str, int] = {}
    duplicates: list[str] = []
    for number, values in lines:
        line = {name: _string(path, number, name, values.get(name)) for name in _COLUMNS}
        for name in _REQUIRED:
            if not line[name]:
                raise _wrong(path, number, f"{name} is empty", "Give every track an id and a uri.")
        track_id = str(line["track_id"])
        if track_id in seen:
            duplicates.append(f"{track_id!r} (lines {seen[track_id]} and {number})")
            if len(duplicates) == _NAMED_DUPLICATES:
                break
        seen[track_id] = number
        if not duplicates:
            yield line
    if duplicates:
        raise MisuseError(f"{path!r} gives ids twice: {', '.join(duplicates)}", "A track_id names one track only.")


def _string(path: str, number: int, name: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _wrong(path, number, f"{name} is {value!r}, not text", "Write it in double quotes.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _wrong(path, number, f"{name} {value!r} holds half a character", "Check what wrote it.") from error
    if name.endswith("uri"):
        scheme = _SCHEME.match(value)
        if (scheme and scheme[1] not in ("gs", "file")) or "\0" in value:
            raise _wrong(path, number, f"{name} {value!r} cannot be read", "Write a path, file:// or gs://BUCKET/NAME.")
    return value


def _resolved(uri: str, home: str) -> str:
    """`uri` as an absolute path or gs://; relative ones lie below `home`."""
    if gcs.is_gcs(uri):
        return uri
    path = folder.local_path(uri)
    if gcs.is_gcs(home) and not path.startswith("/"):
        return gcs.SCHEME + posixpath.normpath(posixpath.join(home.removeprefix(gcs.SCHEME), path))
    return folder.uri_of(posixpath.normpath(posixpath.join(home, path)))


# Entries --------------------------------------------------------------------------------------------------------


def _entry(line: Line, objects: dict[str, gcs.Object]) -> Entry:
    track_id, uri = str(line["track_id"]), str(line["uri"])
    entry = _object(track_id, uri, objects.get(uri)) if gcs.is_gcs(uri) else _file(track_id, uri)
    return entry._replace(
        title=line["title"], artist=line["artist"], lyrics=line["lyrics"], lyrics_uri=line["lyrics_uri"]
    )


def _object(track_id: str, uri: str, found: gcs.Object | None) -> Entry:
    if found is None:
        problem = Problem(reason="gone", message=f"{uri!r} does not exist", advice="Check the name in the manifest.")
        return Entry(track_id, uri, 0, None, problem.reason, UNREADABLE, problem)
    return Entry(track_id, uri, found.size_bytes, found.modified_us, found.revision, AUDIO, generation=found.generation)


def _file(track_id: str, uri: str) -> Entry:
    path = folder.local_path(uri)
    status = folder.status_of(path)
    if problem := folder.trouble_of(path, status):
        return folder.unreadable(path, track_id, problem)
    assert isinstance(status, os.stat_result)
    revision = f"{status.st_size}-{status.st_mtime_ns}"
    return Entry(track_id, uri, status.st_size, microseconds(status.st_mtime_ns), revision, AUDIO)
