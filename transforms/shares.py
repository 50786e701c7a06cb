"""Shares of a plan: every nth shard to one of n workers, and what is left of a share when its worker has died."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.journal import short
from transforms.shards import GROUP_ROWS, count_shards


@dataclass(frozen=True, kw_only=True)
class Share:
    """Shards `first`, `first + step`, ... of the plan file at `path` (transforms/ledger.py)."""

    path: str
    first: int = 0
    step: int = 1

    @property
    def shards(self) -> list[int]:
        """Their numbers."""
        return list(range(self.first, count_shards(self.path), self.step))

    def to_json(self) -> str:
        """In one line of text."""
        return json.dumps({"path": self.path, "first": self.first, "step": self.step})

    @classmethod
    def from_json(cls, text: str) -> Share:
        """The share that `to_json` told."""
        return cls(**json.loads(text))


def remaining(share: Share, path: str, done: Collection[str], deaths: Mapping[str, int]) -> Share | None:
    """The tracks of `share` that are not `done`, as a plan of their own; None if all are.

    Args:
        share: what a worker was given.
        path: plan file to write, local.
        done: ids of tracks whose rows are on disk.
        deaths: how many workers died with a track in flight, by what the journal calls it.
    """
    plan = pq.ParquetFile(share.path)
    head = plan.schema_arrow.metadata
    finished = pa.array(sorted(done), pa.string())
    left = [rows.filter(pc.invert(pc.is_in(rows["track_id"], finished))) for rows in _rows_of(share, plan)]
    table = pa.Table.from_batches(left, plan.schema_arrow.remove_metadata())
    if not table.num_rows:
        return None
    at = table.column_names.index("deaths")
    counts = [deaths.get(short(track_id), 0) for track_id in table["track_id"].to_pylist()]
    table = table.set_column(at, table.schema.field(at), pa.array(counts, table.schema.field(at).type))
    # A worker that died may die again: the tracks that are left come in shards of one, so that little is done twice.
    pq.write_table(table.replace_schema_metadata({**head, b"shard_rows": b"1"}), path, row_group_size=GROUP_ROWS)
    return Share(path=path)


def _rows_of(share: Share, plan: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    shard_rows = int(plan.schema_arrow.metadata[b"shard_rows"])
    start = 0
    for batch in plan.iter_batches(GROUP_ROWS):
        shards = [(start + row) // shard_rows for row in range(batch.num_rows)]
        mine = [shard >= share.first and (shard - share.first) % share.step == 0 for shard in shards]
        start += batch.num_rows
        yield batch.filter(pa.array(mine)).replace_schema_metadata(None)
