"""What scoring separators on clips and on songs has in common: the command line, which songs, and their parts.

Conventions. Parts are float32 [frames, channels] at the files' own rate.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.separators import SYSTEMS, Separator, systems
from bench.table import write_csv
from models.audio import AudioError, probe
from models.card import ModelError
from models.layouts import DataError, Song
from models.windows import FloatArray

TOLD_EVERY_S = 30.0  #: how far it is, on standard error


def options(argv: Sequence[str], what: str) -> argparse.Namespace:
    """The command line; `what` it does."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="URI of the separator; default: the newest of the name `separator`")
    parser.add_argument("--only", type=_words, default=(), metavar="PREFIX,...", help="those whose names begin so")
    parser.add_argument("--exclude", type=_words, default=(), metavar="PREFIX,...", help="but not those")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N of them")
    parser.add_argument("--systems", type=_words, default=SYSTEMS, metavar="NAME,...", help=", ".join(SYSTEMS))
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where to write the figures of each of them")
    return parser.parse_args(argv)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def chosen(songs: Sequence[Song], given: argparse.Namespace) -> list[Song]:
    """Those of `songs` that --only, --exclude and --limit leave.

    Raises:
        DataError: if there is none.
    """
    kept = [song for song in songs if not given.only or song.name.startswith(given.only)]
    kept = [song for song in kept if not given.exclude or not song.name.startswith(given.exclude)]
    if not kept[: given.limit]:
        some = ", ".join(song.name for song in songs[:3])
        raise DataError(f"{given.folder}: --only, --exclude and --limit leave nothing of {len(songs)}: {some}, ...")
    return kept[: given.limit]


def parts(song: Song) -> tuple[FloatArray, FloatArray, int]:
    """Voice and accompaniment of a song, and their rate.

    Raises:
        DataError: if they cannot be read, or differ in shape.
    """
    file = song.parts["voice"].files[0]
    try:
        rate_hz = probe(file).sample_rate_hz
    except (AudioError, OSError) as error:
        raise DataError(f"{file} cannot be decoded: {error}. Take it out, or get a whole copy") from error
    voice, accompaniment = (song.parts[name].read(rate_hz) for name in ("voice", "accompaniment"))
    if voice.shape != accompaniment.shape:
        told = f"voice {voice.shape} and accompaniment {accompaniment.shape}"
        raise DataError(f"{song.name}: {told} differ in shape. They must fit sample by sample")
    return voice, accompaniment, rate_hz


def scored(songs: Sequence[Song], given: argparse.Namespace, score: Callable[..., list[Any]]) -> list[Any]:
    """What `score(song, separators)` gives, a list of dataclasses, for all songs together; written where --csv says."""
    separators: Mapping[str, Separator] = systems(given.systems, given.model)
    rows, told_s = list[Any](), time.monotonic()
    for number, song in enumerate(songs, start=1):
        rows += score(song, separators)
        if time.monotonic() - told_s > TOLD_EVERY_S:
            print(f"{number} of {len(songs)}", file=sys.stderr)
            told_s = time.monotonic()
    if given.csv:
        write_csv(given.csv, [asdict(row) for row in rows])
    return rows


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Calls `main` with the command line; what the user can put right is told in a line."""
    try:
        main(sys.argv[1:])
    except (DataError, ModelError, ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
