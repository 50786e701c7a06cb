"""The beginning and the end of a run, whatever carries it out: sweep, plan; count, note changes, the line in `runs`.

Conventions. `tables` is a local folder with the tables that the ledger needs: the output itself, for one on Cloud
Storage a copy of them (transforms/mirror.py), or what BigQuery knows of the tracks that are not up to date. A run that
ends on another machine than it began on finds what it needs to know in its brief, OUTPUT/state/plans/RUN_ID.json, and
the facts of tracks that are no longer listed beside it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq

from pipelines.closing import note_changes, note_duplicates, outcomes, shortened
from pipelines.logs import redacted
from pipelines.nightly import drift_of
from pipelines.options import ScanSettings
from pipelines.planning import make_plan, new_run_id
from pipelines.version import VERSION
from transforms import gcs, mirror, parts, schemas, stem_files
from transforms.bigquery import Dataset
from transforms.errors import RunError, SongscanError
from transforms.journal import LOG
from transforms.ledger import Plan
from transforms.nights import NIGHTS, Drift
from transforms.records import Run, TrackFacts
from transforms.store import write_table
from transforms.whole import written_whole


@dataclass
class Session:
    """One run, from its plan to its line in `runs`."""

    settings: ScanSettings
    argv: Sequence[str]
    tables: str
    run_id: str = field(default_factory=new_run_id)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    messages: list[str] = field(default_factory=list)
    gone: list[Mapping[str, Any]] = field(default_factory=list)  #: rows of `tracks` of what is no longer listed

    def plan(self, plan_file: str) -> Plan:
        """Sweeps away what a dead run left, lists the catalogue and subtracts the ledger. For the lock's holder."""
        output = self.settings.output
        swept = mirror.sweep(output) if gcs.is_gcs(output) else parts.sweep(output)
        self.messages += [f"swept away what a dead run left: {path}" for path in swept]
        if not gcs.is_gcs(output):
            stem_files.sweep_unfinished(output)
        if self.settings.results:
            prepare(self.settings.results)
            if has_parts(output):
                self.publish()  # what an earlier run left, or the ledger would not know of it
            self.tables = os.path.join(tempfile.mkdtemp(prefix="ledger-"), "ledger")
        elif gcs.is_gcs(output):
            mirror.bring(output, self.tables)
        planned = make_plan(self.settings, self.tables, plan_file, self.messages)
        self.gone = planned.gone
        return planned.plan

    @contextlib.contextmanager
    def failures_written_down(self, plan: Plan) -> Iterator[None]:
        """Leaves a line in `runs` if the run fails in this context, where there is room for one."""
        try:
            yield
        except RunError as error:
            self.messages.append(str(error))
            with contextlib.suppress(RunError):
                self.refresh()
                self.write_down(plan, "failed")
            raise

    def refresh(self) -> None:
        """Brings what this run has written so far."""
        if self.tables != self.settings.output:
            mirror.bring(self.settings.output, self.tables, self.run_id)

    def end(self, plan: Plan, status: str, *, late: bool = False) -> tuple[Run, Drift]:
        """Counts what is written, notes what moved, went and drifted, and writes the line of `runs`.

        Args:
            late: the run's time ran out, so that tracks may be left.

        Raises:
            RunError: if the run is done, and tracks are missing.
        """
        self.refresh()
        self.messages += note_changes(self.tables, self.settings.output, self.run_id, plan, self.gone)
        self.refresh()
        self.messages += note_duplicates(self.tables)
        if self.tables != mirror.desk(self.settings.output):
            mirror.bring_recent(self.settings.output, self.tables, self.run_id, NIGHTS)
        drift = drift_of(self.tables, self.run_id)
        self.messages += drift.words()
        told = self.write_down(plan, status, late=late)
        self.refresh()
        return told, drift

    def publish(self) -> None:
        """Brings what is finished into BigQuery, if that is wanted.

        Raises:
            MisuseError, RunError: if it cannot be: it stays in the output then, and the next run publishes it.
        """
        if self.settings.results is None:
            return
        from transforms.publish import publish  # imports Google's client, which takes seconds

        publish(self.settings.output, self.settings.results, LOG.info, prepared=True)  # by `plan`

    @contextlib.contextmanager
    def publishing(self) -> Iterator[bool]:
        """Publishes, and says whether that went well; what went wrong is raised when all else has been told.

        Raises:
            MisuseError, RunError: as `publish`.
        """
        failure = None
        try:
            self.publish()
        except SongscanError as error:
            failure = error
        yield failure is None
        if failure is not None:
            raise failure

    def write_down(self, plan: Plan, status: str, *, late: bool = False) -> Run:
        """Writes the line of `runs`, counted from the tables as they were brought last; as `end`."""
        counts, audio_s, again = outcomes(self.tables, self.run_id)
        left = plan.due - sum(counts.values())
        if late and left:
            hours = f"--budget_hours={self.settings.budget_hours:g}"
            self.messages.append(f"{hours} ran out: tracks that are due next time: {left:,}")
        elif status == "done" and left:
            raise RunError(
                f"{left} tracks of {plan.due} got lost", "this is a defect of songscan; keep the log of the run"
            )
        submitted = status == "submitted"
        now = datetime.now(UTC)
        told = Run(
            run_id=self.run_id,
            time=self.started,
            ended=None if submitted else now,
            status=status,
            songscan_version=VERSION,
            host=socket.gethostname(),
            input=self.settings.input,
            tasks=self.settings.task_names,
            options=redacted(json.dumps(list(self.argv), ensure_ascii=False)),
            listed=plan.listed,
            not_audio=plan.not_audio,
            up_to_date=plan.up_to_date + counts["unchanged"],
            withheld=plan.withheld + (0 if submitted else left),
            written=counts["written"],
            dead_lettered=counts["dead_lettered"],
            failed_again=again,
            audio_hours=audio_s / 3600,
            wall_s=None if submitted else (now - self.started).total_seconds(),
            messages=shortened(self.messages),
        )
        write_table(self.settings.output, "runs", f"{self.run_id}.parquet", [told])
        return told


