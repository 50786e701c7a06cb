"""The plan file: what is due, in small shards.

Conventions. Parquet, one row per track: the columns of `records.Track`, the tasks as bit masks in the order that the
file's metadata give, attempts, deaths (0 until a share of the plan is planned again), problem and the known facts.
Shard n is the rows from n times `shard_rows`, which the metadata tell as well; it lies within one row group.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.errors import RunError
from transforms.ranges import open_ranges
from transforms.records import Due, Problem, Task, Track, TrackFacts
from transforms.whole import written_whole

_SHARD_ROWS = 16  # at most; few tracks are spread thinner, so that all workers have some
_SHARDS_WANTED = 256
GROUP_ROWS = 2048  # a row group for each shard would drown a million tracks in metadata
_TRACK_COLUMNS = [field.name for field in dataclasses.fields(Track)]
_FACTS_COLUMNS = [field.name for field in dataclasses.fields(TrackFacts)]


def write_shards(planned: Callable[[int], Any], tasks: Sequence[Task], due: int, path: str) -> int:
    """Writes the plan file, local or gs://, whole or not at all; the number of its shards.

    Args:
        planned: gives the DuckDB relation of the rows, ordered by (place in the listing * its argument) modulo `due`.
        due: how many rows that will be.
    """
    shard_rows = _shard_rows(due)
    shards = -(-due // shard_rows)
    reader = planned(_turn(due, shards)).to_arrow_reader(GROUP_ROWS)
    head = {"shard_rows": str(shard_rows), "tasks": json.dumps([dataclasses.asdict(task) for task in tasks])}
    schema = reader.schema.with_metadata(head)
    with written_whole(path) as scratch, pq.ParquetWriter(scratch, schema, write_page_checksum=True) as writer:
        rest = reader.schema.empty_table()
        for batch in reader:
            rest = pa.concat_tables([rest, pa.Table.from_batches([batch])])
            while len(rest) >= GROUP_ROWS:
                writer.write_table(rest.slice(0, GROUP_ROWS).replace_schema_metadata(head), GROUP_ROWS)
                rest = rest.slice(GROUP_ROWS)
        if len(rest):
            writer.write_table(rest.replace_schema_metadata(head), GROUP_ROWS)
    return shards


def _turn(due: int, shards: int) -> int:
    """The factor that brings places in the listing some `shards` apart side by side, and neighbours apart."""
    stride = next((s for s in range(max(1, shards), due) if math.gcd(s, due) == 1), 1)
    return pow(stride, -1, due) if due else 1


def _shard_rows(due: int) -> int:
    """A power of two, so that row groups hold whole shards."""
    wanted = max(1, min(_SHARD_ROWS, due // _SHARDS_WANTED))
    return 1 << (wanted.bit_length() - 1)


def count_shards(path: str) -> int:
    """How many shards a plan file has."""
    with open_ranges(path) as file:
        metadata = pq.read_metadata(file)
    return -(-int(metadata.num_rows) // int(metadata.metadata[b"shard_rows"]))


def read_shard(path: str, shard: int) -> list[Due]:
    """The tracks of a shard, 0 the first.

    Raises:
        RunError: if the file cannot be read, or what arrives of it is damaged.
    """
    try:
        with open_ranges(path) as file:
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            metadata = parquet.metadata.metadata
            shard_rows = int(metadata[b"shard_rows"])
            group, first = divmod(shard * shard_rows, GROUP_ROWS)
            rows = parquet.read_row_group(group).slice(first, shard_rows).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"the plan {path} cannot be read: {error}", "run the same command again") from error
    tasks = [Task(**task) for task in json.loads(metadata[b"tasks"])]
    return [_due(row, tasks) for row in rows]


def _due(row: dict[str, Any], tasks: Sequence[Task]) -> Due:
    def chosen(mask: int) -> tuple[Task, ...]:
        return tuple(task for n, task in enumerate(tasks) if mask >> n & 1)

    known = row["known"]
    return Due(
        track=Track(**{name: row[name] for name in _TRACK_COLUMNS}),
        tasks=chosen(row["tasks"]),
        tasks_if_changed=chosen(row["tasks_if_changed"]),
        known=TrackFacts(**{name: known[name] for name in _FACTS_COLUMNS}) if known else None,
        attempts=row["attempts"],
        deaths=row["deaths"],
        problem=Problem(**row["problem"]) if row["problem"] else None,
    )
