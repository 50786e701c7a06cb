"""Entries of a catalogue, in Arrow batches: what the lister of each kind of catalogue yields.

Conventions. An entry is `audio`, `not_audio` or `unreadable` (its extension or a manifest says audio, but it cannot be
opened; `problem` tells why). `modified` is microseconds since 1970, UTC. The columns are those of `records.Track`,
`kind` and `problem`. Entries are plain tuples, and only one batch of them is alive at a time: a catalogue may hold
millions.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import unicodedata
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.records import Problem

AUDIO = "audio"
NOT_AUDIO = "not_audio"
UNREADABLE = "unreadable"
BATCH_ROWS = 50_000
_HIDDEN_TOLD = 10  # different names; a disk from a Mac may hold one `._NAME` for each NAME

_LAST_US = 253_402_300_799_000_000  # the end of the year 9999, the last that Python can name
_FIRST_US = -62_135_596_800_000_000  # the start of the year 1


class Entry(NamedTuple):
    """One entry; see `records.Track` for the meanings."""

    track_id: str
    uri: str
    size_bytes: int
    modified: int | None
    revision: str
    kind: str
    problem: Problem | None = None
    generation: int | None = None
    title: str | None = None
    artist: str | None = None
    lyrics: str | None = None
    lyrics_uri: str | None = None


PROBLEM = pa.struct(
    [("reason", pa.string()), ("message", pa.string()), ("advice", pa.string()), ("transient", pa.bool_())]
)
_TYPES = {
    "size_bytes": pa.int64(),
    "modified": pa.timestamp("us", tz="UTC"),
    "generation": pa.int64(),
    "problem": PROBLEM,
}
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in Entry._fields])


@dataclass
class Notes:
    """What a lister noticed on its way; final once its entries are used up."""

    complete: bool = True  #: whether all of the catalogue could be looked at: only then is what is missing removed
    messages: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)  #: hidden names, and how often; `others` at the end

    def incomplete(self, message: str) -> None:
        """Part of the catalogue could not be looked at."""
        self.complete = False
        self.messages.append(message)

    def pass_over(self, name: str) -> None:
        """A hidden name was met."""
        told = name in self.passed_over or len(self.passed_over) < _HIDDEN_TOLD
        self.passed_over[plain_name(name) if told else "others"] += 1


@dataclass
class Listing:
    """A catalogue: its entries (once), what was noticed, and which URIs could be listed by it."""

    input: str
    entries: Iterator[Entry]
    notes: Notes
    covers: Callable[[str], bool]  #: whether a URI known from an earlier run belongs to this catalogue
    _file: str | None = None

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The entries as Arrow batches of `SCHEMA`, once."""
        while chunk := list(itertools.islice(self.entries, rows)):
            yield _batch(chunk)

    def file(self) -> str:
        """A Parquet file with all entries, written at the first call; it goes when the listing goes."""
        if self._file is None:
            folder = tempfile.mkdtemp(prefix="songscan-listing-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            path = os.path.join(folder, "listing.parquet")
            with pq.ParquetWriter(path, SCHEMA) as writer:
                for batch in self.batches():
                    writer.write_batch(batch)
            self._file = path
        return self._file


def _batch(entries: Sequence[Entry]) -> pa.RecordBatch:
    columns = dict(zip(Entry._fields, zip(*entries, strict=True), strict=True))
    problems = [vars(problem) if problem else None for problem in columns["problem"]]
    arrays = [
        pa.array(problems if name == "problem" else values, SCHEMA.field(name).type) for name, values in columns.items()
    ]
    return pa.record_batch(arrays, schema=SCHEMA)


def microseconds(nanoseconds: int) -> int:
    """Nanoseconds since 1970 in microseconds, kept within the years that Python can name."""
    return max(_FIRST_US, min(_LAST_US, nanoseconds // 1000))


def plain_name(name: str) -> str:
    r"""A file name in Unicode NFC; bytes that are not UTF-8 are written as `\xHH`.

    >>> plain_name("Cafe\u0301"), plain_name("caf\udce9")
    ('Café', 'caf\\xe9')
    """
    try:
        return unicodedata.normalize("NFC", name.encode("utf-8").decode())
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogateescape")
        return unicodedata.normalize("NFC", raw.decode("utf-8", "backslashreplace"))


def distinct_names(names: Sequence[str]) -> list[str]:
    r"""The plain names of different `names`; where two would be the same, one that was not plain gets `~` and 8 digits.

    They are the first hex digits of the SHA-256 of its bytes, so the name is the same as long as both are there.

    >>> distinct_names(["\u00e9", "e\u0301", "x"])
    ['é', 'é~bf12767b', 'x']
    """
    if "".join(names).isascii():
        return list(names)
    plain = [plain_name(name) for name in names]
    count = Counter(plain)
    return [p if name == p or count[p] == 1 else f"{p}~{_digest(name)}" for name, p in zip(names, plain, strict=True)]


def _digest(name: str) -> str:
    return sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def stem(name: str) -> str:
    """The name without its extension; the folder stays.

    >>> stem("a.b/song.live.mp3"), stem("a.b/song")
    ('a.b/song.live', 'a.b/song')
    """
    head, dot, tail = name.rpartition(".")
    return head if dot and "/" not in tail else name


class Sidecars:
    """Lyrics beside the audio: `song.lrc`, or `song.txt`, beside `song.mp3`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._lyrics: dict[str, str] = {}
        for name in names:
            if name[-4:].lower() == ".lrc" or (name[-4:].lower() == ".txt" and name[:-4] not in self._lyrics):
                self._lyrics[name[:-4]] = name

    def of(self, name: str) -> str | None:
        """The lyrics' file name for an audio file's name."""
        return self._lyrics.get(stem(name))