def prepare(results: Dataset) -> None:
    """Sees before a scan that its results can be published: a night is long.

    Raises:
        MisuseError, RunError: if they cannot.
    """
    from transforms import publish  # imports Google's client, which takes seconds

    publish.prepare(results)


def has_parts(output: str) -> bool:
    """Whether anything was written to `output` before."""
    if gcs.is_gcs(output):
        return next(gcs.list_objects(f"{output.rstrip('/')}/tables/"), None) is not None
    return any(entry.is_dir() for entry in os.scandir(os.path.join(output, "tables")))


# A run that ends elsewhere ------------------------------------------------------------------------------------------


def brief_path(output: str, run_id: str) -> str:
    """Where a run's brief lies."""
    return f"{output.rstrip('/')}/state/plans/{run_id}.json"


def write_brief(session: Session, plan: Plan) -> None:
    """Writes down what the end of the run needs to know."""
    path = brief_path(session.settings.output, session.run_id)
    known = dataclasses.asdict(dataclasses.replace(plan, unmeasured={}))
    content = {
        "argv": list(session.argv),
        "started": session.started.isoformat(),
        "messages": session.messages,
        "plan": known,
    }
    with written_whole(f"{path}.gone.parquet") as scratch:
        rows = [TrackFacts(**row) for row in session.gone]
        pq.write_table(schemas.to_arrow("tracks", rows), scratch)
    with written_whole(path) as scratch, open(scratch, "w", encoding="utf-8") as file:
        json.dump(content, file)


def read_brief(settings: ScanSettings, run_id: str, tables: str) -> tuple[Session, Plan]:
    """The session and the plan of the run that `write_brief` told of."""
    path = brief_path(settings.output, run_id)
    with gcs.open_binary(path) as file:
        content = json.load(file)
    with gcs.open_binary(f"{path}.gone.parquet") as file:
        gone = pq.read_table(file).to_pylist()
    started = datetime.fromisoformat(content["started"])
    session = Session(settings, content["argv"], tables, run_id, started, content["messages"], gone)
    return session, Plan(**content["plan"])
