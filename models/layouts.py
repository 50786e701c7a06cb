"""Where training data lies: the field's standard layouts, read as songs with their parts.

Conventions. Nothing is decoded here: a song names its files. A part is `voice`, `accompaniment`, `music` (without
defects) or `noise`. `group` is what must not be split between training and held-out data: a singer's song, an album's
track. Samples, when read, are float32 [frames, channels], full scale +-1.0, at the rate asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.audio import read, resample
from models.formats import AudioError

FloatArray = npt.NDArray[np.float32]
AUDIO = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aif", ".aiff")


class DataError(Exception):
    """Training data that is not as its layout says: the path, what is wrong with it, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where one part of a song is: the sum of `files`, or one channel of them."""

    files: tuple[Path, ...]
    channel: int | None = None

    def read(self, rate_hz: int) -> FloatArray:
        """The samples, [frames, channels].

        Raises:
            DataError: if a file cannot be decoded, or files that belong together differ in length.
        """
        parts = [self._decoded(path, rate_hz) for path in self.files]
        if len({part.shape for part in parts}) > 1:
            told = ", ".join(f"{path.name} {part.shape}" for path, part in zip(self.files, parts, strict=True))
            raise DataError(f"{self.files[0].parent}: stems differ in shape: {told}. They must fit sample by sample")
        total: FloatArray = np.sum(parts, axis=0, dtype=np.float32)
        return total

    def _decoded(self, path: Path, rate_hz: int) -> FloatArray:
        try:
            samples, decoded = read(path)
        except (AudioError, OSError) as error:
            raise DataError(f"{path} cannot be decoded: {error}. Take it out, or get a whole copy") from error
        if self.channel is not None:
            if samples.shape[1] <= self.channel:
                raise DataError(f"{path} has {samples.shape[1]} channel; its layout wants stereo, a part on each side")
            samples = samples[:, self.channel : self.channel + 1]
        return np.ascontiguousarray(resample(samples, decoded.info.sample_rate_hz, rate_hz), np.float32)


@dataclass(frozen=True, kw_only=True)
class Song:
    """One recording of a data set, with its parts by name."""

    name: str
    group: str
    parts: Mapping[str, Source]


def mir1k(folder: Path) -> list[Song]:
    """MIR-1K (Hsu and Jang 2010): clips SINGER_SONG_CLIP, accompaniment left, voice right. Grouped by singer's song.

    Of the whole data set only the folder `Wavfile` is read: beside it lie the songs that clips were cut from, and the
    lyrics, read aloud, under the clips' names.
    """
    songs, paths = [], _audio(folder)
    for path in [path for path in paths if path.parent.name == "Wavfile"] or paths:
        words = path.stem.split("_")
        parts = {name: Source(files=(path,), channel=side) for side, name in enumerate(("accompaniment", "voice"))}
        songs.append(Song(name=path.stem, group="_".join(words[:-1]) or path.stem, parts=parts))
    return songs


def stems(folder: Path) -> list[Song]:
    """Folders of stems, one a song: MUSDB18-HQ (vocals, drums, bass, other), or vocals and accompaniment.

    A folder `mixture` file is not read: it is the sum.

    Raises:
        DataError: if a song has no vocals, or nothing beside them.
    """
    songs = []
    for inner in sorted({path.parent for path in _audio(folder)}):
        files = {path.stem.lower(): path for path in _audio(inner) if path.parent == inner}
        files.pop("mixture", None)
        voice = files.pop("vocals", None)
        if voice is None or not files:
            raise DataError(
                f"{inner} has {sorted(files)}: a song needs vocals.wav, and accompaniment.wav or other stems"
            )
        others = tuple(files[name] for name in sorted(files))
        parts = {"voice": Source(files=(voice,)), "accompaniment": Source(files=others)}
        songs.append(Song(name=inner.name, group=inner.name, parts=parts))
    return songs


def music(folder: Path) -> list[Song]:
    """A folder of clean music, a file a song."""
    return _whole(folder, "music")


def instrumental(folder: Path) -> list[Song]:
    """A folder of music without singing: accompaniments without a voice."""
    return _whole(folder, "accompaniment")


def noise(folder: Path) -> list[Song]:
    """A folder of noises, a file each."""
    return _whole(folder, "noise")


LAYOUTS: dict[str, Callable[[Path], list[Song]]] = {
    "mir1k": mir1k,
    "musdb": stems,
    "stems": stems,
    "music": music,
    "instrumental": instrumental,
    "noise": noise,
}

#: What each kind of data may be used for, as far as its layout tells; and whether for research only.
LICENCES: dict[str, tuple[str, bool]] = {
    "mir1k": ("MIR-1K: free for research", True),
    "musdb": ("MUSDB18-HQ: for education and research", True),
    "stems": ("", False),
    "music": ("", False),
    "instrumental": ("", False),
    "noise": ("", False),
}


def read_layout(source: str) -> list[Song]:
    """The songs of `KIND:PATH`.

    Raises:
        DataError: if there is no such kind or path, or nothing in it.
    """
    kind, _, place = source.partition(":")
    if kind not in LAYOUTS or not place:
        raise DataError(f"--data={source!r}: want KIND:PATH, and KIND one of {', '.join(LAYOUTS)}")
    return songs_in(kind, Path(place))


def songs_in(kind: str, folder: Path) -> list[Song]:
    """The songs in `folder`, which has the layout of this name of LAYOUTS.

    Raises:
        DataError: if there is no such folder, nothing in it, or something else.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {str(folder)!r}. Is it mounted?")
    songs = LAYOUTS[kind](folder)
    if not songs:
        raise DataError(f"no audio files ({', '.join(AUDIO)}) are in {str(folder)!r} or below")
    return songs


def _audio(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO and path.is_file())


def _whole(folder: Path, part: str) -> list[Song]:
    paths = _audio(folder)
    named = [path.relative_to(folder).with_suffix("").as_posix() for path in paths]
    return [
        Song(name=name, group=name, parts={part: Source(files=(path,))})
        for name, path in zip(named, paths, strict=True)
    ]


def held_out(songs: list[Song], groups: Sequence[str]) -> tuple[list[Song], list[Song]]:
    """`songs` to train on, and those to measure with, whose group begins with one of `groups`: never split within one.

    Raises:
        DataError: if no song is of such a group, though some are named: nothing would be measured.
    """
    chosen = [song for song in songs if song.group.startswith(tuple(groups))]
    if groups and not chosen:
        some = ", ".join(sorted({song.group for song in songs})[:5])
        raise DataError(f"no song belongs to the groups to be held out, {', '.join(groups)}; there are {some}, ...")
    return [song for song in songs if song not in chosen], chosen
