"""Tracks on disk, due."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests import signals
from transforms.folder import uri_of
from transforms.records import Due, Task, Track
from transforms.tasks import QUALITY

SOUND = signals.music(1.5, 16_000, 1)


def due(path: Path, tasks: tuple[Task, ...] = (QUALITY,), **more: Any) -> Due:
    """The file at `path`, with `tasks` to be done."""
    stat = path.stat()
    revision = f"{stat.st_size}-{stat.st_mtime_ns}"
    track = Track(track_id=path.stem, uri=uri_of(str(path)), size_bytes=stat.st_size, modified=None, revision=revision)
    return Due(track=track, tasks=tasks, **more)


def written(folder: Path, stem: str, sound: Any = SOUND) -> Path:
    """A FLAC file of `sound` at 16 kHz."""
    return signals.write(folder, "flac", sound, 16_000, stem=stem)
