"""Stem files that no result refers to any more, and unfinished ones.

Conventions. A file is known by the last six parts of its URI, stems/MODEL/VERSION/TRACK/TOKEN/STEM.FORMAT: an output
that was moved is still the same output. Nothing outside OUTPUT/stems is touched. Local outputs only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from typing import Any

from transforms import tables

FOLDER = "stems"
UNFINISHED = ".unfinished"  #: below FOLDER, on its disk: a file moves into its place when it is whole
_PARTS = 6


def unfinished_folder(path: str) -> str | None:
    """Where a local stem at `path` is written until it is whole; None if `path` is not below an output's FOLDER."""
    parts = os.path.abspath(path).split(os.sep)
    if len(parts) <= _PARTS or parts[-_PARTS] != FOLDER:
        return None
    return os.sep.join([*parts[: 1 - _PARTS], UNFINISHED])


def sweep_unfinished(output: str) -> None:
    """Removes what a dead run left; only for the holder of the output's lock."""
    shutil.rmtree(os.path.join(output, FOLDER, UNFINISHED), ignore_errors=True)


def superseded_files(connection: Any, output: str) -> list[str]:
    """The files of rows that may go (transforms/compact.py has put those that stay into kept.stems)."""
    key = f"USING ({', '.join(tables.STAMP)})"
    named = f"SELECT string_split(uri, '/')[-{_PARTS}:] AS parts FROM parts.stems"
    going = connection.sql(f"{named} ANTI JOIN kept.stems {key} EXCEPT {named} SEMI JOIN kept.stems {key}").fetchall()
    within = [parts for (parts,) in going if _is_within(parts)]
    return sorted(filter(os.path.isfile, (os.path.join(output, *parts) for parts in within)))


def _is_within(parts: list[str]) -> bool:
    return len(parts) == _PARTS and parts[0] == FOLDER and not {"", ".", ".."} & set(parts)


def remove_files(paths: Iterable[str], output: str) -> None:
    """Removes files, and the folders that are empty then."""
    top = os.path.join(output, FOLDER)
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
        folder = os.path.dirname(path)
        with contextlib.suppress(OSError):  # not empty
            while folder != top:
                os.rmdir(folder)
                folder = os.path.dirname(folder)
