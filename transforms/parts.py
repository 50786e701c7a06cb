"""Which files of an output are parts of its tables: what is committed, what a dead run or compaction left.

Conventions. A table NAME is OUTPUT/tables/NAME/*.parquet. One flush of a scan writes parts of one file name in every
table that it has rows for, `work` last: a part counts only if `work` has a part of that name (except in `runs`, which
the launcher writes). Names that start with `.` or `_` are files not yet finished. While OUTPUT/state/compaction.json
exists, either the new part that it names or the old ones count, never both: the new one from the moment that it is in
`work`. Local outputs only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transforms.errors import MisuseError, RunError

COMMIT = "work"  # its parts commit those of the same name in the other tables
SELF_COMMITTED = ("work", "runs")  # tables whose parts need no other
SUFFIX = ".parquet"
LISTED_ENTRIES = 12  # of a folder that is no output, in the error


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """A compaction under way: file names of parts, the same in every table."""

    new: str
    old: tuple[str, ...]


def journal_path(output: str) -> str:
    """Where a compaction under way is written down."""
    return os.path.join(output, "state", "compaction.json")


def read_journal(output: str) -> Compaction | None:
    """The compaction under way in `output`, if any.

    Raises:
        RunError: if the journal is not one.
    """
    path = journal_path(output)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        return Compaction(new=content["new"], old=tuple(content["old"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"The journal {path} cannot be read ({error})",
            "It was damaged after it was written; look at the parts in OUTPUT/tables before you delete it",
        ) from error


def table_folders(output: str) -> list[str]:
    """Names of the tables on disk, those of other versions of songscan included; `work` last, as it is written."""
    with os.scandir(os.path.join(output, "tables")) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    return sorted(names, key=lambda name: name == COMMIT)


def part_path(output: str, table: str, name: str) -> str:
    """Where the part of file name `name` of `table` is."""
    return os.path.join(output, "tables", table, name)


def committed_names(output: str) -> dict[str, list[str]]:
    """File names, sorted, of the parts that count, by table.

    Raises:
        MisuseError: if `output` is not an output of songscan.
        RunError: if it cannot be read from here.
    """
    check_output(output)
    journal = read_journal(output)
    while True:
        names = _whole_names(output)
        after = read_journal(output)
        if after == journal:  # else a compaction went on between the two: what was listed belongs to neither side
            return counting(names, journal)
        journal = after


def committed_parts(output: str, table: str) -> list[str]:
    """Paths, sorted, of the parts of `table` that count.

    Raises:
        MisuseError, RunError: as `committed_names`.
    """
    return [part_path(output, table, name) for name in committed_names(output).get(table, [])]


def _whole_names(output: str) -> dict[str, list[str]]:
    # `work` is listed first: what it commits is there already, so a scan that goes on meanwhile shows no half track.
    return {t: sorted(_names(output, t, whole=True)) for t in reversed(table_folders(output))}


def _names(output: str, table: str, *, whole: bool) -> list[str]:
    with os.scandir(os.path.join(output, "tables", table)) as entries:
        files = [entry.name for entry in entries if entry.is_file()]
    return [name for name in files if (name.endswith(SUFFIX) and name[0] not in "._") == whole]


def counting(names: Mapping[str, Sequence[str]], journal: Compaction | None = None) -> dict[str, list[str]]:
    """Of the file names of each table those that count."""
    committed = set(names.get(COMMIT, ()))
    hidden: set[str] = set()
    if journal:
        hidden = set(journal.old) if journal.new in committed else {journal.new}
    return {
        table: [n for n in found if n not in hidden and (table in SELF_COMMITTED or n in committed)]
        for table, found in names.items()
    }


def check_output(output: str) -> None:
    """Checks that `output` is a folder that a scan has written to.

    Raises:
        MisuseError: if it is not; says what is there.
        RunError: if it is on Cloud Storage.
    """
    if "://" in output:
        raise RunError(
            f"{output} is on Cloud Storage, and only parts in a folder can be compacted or pruned",
            "Publish them to BigQuery, and let the bucket's lifecycle remove old parts; or copy OUTPUT/tables here",
        )
    if os.path.isdir(os.path.join(output, "tables")):
        return
    if not os.path.isdir(output):
        what = "is a file" if os.path.exists(output) else "does not exist"
        raise MisuseError(f"{output!r} {what}", "Give the folder that `songscan scan INPUT OUTPUT` wrote to")
    there = sorted(os.listdir(output))
    listed = ", ".join(repr(name) for name in there[:LISTED_ENTRIES]) or "nothing"
    more = f" and {len(there) - LISTED_ENTRIES} more" if len(there) > LISTED_ENTRIES else ""
    raise MisuseError(
        f"{output!r} is not an output of songscan: it has no folder `tables`, only {listed}{more}",
        "Give the folder that `songscan scan INPUT OUTPUT` wrote to (a catalogue is scanned first)",
    )


def sweep(output: str) -> list[str]:
    """Removes what a dead run left: unfinished files and uncommitted parts; ends an interrupted compaction.

    Only for the holder of the output's lock: a living run has such files too. An output without tables is left alone.

    Returns:
        The paths removed.
    """
    if not os.path.isdir(os.path.join(output, "tables")):
        return []
    counting = committed_names(output)
    removed = []
    for table in table_folders(output):
        kept = set(counting[table])
        for name in _names(output, table, whole=False) + _names(output, table, whole=True):
            if name[0] in "._" or (name.endswith(SUFFIX) and name not in kept):
                removed.append(part_path(output, table, name))
    for path in removed:  # `work` is the last table: a part loses its commit only when it is gone everywhere else
        os.remove(path)
    if read_journal(output):
        os.remove(journal_path(output))
    return removed
