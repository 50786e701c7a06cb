"""A folder of this machine as a catalogue.

Conventions. Entries come sorted: the files of a folder, then its subfolders. A track id is the path below the
catalogue's folder, with `/`, after `listing.distinct_names`. Symbolic links are followed; a linked folder is entered
once, and never when it is one that we are in. Hidden names are passed over: those with a dot and a letter or the like
in front (an album named `...And Justice for All` or `.5` is none), and what storage boxes leave about (`@eaDir`,
`#recycle`, ...). A folder that cannot be read is told and makes the listing incomplete, but does not end it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from transforms import sniff
from transforms.listing import (
    AUDIO,
    NOT_AUDIO,
    UNREADABLE,
    Entry,
    Notes,
    Sidecars,
    distinct_names,
    microseconds,
)
from transforms.records import Problem

_FILE = "file://"
_BOXES = r"@eaDir|#recycle|#snapshot|\$RECYCLE\.BIN|System Volume Information|__MACOSX|lost\+found"
_DEBRIS = re.compile(rf"\.[^.\d\s]|({_BOXES})$")
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def is_hidden(name: str) -> bool:
    """Whether a name is passed over.

    >>> [is_hidden(name) for name in (".DS_Store", "._a.mp3", "@eaDir", "...And Justice for All")]
    [True, True, True, False]
    """
    return _DEBRIS.match(name) is not None


def uri_of(path: str) -> str:
    r"""The path itself, or a file:// URI if it is not UTF-8.

    >>> uri_of("/m/é.mp3"), uri_of("/m/\udce9.mp3")
    ('/m/é.mp3', 'file:///m/%E9.mp3')
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return _FILE + quote(os.fsencode(path))
    return path


def local_path(uri: str) -> str:
    r"""The path that `uri_of` made `uri` from.

    >>> local_path("file:///m/%E9.mp3")
    '/m/\udce9.mp3'
    """
    return os.fsdecode(unquote_to_bytes(uri.removeprefix(_FILE))) if uri.startswith(_FILE) else uri


@dataclass
class Walk:
    """One walk over a folder.

    Args:
        root: absolute path.
        verdicts: what first bytes said before; learns.
        notes: what is noticed on the way.
        matches: which paths below `root` are wanted.
        depth: how many folders deep they can lie; None: any.
    """

    root: str
    verdicts: sniff.Verdicts
    notes: Notes
    matches: Callable[[str], bool] = lambda _: True
    depth: int | None = None
    _linked: set[tuple[int, int]] = field(default_factory=set)

    def entries(self) -> Iterator[Entry]:
        """All entries, sorted."""
        waiting = [("", "", 0)]  # path and id below the root, each with its `/`, and the depth
        while waiting:
            below, track_id, depth = waiting.pop()
            subfolders: list[tuple[str, str, int]] = []
            yield from self._files(below, track_id, depth, subfolders)
            waiting.extend(reversed(subfolders))

    def _files(self, below: str, id_below: str, depth: int, subfolders: list[tuple[str, str, int]]) -> Iterator[Entry]:
        found = self._names(below)
        names = [name for name, _ in found]
        sidecars = Sidecars(names)
        lyrics = {lyrics for name in names if sniff.has_audio_extension(name) and (lyrics := sidecars.of(name))}
        for (name, linked), plain in zip(found, distinct_names(names), strict=True):
            path = f"{self.root}/{below}{name}"
            status = status_of(path)
            if isinstance(status, os.stat_result) and stat.S_ISDIR(status.st_mode):
                if (self.depth is None or depth < self.depth) and not (linked and self._entered(path, below, status)):
                    subfolders.append((f"{below}{name}/", f"{id_below}{plain}/", depth + 1))
            elif self.matches(below + name):
                entry = self.entry(path, id_below + plain, status, opened=name not in lyrics)
                beside = sidecars.of(name) if entry.kind == AUDIO else None
                yield entry._replace(lyrics_uri=uri_of(f"{self.root}/{below}{beside}")) if beside else entry

    def _names(self, below: str) -> list[tuple[str, bool]]:
        """Names in a folder and whether each is a symbolic link, sorted."""
        found = []
        try:
            with os.scandir(f"{self.root}/{below}") as items:
                for item in items:
                    if is_hidden(item.name):
                        self.notes.pass_over(item.name)
                    else:
                        found.append((item.name, item.is_symlink()))
        except OSError as error:
            self.notes.incomplete(f"the folder {f'{self.root}/{below}'!r} cannot be read: {error.strerror}")
        return sorted(found)

    def _entered(self, path: str, below: str, status: os.stat_result) -> bool:
        """Whether a linked folder is one that we are in, or that another link led to."""
        identity = (status.st_dev, status.st_ino)
        parts = below.split("/")[:-1]
        above = [os.stat("/".join([self.root, *parts[:n]])) for n in range(len(parts) + 1)]
        if identity in self._linked or identity in {(folder.st_dev, folder.st_ino) for folder in above}:
            self.notes.messages.append(f"the link {path!r} leads to a folder that is listed already; it is not entered")
            return True
        self._linked.add(identity)
        return False

    def entry(self, path: str, track_id: str, status: os.stat_result | OSError, *, opened: bool = True) -> Entry:
        """The entry of one path that is no folder; first bytes are read only if it may be `opened`."""
        if trouble := trouble_of(path, status):
            return _unreadable(path, track_id, trouble)
        assert isinstance(status, os.stat_result)
        uri, revision = uri_of(path), f"{status.st_size}-{status.st_mtime_ns}"
        audio = sniff.has_audio_extension(path) or (opened and self._is_audio(path, uri, revision, status.st_size))
        kind = AUDIO if audio else NOT_AUDIO
        return Entry(track_id, uri, status.st_size, microseconds(status.st_mtime_ns), revision, kind)

    def _is_audio(self, path: str, uri: str, revision: str, size_bytes: int) -> bool:
        known = self.verdicts.get(uri, revision)
        if known is not None or size_bytes == 0:
            return bool(known)
        try:
            audio = sniff.is_audio(sniff.read_head(path), size_bytes)
        except OSError as error:
            self.notes.messages.append(f"{path!r} cannot be opened to see whether it is audio: {error.strerror}")
            return False
        self.verdicts.put(uri, revision, audio)
        return audio


