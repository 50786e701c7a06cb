"""What is there: the entries of a catalogue.

Conventions. A catalogue is a folder, a glob (`*`, `?`, `[...]` within a name, `**` across folders), a single file, each
of this machine or of Cloud Storage, or a manifest: a file that ends in .csv, .jsonl, .ndjson or .parquet. Track ids are
the paths below the folder, below the part of a glob that holds no wildcard, or what a manifest says. A catalogue is
listed once, by the process that launches the scan.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from unicodedata import normalize

import pyarrow as pa
import pyarrow.compute as pc

from transforms import gcs, sniff
from transforms.errors import MisuseError
from transforms.folder import Walk, is_hidden, local_path
from transforms.listing import AUDIO, NOT_AUDIO, Entry, Listing, Notes, Sidecars, distinct_names
from transforms.manifest import EXTENSIONS, manifest_entries
from transforms.sniff import Verdicts

__all__ = ["Listing", "Verdicts", "list_catalogue", "local_path"]

_WILDCARD = re.compile(r"[*?\[]")
_OBJECTS_AT_ONCE = 10_000


def list_catalogue(input: str, verdicts: Verdicts | None = None) -> Listing:
    """The catalogue `input`, to be iterated once; its notes are final after that.

    Args:
        input: folder, glob, file or manifest; a local path, file:// or gs://.
        verdicts: what first bytes said in earlier runs; learns what they say in this one.

    Raises:
        MisuseError: at once if `input` does not exist, while iterating if it turns out empty or a manifest is wrong.

    >>> list_catalogue("/no/such/folder")
    Traceback (most recent call last):
    transforms.errors.MisuseError: '/no/such/folder' does not exist. Check the path, and that its disk is mounted.
    """
    verdicts = verdicts if verdicts is not None else Verdicts()
    remote = gcs.is_gcs(input)
    scheme = re.match(r"(?!file:)([a-z][a-z0-9+.-]+)://", input, re.IGNORECASE)
    if scheme and not remote:
        advice = "A catalogue is a folder, a glob or a manifest, here or on gs://BUCKET."
        raise MisuseError(f"catalogues are not read from {scheme[1]}://", advice)
    path = input if remote else os.path.abspath(os.path.expanduser(local_path(input)))
    notes = Notes()
    if path.lower().endswith(EXTENSIONS):
        return Listing(input, _not_empty(input, manifest_entries(path)), notes, _nothing)
    entries, covers = _objects(path, verdicts, notes) if remote else _local(path, verdicts, notes)
    return Listing(input, _not_empty(input, entries), notes, covers)


def _nothing(_: str) -> bool:
    """A manifest may be a part of a catalogue: what it does not name is not gone."""
    return False


def _not_empty(input: str, entries: Iterator[Entry]) -> Iterator[Entry]:
    first = list(islice(entries, 1))
    if not first:
        advice = "Name the folder that holds the music; in a glob, ** reaches into subfolders."
        raise MisuseError(f"{input!r} holds no files", advice)
    yield from first
    yield from entries


# Globs ----------------------------------------------------------------------------------------------------------


def split_glob(path: str) -> tuple[str, str]:
    """The folder before the first wildcard, and the pattern below it ('' if there is none).

    >>> split_glob("/music/*/live/**/*.mp3"), split_glob("gs://bucket/a"), split_glob("gs://bucket/*.mp3")
    (('/music', '*/live/**/*.mp3'), ('gs://bucket/a', ''), ('gs://bucket', '*.mp3'))
    """
    wildcard = _WILDCARD.search(path)
    if not wildcard:
        return path, ""
    cut = path.rfind("/", 0, wildcard.start())
    return path[:cut], path[cut + 1 :]


def glob_regex(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression for paths in Unicode NFC.

    >>> regex = glob_regex("**/*.mp[34]")
    >>> [bool(regex.fullmatch(path)) for path in ("a.mp3", "x/y/a.mp4", "a.mp5", "x/a.mp3/b")]
    [True, True, False, False]
    """
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]/]*\])", normalize("NFC", pattern))
    return re.compile("".join(words.get(piece) or _literal(piece) for piece in pieces), re.DOTALL)


def _literal(piece: str) -> str:
    if not (piece.startswith("[") and piece.endswith("]") and len(piece) > 2):
        return re.escape(piece)
    inner = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
    return f"[^/{inner[1:]}]" if inner[0] in "!^" else f"[{inner}]"


def _matcher(pattern: str) -> Callable[[str], bool]:
    regex = glob_regex(pattern)
    return lambda path: regex.fullmatch(normalize("NFC", path)) is not None


# This machine ---------------------------------------------------------------------------------------------------


def _local(path: str, verdicts: Verdicts, notes: Notes) -> tuple[Iterator[Entry], Callable[[str], bool]]:
    if os.path.isfile(path):
        walk = Walk(os.path.dirname(path), verdicts, notes)
        return iter([walk.entry(path, distinct_names([os.path.basename(path)])[0], os.stat(path))]), _nothing
    # A folder may be called `Live [1999]`, so that a path that exists is no glob.
    root, pattern = (path, "") if os.path.lexists(path) else split_glob(path)
    if not os.path.isdir(root):
        what = "is neither a file nor a folder" if os.path.exists(root) else "does not exist"
        raise MisuseError(f"{root!r} {what}", "Check the path, and that its disk is mounted.")
    if not os.access(root, os.R_OK | os.X_OK):
        raise MisuseError(f"the folder {root!r} may not be read", "Run songscan as a user who may.")
    walk = Walk(root.rstrip("/"), verdicts, notes)
    if pattern:
        walk.matches, walk.depth = _matcher(pattern), None if "**" in pattern else pattern.count("/")
    return walk.entries(), _below(root.rstrip("/"), walk.matches)


