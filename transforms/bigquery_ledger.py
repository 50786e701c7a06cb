"""What is up to date, asked of BigQuery: an anti-join there, so that only what is left is judged here.

Conventions. The rule is that of transforms/ledger.py, whose `plan` goes on with what is returned: a listed track is
surely up to date if its newest row has a token, is `present`, and has the revision that is listed now, and every task
is done for that token. Such tracks leave the listing, and their rows are not fetched. The rows of all others that are
listed, and of those present ones that are not, become parts of a local folder, which `tables.connect` reads.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms import bigquery
from transforms.bigquery import Dataset, Warehouse
from transforms.bigquery_merge import expiring, stage_ddl
from transforms.bigquery_schema import loose_schema, quoted
from transforms.listing import NOT_AUDIO, SCHEMA, Listing
from transforms.records import TABLES, Task

_LISTED = ["track_id", "revision", "kind"]
_STAGED = pa.schema([*(SCHEMA.field(name) for name in _LISTED), ("kept", pa.bool_())])


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
    ledger; only its `listed` and `up_to_date` lack the entries left out.

    Args:
        listing: is used up; the remainder has its notes.
        folder: local, without tables before; gets tables/tracks and tables/work, and the file of the remainder.
        keep_ids: tracks that stay though they may be up to date: those that are asked for by name.
        force: all stay.

    Raises:
        MisuseError, RunError: as `bigquery.connect`.
    """
    warehouse = bigquery.connect(results)
    there = set(warehouse.tables())
    os.makedirs(os.path.join(folder, "tables"))
    if not {"tracks_history", "work_history"} <= there:
        return Remainder(listing=listing, up_to_date=0)  # nothing was published there yet
    question = _Question(warehouse, f"ledger_{secrets.token_hex(6)}")
    try:
        question.stage(listing, keep_ids, force, os.path.join(folder, "listed.parquet"))
        question.judge(tasks, unlisted=listing.notes.complete)
        rest, left_out = _without(listing, question.staying(), os.path.join(folder, "listing.parquet"))
        for table in ("tracks", "work"):  # `work` commits
            question.fetch(table, os.path.join(folder, "tables", table))
    finally:
        question.close()
    return Remainder(listing=rest, up_to_date=left_out)


def _without(listing: Listing, staying: pa.Array, path: str) -> tuple[Listing, int]:
    """The listing of the tracks that stay and of what is not audio, kept at `path`; and how many others there were."""
    left_out = 0
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for batch in pq.ParquetFile(listing.file()).iter_batches():
            stays = pc.or_(pc.is_in(batch["track_id"], staying), pc.equal(batch["kind"], NOT_AUDIO))
            left_out += batch.num_rows - pc.sum(stays).as_py()
            writer.write_batch(batch.filter(stays))
    return Listing(listing.input, iter(()), listing.notes, listing.covers, _file=path), left_out