def status_of(path: str) -> os.stat_result | OSError:
    """What the file system tells of a path, links followed, or why it does not."""
    try:
        return os.stat(path)
    except OSError as error:
        return error


def trouble_of(path: str, status: os.stat_result | OSError) -> Problem | None:
    """Why a path cannot be read as a file, if it cannot."""
    if isinstance(status, OSError):
        return _absent(path, status)
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no file")
        message = f"{path!r} is {kind}, not a file"
        return Problem(reason="not_a_file", message=message, advice="Remove it or rename it.", transient=False)
    if not os.access(path, os.R_OK):
        return _forbidden(path)
    return None


def _absent(path: str, error: OSError) -> Problem:
    if isinstance(error, PermissionError):
        return _forbidden(path)
    if os.path.islink(path):
        message = f"{path!r} is a link to {os.readlink(path)!r}, which cannot be reached ({error.strerror})"
        return Problem(reason="dangling_link", message=message, advice="Mount what it leads to, or remove the link.")
    message, advice = f"{path!r} cannot be found ({error.strerror})", "Check the path, and that its disk is mounted."
    return Problem(reason="gone", message=message, advice=advice)


def _forbidden(path: str) -> Problem:
    advice = "Let the user who runs songscan read it: chmod a+r on the file, a+x on its folders."
    return Problem(reason="no_permission", message=f"{path!r} may not be read", advice=advice)


def _unreadable(path: str, track_id: str, problem: Problem) -> Entry:
    """The entry of a path that cannot be read: no audio unless its extension says so."""
    kind = UNREADABLE if sniff.has_audio_extension(path) else NOT_AUDIO
    return unreadable(path, track_id, problem)._replace(kind=kind)


def unreadable(path: str, track_id: str, problem: Problem) -> Entry:
    """The entry of a path that is a track by name, yet cannot be read; its own time (a link's) stands for content."""
    try:
        itself = os.lstat(path)
    except OSError:
        return Entry(track_id, uri_of(path), 0, None, problem.reason, UNREADABLE, problem)
    revision = f"{problem.reason}-{itself.st_mtime_ns}"
    return Entry(track_id, uri_of(path), 0, microseconds(itself.st_mtime_ns), revision, UNREADABLE, problem)