def _below(root: str, matches: Callable[[str], bool]) -> Callable[[str], bool]:
    prefix = root + "/"

    def covers(uri: str) -> bool:
        path = local_path(uri)
        return path.startswith(prefix) and matches(path.removeprefix(prefix))

    return covers


# Cloud Storage --------------------------------------------------------------------------------------------------


def _objects(uri: str, verdicts: Verdicts, notes: Notes) -> tuple[Iterator[Entry], Callable[[str], bool]]:
    if gcs.split(uri)[1] and not uri.endswith("/") and (single := gcs.describe([uri]).get(uri)):
        folder = uri.rpartition("/")[0] + "/"
        return _judged(folder, [single], [distinct_names([uri.removeprefix(folder)])[0]], verdicts), _nothing
    root, pattern = split_glob(uri)
    root = root.rstrip("/")
    matches = _matcher(pattern) if pattern else lambda _: True
    return _below_prefix(root + "/", matches, verdicts, notes), _below(root, matches)


def _below_prefix(folder: str, matches: Callable[[str], bool], verdicts: Verdicts, notes: Notes) -> Iterator[Entry]:
    """All objects below `folder`; twins under normalisation may lie far apart, so the names are gathered first."""
    found = [pa.table(_columns(chunk)) for chunk in _chunks(gcs.list_objects(folder))]
    if not found:
        return
    table = pa.concat_tables(found)
    foreign = {uri for column in found for uri in column["uri"].to_pylist() if normalize("NFC", uri) != uri}
    ids = _twin_ids(table, foreign)
    sidecars = Sidecars(table.filter(pc.match_substring_regex(table["uri"], r"(?i)\.(lrc|txt)$"))["uri"].to_pylist())
    lyrics = _taken_lyrics(table, sidecars)
    for batch in table.to_batches(_OBJECTS_AT_ONCE):
        objects = [gcs.Object(*row) for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]
        objects = [o for o in objects if _is_listed(o.uri.removeprefix(folder), matches, notes)]
        names = [ids.get(o.uri, normalize("NFC", o.uri)).removeprefix(normalize("NFC", folder)) for o in objects]
        for entry in _judged(folder, objects, names, verdicts, lyrics):
            beside = sidecars.of(entry.uri) if entry.kind == AUDIO else None
            yield entry._replace(lyrics_uri=beside) if beside else entry


def _chunks(objects: Iterator[gcs.Object]) -> Iterator[list[gcs.Object]]:
    while chunk := list(islice(objects, _OBJECTS_AT_ONCE)):
        yield chunk


def _columns(objects: list[gcs.Object]) -> dict[str, list[object]]:
    return dict(zip(gcs.Object._fields, map(list, zip(*objects, strict=True)), strict=True))


def _twin_ids(table: pa.Table, foreign: set[str]) -> dict[str, str]:
    """Ids of the URIs that are not normalised and whose normalised form is another object's, or another such one's."""
    wanted = pa.array(sorted({normalize("NFC", uri) for uri in foreign}), pa.string())
    twins = table.filter(pc.is_in(table["uri"], wanted))["uri"].to_pylist()
    names = sorted(foreign | set(twins))
    return dict(zip(names, distinct_names(names), strict=True))


def _taken_lyrics(table: pa.Table, sidecars: Sidecars) -> set[str]:
    """The sidecars of audio files: their first bytes need not be looked at."""
    audio = table.filter(pc.match_substring_regex(table["uri"], rf"(?i)\.({'|'.join(sniff.AUDIO_EXTENSIONS)})$"))["uri"]
    return {lyrics for uri in audio.to_pylist() if (lyrics := sidecars.of(uri))}


def _is_listed(below: str, matches: Callable[[str], bool], notes: Notes) -> bool:
    """Whether an object is an entry: not the mark of a folder, not hidden, and wanted."""
    *folders, name = below.split("/")
    hidden = next((part for part in (*folders, name) if is_hidden(part)), None)
    if hidden:
        notes.pass_over(hidden)
    return bool(name) and not hidden and matches(below)


def _judged(
    folder: str,
    objects: list[gcs.Object],
    names: list[str],
    verdicts: Verdicts,
    lyrics: set[str] | frozenset[str] = frozenset(),
) -> Iterator[Entry]:
    unknown = [
        o
        for o in objects
        if not sniff.has_audio_extension(o.uri)
        and o.uri not in lyrics
        and o.size_bytes
        and verdicts.get(o.uri, o.revision) is None
    ]
    for o, head in zip(unknown, gcs.read_heads(unknown, sniff.HEAD_BYTES), strict=True):
        verdicts.put(o.uri, o.revision, sniff.is_audio(head, o.size_bytes))
    for o, name in zip(objects, names, strict=True):
        audio = sniff.has_audio_extension(o.uri) or bool(verdicts.get(o.uri, o.revision))
        kind = AUDIO if audio else NOT_AUDIO
        yield Entry(name, o.uri, o.size_bytes, o.modified_us, o.revision, kind, generation=o.generation)
