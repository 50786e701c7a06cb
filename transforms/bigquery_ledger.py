"""What is up to date, asked of BigQuery: an anti-join there, so that only what is left is judged here.

Conventions. The rule is that of transforms/ledger.py, whose `plan` goes on with what is returned: a listed track is
surely up to date if its newest row has a token, is `present`, and has the revision that is listed now, and every task
is done for that token. Such tracks leave the listing, and their rows are not fetched. The rows of all others that are
listed, and of those present ones that are not, become parts of a local folder, which `tables.connect` reads.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms import bigquery, records, schemas
from transforms.bigquery import Dataset, Warehouse
from transforms.bigquery_merge import STAGE_DAYS, stage_ddl
from transforms.bigquery_schema import quoted
from transforms.listing import Entry, Listing
from transforms.records import Problem, Task

_STAGED = pa.schema([("track_id", pa.string()), ("revision", pa.string()), ("kind", pa.string()), ("kept", pa.bool_())])
_PART = "ledger.parquet"


@dataclass(frozen=True, kw_only=True)
class Remainder:
    """A listing without what is surely up to date."""

    listing: Listing
    up_to_date: int  #: how many entries were left out


def subtract(
    results: Dataset,
    listing: Listing,
    tasks: Sequence[Task],
    folder: str,
    *,
    keep_ids: Collection[str] = (),
    force: bool = False,
) -> Remainder:
    """Leaves out of `listing` what BigQuery says is up to date, and fetches the ledger of the rest into `folder`.

    `ledger.plan` of the remainder, with `tables.connect(folder)`, is the plan of the whole listing with the whole
    ledger; only `listed` and `up_to_date` lack the entries left out. Tracks of the same bytes are not all in `folder`.

    Args:
        listing: is used up; its notes stay those of the remainder.
        folder: gets tables/tracks and tables/work; local, and without tables before.
        keep_ids: tracks that stay in the listing though they may be up to date (those that are asked for by name).
        force: all stay.

    Raises:
        MisuseError, RunError: as `bigquery.connect`.
    """
    warehouse = bigquery.connect(results)
    names = set(warehouse.tables())
    for table in ("tracks", "work"):
        os.makedirs(os.path.join(folder, "tables", table))
    if not {"tracks_history", "work_history"} <= names:
        return Remainder(listing=listing, up_to_date=0)  # nothing was published there yet
    question = _Question(warehouse, secrets.token_hex(6))
    try:
        question.stage(listing, frozenset(keep_ids), force)
        question.judge(tasks, listing.notes.complete)
        left = question.left()
        for table in ("tracks", "work"):  # `work` commits
            question.fetch(table, os.path.join(folder, "tables", table, _PART))
    finally:
        question.close()
    whole = pq.ParquetFile(listing.file())
    rest = Listing(listing.input, _entries(whole, left, listing), listing.notes, listing.covers)
    return Remainder(listing=rest, up_to_date=whole.metadata.num_rows - question.staying)


def _entries(whole: pq.ParquetFile, left: frozenset[str], _: Listing) -> Iterator[Entry]:
    """The entries that stay, in their order; the listing is held, since its file goes when it goes."""
    for batch in whole.iter_batches():
        for row in batch.to_pylist():
            if row["kind"] == "not_audio" or row["track_id"] in left:
                yield _entry(row)


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(**{**row, "problem": row["problem"] and Problem(**row["problem"])})
