"""After a run: tracks that moved or went, the line in `runs`, and what is told about it all."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.outcome import DONE, FAILED, INTERRUPTED
from pipelines.progress import clock
from pipelines.summary_page import tell_costs
from pipelines.visible import command
from transforms import changes, tables
from transforms.journal import LOG
from transforms.ledger import Plan
from transforms.records import Run, TrackFacts
from transforms.store import write_table
from transforms.summary import Summary

_KEPT = 1000  # messages in a line of `runs`
_TOLD = 10  # messages and kinds of failure on the terminal; all are in the tables


def note_changes(tables_in: str, output: str, run_id: str, plan: Plan, gone: Sequence[Mapping[str, Any]]) -> list[str]:
    """Writes that tracks were removed or moved, as new rows of `tracks`; the same in words.

    Args:
        tables_in: a local folder with the tables of `output`, as they are now; `output` itself, if that is local.
        gone: the rows of `tracks` of what is no longer listed.
    """
    new_tokens = changes.tokens(tables.connect(tables_in), plan.perhaps_moved)
    moved = dict(changes.moved(plan.removed, new_tokens))
    now = datetime.now(UTC)
    rows = []
    for known in gone:
        to = moved.get(known["track_id"])
        changed = {"run_id": run_id, "time": now, "state": "moved" if to else "removed", "moved_to": to}
        rows.append(TrackFacts(**{**known, **changed, "decode_wall_s": None}))
    if rows:
        name = f"{run_id}-changes.parquet"
        write_table(output, "tracks", name, rows)
        write_table(output, "work", name, [])  # commits them
    words = [f"moved: {old} is now {new}" for old, new in moved.items()]
    return words + [f"removed: {track_id}" for track_id in plan.removed if track_id not in moved]


def note_duplicates(tables_in: str) -> list[str]:
    """Tracks of the same bytes, in words; after `note_changes`, for those that moved are none."""
    return [f"the same bytes: {', '.join(ids)}" for ids in changes.duplicates(tables.connect(tables_in))]


_OUTCOMES = """
WITH taken AS (SELECT DISTINCT track_id FROM parts.tracks WHERE run_id = $run AND state = 'present'),
done AS (SELECT track_id, bool_or(status = 'ok') AS ok, max(duration_s) AS duration_s, max(attempts) AS attempts
    FROM parts.work WHERE run_id = $run GROUP BY track_id)
SELECT CASE WHEN ok THEN 'written' WHEN ok IS NULL THEN 'unchanged' ELSE 'dead_lettered' END AS outcome,
    count(*), coalesce(sum(duration_s), 0.0), count(*) FILTER (WHERE NOT ok AND attempts > 1)
FROM taken LEFT JOIN done USING (track_id) GROUP BY outcome
"""


def outcomes(output: str, run_id: str) -> tuple[Counter[str], float, int]:
    """What a run has done, by what is on disk.

    Returns:
        How many tracks were written, dead-lettered or found unchanged; seconds of audio; and how many of the
        dead-lettered had failed before.
    """
    rows = tables.connect(output).execute(_OUTCOMES, {"run": run_id}).fetchall()
    counts = Counter({outcome: count for outcome, count, *_ in rows})
    return counts, sum(seconds for _, _, seconds, _ in rows), sum(again for *_, again in rows)


def shortened(messages: list[str]) -> list[str]:
    """The first thousand, and how many there were: a catalogue that moved as a whole must not swell its line."""
    rest = len(messages) - _KEPT
    return messages if rest <= 0 else [*messages[:_KEPT], f"... and {rest} more"]


def tell_run(run: Run, summary: Summary, output: str, console: Console) -> None:
    """The end of a run on the terminal."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name in ("listed", "not_audio", "up_to_date", "withheld", "written", "dead_lettered"):
        table.add_row(name.replace("_", " "), f"{getattr(run, name):,}")
    console.print(f"run {run.run_id}: {run.status}", style="bold", highlight=False)
    console.print(table)
    if run.wall_s and run.audio_hours:
        speed = run.audio_hours * 3600 / run.wall_s
        console.print(
            f"{run.audio_hours:.2f} h of audio in {clock(run.wall_s)} ({speed:.0f}x real time)", highlight=False
        )
    tell_costs(summary, console)
    for message in run.messages[:_TOLD]:
        console.print(f"note: {escape(repr(message)[1:-1])}", highlight=False, soft_wrap=True)
    if len(run.messages) > _TOLD:
        console.print(f"... and {len(run.messages) - _TOLD} more notes", highlight=False)
    tell_failures(summary, console)
    console.print(f"see it: {command()} show {escape(shlex.quote(output))}", highlight=False, soft_wrap=True)


def tell_failures(summary: Summary, console: Console) -> None:
    """The kinds of failure of a run, the commonest first, with an example and advice each."""
    for kind in summary.failures[:_TOLD]:
        example = f"{kind.example_track_id!r}: {kind.example_error!r}. {kind.advice}"
        told = f"failed: {kind.tracks} x {kind.reason}, such as {escape(example)}"
        console.print(told, highlight=False, soft_wrap=True)


def status_of(run: Run, max_failed_fraction: float, console: Console) -> int:
    """The exit status of a run; says why if it is not 0."""
    if run.status == "interrupted":
        tell_status("interrupted: what was finished is kept, and the next run goes on from there", console)
        return INTERRUPTED
    words = too_many_failed(run, max_failed_fraction)
    if words:
        tell_status(f"failed: {words}", console)
        return FAILED
    return DONE


def too_many_failed(run: Run, max_failed_fraction: float) -> str:
    """That more of the tracks taken failed than may, in words; "" otherwise."""
    again = run.failed_again or 0  # known trouble: it must not wake somebody every night
    failed, taken = run.dead_lettered - again, run.written + run.dead_lettered - again
    if failed <= max_failed_fraction * taken:
        return ""
    known = f" (and {again} that failed before)" if again else ""
    return f"{failed} of {taken} tracks taken{known}, more than --max_failed_fraction={max_failed_fraction:g} allows"


def tell_status(words: str, console: Console) -> None:
    """Says, and logs, why an exit status is not 0."""
    console.print(words, highlight=False)
    LOG.warning(words)