@dataclass(frozen=True)
class _Question:
    """What BigQuery is asked, in two tables of its own that expire: what is listed, and what is left of it."""

    warehouse: Warehouse
    name: str

    @property
    def _listed(self) -> str:
        return f"{self.name}_listed"

    @property
    def _left(self) -> str:
        return f"{self.name}_left"

    def stage(self, listing: Listing, keep_ids: Collection[str], force: bool, path: str) -> None:
        """Loads what is listed."""
        create = stage_ddl(self.warehouse.name(self._listed), _STAGED)
        self._query(create, "create")
        kept = pa.array(sorted(keep_ids), pa.string())

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in pq.ParquetFile(listing.file()).iter_batches(columns=_LISTED):
                keeps = pa.array([True] * batch.num_rows) if force else pc.is_in(batch["track_id"], kept)
                yield pa.record_batch([*batch.columns, keeps], schema=_STAGED)

        self.warehouse.load_rows(batches(), _STAGED, path, self._listed, f"songscan-{self.name}-load")

    def judge(self, tasks: Sequence[Task], *, unlisted: bool) -> None:
        """Finds the tracks that are left: listed and not surely up to date, and `unlisted` but present."""
        asked = ", ".join(
            f"STRUCT({quoted(task.name)} AS task, {quoted(task.model_name)} AS model_name, "
            f"{quoted(task.model_version)} AS model_version, {quoted(task.options_digest)} AS options_digest)"
            for task in tasks
        )
        names = {name: f"`{self.warehouse.name(name)}`" for name in ("tracks_now", "work_history")}
        listed, left = (f"`{self.warehouse.name(name)}`" for name in (self._listed, self._left))
        select = _LEFT.format(**names, listed=listed, asked=asked, tasks=len(tasks))
        if unlisted:
            select += _UNLISTED.format(listed=listed)
        self._query(f"CREATE TABLE {left} {expiring()} AS\n{select}", "judge")

    def staying(self) -> pa.Array:
        """The ids of the listed tracks that are left."""
        rows = self._query(f"SELECT track_id FROM `{self.warehouse.name(self._left)}` WHERE listed", "left")
        return pa.array((row["track_id"] for row in rows), pa.string())

    def fetch(self, table: str, folder: str) -> None:
        """Writes what is known of the tracks that are left, listed or not, as the one part of `table`."""
        rows = self._query(
            f"SELECT h.* FROM `{self.warehouse.name(f'{table}_history')}` AS h WHERE EXISTS "
            f"(SELECT 1 FROM `{self.warehouse.name(self._left)}` AS l WHERE l.track_id = h.track_id)",
            f"fetch-{table}",
        )
        schema = loose_schema(TABLES[table])
        os.makedirs(folder)
        with pq.ParquetWriter(os.path.join(folder, "ledger.parquet"), schema) as writer:
            for batch in rows.to_arrow_iterable():
                there = set(batch.schema.names)
                columns = [
                    batch[f.name].cast(f.type) if f.name in there else pa.nulls(batch.num_rows, f.type) for f in schema
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))

    def close(self) -> None:
        """Removes the tables."""
        for table in (self._listed, self._left):
            self.warehouse.drop(table)

    def _query(self, sql: str, step: str) -> Any:
        return self.warehouse.query(sql, f"songscan-{self.name}-{step}", "The ledger cannot be read in BigQuery")


# SQL ------------------------------------------------------------------------------------------------------------

_LEFT = """
WITH asked AS (SELECT * FROM UNNEST([{asked}])),
newest AS (SELECT track_id, content_token, revision, state FROM {tracks_now}),
fresh AS (
    SELECT n.track_id, n.content_token FROM {listed} AS l JOIN newest AS n ON n.track_id = l.track_id
    WHERE NOT l.kept AND n.content_token <> '' AND n.state = 'present' AND n.revision = l.revision),
done AS (
    SELECT DISTINCT w.track_id, a.task, a.model_name, a.model_version, a.options_digest
    FROM {work_history} AS w
    JOIN fresh AS f ON w.track_id = f.track_id AND w.content_token = f.content_token
    JOIN asked AS a ON w.task = a.task AND w.model_name = a.model_name AND w.model_version = a.model_version
        AND w.options_digest = a.options_digest
    WHERE w.status IN ('ok', 'failed_permanent')),
finished AS (SELECT track_id FROM done GROUP BY track_id HAVING COUNT(*) = {tasks})
SELECT l.track_id, TRUE AS listed FROM {listed} AS l
WHERE l.kind <> 'not_audio' AND NOT EXISTS (SELECT 1 FROM finished AS f WHERE f.track_id = l.track_id)
"""

_UNLISTED = """
UNION ALL
SELECT n.track_id, FALSE AS listed FROM newest AS n
WHERE n.state = 'present' AND NOT EXISTS (SELECT 1 FROM {listed} AS l WHERE l.track_id = n.track_id)
"""
