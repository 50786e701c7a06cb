"""How long a launcher takes to list a folder and subtract its ledger: python -m bench.ledger [TRACKS].

Conventions. The catalogue is a tree of real, empty files, ten albums an artist, a hundred tracks an album. The ledger
lies in parts of a hundred tracks, as scans leave them, and, for comparison, in parts of 100,000, as `songscan compact`
leaves them. All tracks but one in a thousand are up to date. Time and memory are those of a fresh process with two
cores at most, imports included, file cache warm.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms import records, schemas
from transforms.catalogue import list_catalogue
from transforms.ledger import plan
from transforms.records import OK, Task

SCANNED_PART = 100
COMPACTED_PART = 100_000
CHANGED_EVERY = 1000
TASK = Task(name="quality", model_name="quality", model_version="1")
LAST_RUN = datetime(2026, 1, 1, tzinfo=UTC)


def measure(tracks: int = 1_000_000) -> dict[str, Any]:
    """Seconds and MiB of listing and subtracting, by how the ledger is stored."""
    with tempfile.TemporaryDirectory(prefix="songscan-bench-", dir=_roomiest()) as folder:
        root = Path(folder, "music")
        make_catalogue(root, tracks)
        found: dict[str, Any] = {"tracks": tracks}
        for name, part_rows in (("scanned", SCANNED_PART), ("compacted", COMPACTED_PART)):
            output = Path(folder, name)
            make_ledger(root, output, part_rows)
            found[name] = in_fresh_process(root, output)
        return found


def _roomiest() -> str:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


def make_catalogue(root: Path, tracks: int) -> None:
    """A folder tree of `tracks` files."""
    for album in range(-(-tracks // 100)):
        folder = root / f"Artist {album // 10:05d}" / f"Album {album % 10}"
        folder.mkdir(parents=True)
        for number in range(min(100, tracks - 100 * album)):
            (folder / f"{number:02d} A Title of Usual Length.mp3").touch()


def make_ledger(root: Path, output: Path, part_rows: int) -> None:
    """The parts of `tracks` and `work` that a scan of `root` leaves, in parts of so many tracks."""
    for table in ("tracks", "work"):
        (output / "tables" / table).mkdir(parents=True)
    rows = _listed(root)
    for number in range(sys.maxsize):
        chunk = list(islice(rows, part_rows))
        if not chunk:
            return
        for table in ("tracks", "work"):
            pq.write_table(_part(table, chunk), output / "tables" / table / f"part-{number:07d}.parquet")


def _listed(root: Path) -> Iterator[dict[str, Any]]:
    for batch in list_catalogue(str(root)).batches(10_000):
        yield from batch.select(["track_id", "uri", "size_bytes", "modified", "revision"]).to_pylist()


def _part(table: str, entries: list[dict[str, Any]]) -> pa.Table:
    constant = {
        "model_name": TASK.model_name,
        "model_version": TASK.model_version,
        "run_id": "20260101T000000-abcdef",
        "time": LAST_RUN,
        "task": TASK.name,
        "options_digest": "",
        "status": OK,
        "attempts": 0,
        "state": "present",
        "duration_s": 215.5,
        "title": "A Title of Usual Length",
        "container": "mp3",
    }
    schema = schemas.arrow_schema(records.TABLES[table])
    rows = []
    for entry in entries:
        digest = hashlib.sha256(entry["track_id"].encode()).hexdigest()
        changed = int(digest[:8], 16) % CHANGED_EVERY == 0
        token = f"sha256:{digest}"
        row = {**constant, **entry, "content_token": token, "revision": "0-0" if changed else entry["revision"]}
        rows.append({name: row.get(name) for name in schema.names})
    return pa.Table.from_pylist(rows, schema=schema)


def in_fresh_process(root: Path, output: Path) -> dict[str, Any]:
    """What `report` says, from a process of its own."""
    command = [sys.executable, "-m", "bench.ledger", "--report", str(root), str(output)]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {**json.loads(done.stdout), "wall_s": round(time.monotonic() - started, 1)}


def report(root: str, output: str) -> dict[str, Any]:
    """Lists and subtracts, in this process."""
    from transforms import tables

    marks = [time.monotonic()]
    listing = list_catalogue(root)
    listing.file()
    marks.append(time.monotonic())
    ledger = tables.connect(output, memory_limit="1500MB", threads=2)
    marks.append(time.monotonic())
    planned = plan(listing, ledger, [TASK], out_path=os.path.join(output, "plan.parquet"))
    marks.append(time.monotonic())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spans = [round(b - a, 1) for a, b in pairwise(marks)]
    return {
        "list_s": spans[0],
        "connect_s": spans[1],
        "subtract_s": spans[2],
        "processor_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": usage.ru_maxrss // 1024,
        "listed": planned.listed,
        "up_to_date": planned.up_to_date,
        "due": planned.due,
    }


if __name__ == "__main__":
    reporting = sys.argv[1:2] == ["--report"]
    answer = report(*sys.argv[2:]) if reporting else measure(*map(int, sys.argv[1:]))
    json.dump(answer, sys.stdout, indent=1)
