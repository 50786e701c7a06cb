"""The tables of an output on Cloud Storage, brought to a folder here: DuckDB and the ledger read local files.

Conventions. Parts never change but by a bundle that writes its own once more, so only what is new crosses the network.
A copy's modification time is the generation of its object, in nanoseconds: by that, and by its size, it is known to be
the same. `work` is listed first: what it commits is there already, so a copy never shows half a track. An output that
is a folder already needs no copy, and is its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from transforms import conditional, gcs
from transforms.errors import MisuseError, RunError, TrackError
from transforms.parts import COMMIT, SELF_COMMITTED, SUFFIX, committed_names, part_path
from transforms.records import TABLES
from transforms.whole import written_whole

_THREADS = 16
MOST_RECENT_PARTS = 2000  # of former nights, for comparison: some 200,000 tracks
_TRIES = 3  # a part that is written once more while it is fetched is fetched once more

Listed = dict[str, dict[str, gcs.Object]]  # table -> file name -> object


def desk(output: str) -> str:
    """The local folder where a run on `output` works: `output` itself, or for gs:// one in the user's cache.

    What lies there besides `tables` and `state` is nobody's; it may be removed whenever no run is on.
    """
    if not gcs.is_gcs(output):
        return output
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    place = output.rstrip("/")
    name = re.sub(r"[^\w.-]+", "_", place.removeprefix(gcs.SCHEME))[-60:]
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")  # another world of buckets
    digest = hashlib.sha256(f"{emulator}\0{place}".encode()).hexdigest()[:16]
    return os.path.join(cache, "songscan", "outputs", f"{name}-{digest}")


def readable(output: str) -> str:
    """A local folder with all tables of `output` as they are now.

    Raises:
        MisuseError: if `output` is on Cloud Storage, and may not be read, or has no tables.
        RunError: if a part cannot be fetched.
    """
    folder = desk(output)
    if folder != output:
        bring(output, folder)
        if not os.listdir(os.path.join(folder, "tables")):
            words = f"{output!r} is not an output of songscan: it has no folder `tables`"
            raise MisuseError(words, "Give the place that `songscan scan INPUT OUTPUT` wrote to")
    return folder


def bring(output: str, folder: str, run_id: str = "") -> None:
    """Makes `folder`/tables/ the same as that of `output`.

    Args:
        run_id: only the parts of this run; what else `folder` holds stays.

    Raises:
        MisuseError, RunError: as `readable`.
    """
    if not gcs.is_gcs(output):
        _link(output, folder, run_id)
        return
    os.makedirs(os.path.join(folder, "tables"), exist_ok=True)
    with _alone(folder):
        for attempt in range(1, _TRIES + 1):
            try:
                _fetch(list_parts(output, run_id), folder, run_id)
                return
            except TrackError as error:
                if error.reason != "gone" or attempt == _TRIES:
                    raise RunError(f"the tables of {output} cannot be read: {error.message}", error.advice) from error


def bring_recent(output: str, folder: str, run_id: str, nights: int) -> None:
    """Adds the parts of the `nights` runs before `run_id` to `folder`, as far as they are still there and few enough.

    Raises:
        MisuseError, RunError: as `readable`.
    """
    left = MOST_RECENT_PARTS
    for before in _runs(output, run_id)[-nights:][::-1]:
        left -= _count_parts(output, before)
        if left < 0:
            return
        bring(output, folder, before)


def _runs(output: str, run_id: str) -> list[str]:
    """The runs before `run_id`, the oldest first: their ids begin with their time."""
    if gcs.is_gcs(output):
        names = [part.uri.rpartition("/")[2] for part in gcs.list_objects(f"{output.rstrip('/')}/tables/runs/")]
    else:
        names = committed_names(output).get("runs", [])
    return sorted(run for name in names if (run := name.removesuffix(SUFFIX)) < run_id)


def _count_parts(output: str, run_id: str) -> int:
    if gcs.is_gcs(output):
        return sum(1 for _ in gcs.list_objects(f"{output.rstrip('/')}/tables/{COMMIT}/{run_id}"))
    return sum(name.startswith(run_id) for name in committed_names(output).get(COMMIT, []))


def sweep(output: str) -> list[str]:
    """Removes what a dead run left on Cloud Storage: parts that no part of `work` commits. Only for the lock's holder.

    Returns:
        Their URIs.
    """
    removed = []
    listed = list_parts(output)
    for table, parts in listed.items():
        for name, part in parts.items():
            if table not in SELF_COMMITTED and name not in listed.get(COMMIT, {}):
                conditional.delete(part.uri, part.generation)
                removed.append(part.uri)
    return removed


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Keeps two processes from bringing the same parts at a time."""
    with open(os.path.join(folder, ".bringing"), "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _link(output: str, folder: str, run_id: str) -> None:
    for table, names in committed_names(output).items():
        os.makedirs(os.path.join(folder, "tables", table), exist_ok=True)
        for name in names:
            copy = part_path(folder, table, name)
            if name.startswith(run_id) and not os.path.lexists(copy):
                os.symlink(os.path.abspath(part_path(output, table, name)), copy)


def list_parts(output: str, run_id: str = "") -> Listed:
    """The parts of `output`, by table; `work` as it was before the others were listed."""
    top = f"{output.rstrip('/')}/tables/"
    work = _named(gcs.list_objects(f"{top}{COMMIT}/{run_id}"), top)
    prefixes = [f"{top}{table}/{run_id}" for table in TABLES] if run_id else [top]
    found: Listed = {}
    for prefix in prefixes:
        found |= _named(gcs.list_objects(prefix), top)
    return {**found, **work}


def _named(objects: Iterator[gcs.Object], top: str) -> Listed:
    found: Listed = defaultdict(dict)
    for part in objects:
        table, _, name = part.uri.removeprefix(top).partition("/")
        if re.fullmatch(r"\w+", table) and re.fullmatch(r"[^/._][^/]*" + re.escape(SUFFIX), name):
            found[table][name] = part
    return found


def _fetch(listed: Mapping[str, Mapping[str, gcs.Object]], folder: str, run_id: str) -> None:
    wanted = {part_path(folder, table, name): part for table, parts in listed.items() for name, part in parts.items()}
    there = {str(path) for path in Path(folder, "tables").glob("*/*") if path.name.startswith(run_id)}
    for path in sorted(there - wanted.keys()):
        os.remove(path)
    for table in listed:
        os.makedirs(os.path.join(folder, "tables", table), exist_ok=True)
    missing = [(path, part) for path, part in wanted.items() if not _is_copy(path, part)]
    commits = {path for path, _ in missing if os.path.basename(os.path.dirname(path)) == COMMIT}
    with ThreadPoolExecutor(_THREADS) as pool:
        for last in (False, True):  # should this be killed, no copied commit is without its rows
            list(pool.map(lambda item: _copy(*item), [item for item in missing if (item[0] in commits) == last]))


def _is_copy(path: str, part: gcs.Object) -> bool:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    return (status.st_size, status.st_mtime_ns) == (part.size_bytes, part.generation)


def _copy(path: str, part: gcs.Object) -> None:
    with written_whole(path) as scratch:
        gcs.download(part.uri, part.generation, scratch)
        os.utime(scratch, ns=(part.generation, part.generation))
