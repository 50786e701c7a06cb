"""Before a run: the catalogue minus the ledger, and what `--plan` says about it."""

from __future__ import annotations

import dataclasses
import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from rich.console import Console
from rich.markup import escape

from pipelines.options import ScanSettings
from transforms import changes, gcs, mirror, tables
from transforms.catalogue import Verdicts, list_catalogue
from transforms.child import DecoderProcess
from transforms.errors import TrackError
from transforms.folder import local_path
from transforms.journal import LOG
from transforms.ledger import Plan, plan
from transforms.records import Task
from transforms.tasks import research_only


class Planned(NamedTuple):
    """A plan, and what is known of the tracks that are no longer listed: their newest rows of `tracks`."""

    plan: Plan
    gone: list[Mapping[str, Any]]


def make_plan(settings: ScanSettings, tables_in: str, plan_file: str, messages: list[str]) -> Planned:
    """Lists the catalogue, subtracts what the tables say is done, and writes what is due to `plan_file`.

    Args:
        tables_in: a local folder with the tables of the output; where BigQuery has them, one that is not there yet.
        messages: what was noticed is added to them.

    Raises:
        MisuseError: if there is no such catalogue, or the limits make no sense for it.
    """
    remembered = f"{settings.output.rstrip('/')}/state/not_audio.parquet"
    verdicts = Verdicts.load(remembered)
    listing = list_catalogue(settings.input, verdicts)
    left_out = 0
    if settings.results:
        from transforms.bigquery_ledger import subtract  # imports Google's client, which takes seconds

        kept = settings.track_ids or ()
        rest = subtract(settings.results, listing, settings.tasks, tables_in, keep_ids=kept, force=settings.force)
        listing, left_out = rest.listing, rest.up_to_date
    ledger = tables.connect(tables_in, memory_limit="1500MB")  # with Python beside it, below 2 GiB at a million tracks
    messages += _other_catalogue(ledger, settings.input)
    made = plan(
        listing,
        ledger,
        settings.tasks,
        out_path=plan_file,
        force=settings.force,
        since=settings.since,
        track_ids=settings.track_ids,
        max_tracks=settings.max_tracks,
    )
    made = dataclasses.replace(made, listed=made.listed + left_out, up_to_date=made.up_to_date + left_out)
    if verdicts.changed and not settings.plan:
        verdicts.save(remembered)
    messages += listing.notes.messages
    messages += [f"hidden, passed over: {name} ({count})" for name, count in listing.notes.passed_over.items()]
    messages += [f"asked for by --track_ids, but not listed: {track_id}" for track_id in made.missing_ids]
    return Planned(made, _gone(ledger, made))


def _gone(ledger: Any, made: Plan) -> list[Mapping[str, Any]]:
    if not made.removed:
        return []
    ledger.register("gone", pa.table({"track_id": pa.array(sorted(made.removed), pa.string())}))
    rows: list[Mapping[str, Any]] = (
        ledger.sql("FROM tracks SEMI JOIN gone USING (track_id)").to_arrow_table().to_pylist()
    )
    return rows


def _other_catalogue(ledger: Any, catalogue: str) -> list[str]:
    """A word if the output held another catalogue before: ids are relative, so equal ones replace each other."""
    before = ledger.execute("SELECT input FROM runs ORDER BY time DESC, run_id DESC LIMIT 1").fetchall()
    others = [name for (name,) in before if name.rstrip("/") != catalogue.rstrip("/")]
    return [
        f"the run before scanned {name} into this output: tracks of equal ids replace each other" for name in others
    ]


def show_plan(settings: ScanSettings, console: Console) -> int:
    """Says what a scan would do, and does nothing; exit status 0."""
    with tempfile.TemporaryDirectory(prefix="songscan-plan-") as folder:
        tables_in = mirror.desk(settings.output)
        if settings.results:
            tables_in = str(Path(folder, "ledger"))
        elif tables_in != settings.output:
            mirror.bring(settings.output, tables_in)
        elif not Path(tables_in, "tables").is_dir():
            tables_in = folder
            Path(folder, "tables").mkdir()
        messages: list[str] = []
        made = make_plan(settings, tables_in, str(Path(folder, "plan.parquet")), messages).plan
        with DecoderProcess(timeout_s=settings.decode_timeout_s) as decoder:
            hours = changes.hours(made, lambda uri: probe_duration(decoder, uri))
    tell_plan(made, settings.tasks, console)
    about = "about " if hours.estimated else ""
    console.print(f"{about}{hours.hours:.2f} hours of audio would be listened to", highlight=False)
    if hours.estimated:
        console.print(f"({hours.estimated:.2f} of them estimated from the sizes of files)", highlight=False)
    if hours.unknown_tracks:
        console.print(f"(and {hours.unknown_tracks} tracks whose length cannot be told before)", highlight=False)
    for message in messages:
        console.print(escape(message), highlight=False, soft_wrap=True)
    counted = {name: getattr(made, name) for name in ("listed", "not_audio", "up_to_date", "withheld", "due")}
    told = {"audio_hours": hours.hours, "unknown_tracks": hours.unknown_tracks, "notes": messages}
    LOG.info("plan: %s tracks are due", made.due, extra={**counted, **told})
    return 0


def probe_duration(decoder: DecoderProcess, uri: str) -> float | None:
    """The length that a local file's header claims, seconds; None if it claims none, or lies on Cloud Storage."""
    if gcs.is_gcs(uri):
        return None
    try:
        return decoder.probe(local_path(uri)).claimed_duration_s
    except TrackError:
        return None


def tell_plan(made: Plan, tasks: Sequence[Task], console: Console) -> None:
    """One line: what was listed, and what of it is due; and one for each model that not everybody may use."""
    console.print(
        f"{made.listed} listed: {made.not_audio} not audio, {made.up_to_date} up to date, {made.withheld} withheld, "
        f"{made.due} due",
        highlight=False,
        soft_wrap=True,
    )
    if made.removed:
        console.print(f"{len(made.removed)} no longer listed", highlight=False)
    for words in research_only(tasks):
        console.print(f"note: {escape(words)}", highlight=False, soft_wrap=True)


def new_run_id() -> str:
    """An identity for a run: when it began (UTC), and a few random digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))
