"""Parts of tables: written whole or not at all, those of `work` last.

A flush writes one part of one name into each table that has rows: OUTPUT/tables/TABLE/RUN_ID-DIGEST.parquet. The part
of `work` comes last and commits the others: a run that is killed in between leaves parts that nobody reads, and the
next run sweeps them away. The name is a digest of the tracks in it: a bundle tried again overwrites its own parts.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence

import pyarrow.parquet as pq

from transforms.errors import RunError
from transforms.records import TABLE_OF, TABLES, Report, Row
from transforms.schemas import to_arrow
from transforms.whole import written_whole


def write_part(output: str, reports: Sequence[Report], run_id: str) -> str:
    """Writes the rows of `reports`, those of `work` last; the part's name.

    Raises:
        RunError: if there is no space, or no permission to write.
    """
    digest = hashlib.sha256()
    for report in reports:
        digest.update(f"{report.due.track.track_id}\0{report.content_token}\0".encode())
    name = f"{run_id}-{digest.hexdigest()[:16]}.parquet"
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    for report in reports:
        for row in report.rows:
            rows[TABLE_OF[type(row)]].append(row)
    for table, of_table in rows.items():
        if of_table or table == "work":  # `work` commits, be it empty; it is the last of TABLES
            write_table(output, table, name, of_table)
    return name


def write_table(output: str, table: str, name: str, rows: Sequence[object]) -> None:
    """Writes one part whole or not at all.

    Raises:
        RunError: if there is no space, or no permission to write.
    """
    path = os.path.join(output, "tables", table, name)
    try:
        with written_whole(path) as scratch, open(scratch, "wb") as file:
            pq.write_table(to_arrow(table, rows), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())  # a part that `work` commits must outlast a power cut
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: str, error: OSError) -> RunError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"no space left to write to {path}",
            "what was finished is kept; free some space and run the same command again, it goes on from there",
        )
    return RunError(f"cannot write to {path}: {error}", "see that the output folder exists and may be written to")
