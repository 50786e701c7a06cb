"""A scan on a remote runner: planned here, once; run there.

The plan file lies in the output, where the workers read their shards of it. The line in `runs` says `submitted`: what
became of the tracks is in `work`. Nothing keeps two submissions apart yet, and what a dead job left is not swept away.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import apache_beam as beam
from rich.console import Console

from pipelines.beam_options import parse
from pipelines.closing import note_changes, shortened
from pipelines.options import ScanSettings
from pipelines.outcome import DONE
from pipelines.planning import make_plan, new_run_id, tell_plan
from pipelines.portable import check_portable, is_portable, run_to_end
from pipelines.scan import build
from pipelines.version import VERSION
from transforms import gcs
from transforms.ledger import Plan
from transforms.records import Run
from transforms.shares import Share
from transforms.store import write_table


def submit(settings: ScanSettings, argv: Sequence[str]) -> int:
    """Plans a scan and submits it; exit status 0 once the runner has taken it (a portable one: has done it).

    Raises:
        MisuseError: if a flag is wrong.
        RunError: if Cloud Storage cannot be read or written, or if a job on a portable runner fails.
    """
    check_portable(parse(argv))
    run_id, console, messages = new_run_id(), Console(), list[str]()
    started = datetime.now(UTC)
    with mirrored(settings.output) as tables:
        plan_file = f"{settings.output.rstrip('/')}/state/plans/{run_id}.parquet"
        plan = make_plan(settings, tables, plan_file, messages)
        tell_plan(plan, settings.tasks, console)
        messages += note_changes(tables, settings.output, run_id, plan)
    if plan.due:
        share = Share(path=plan_file).to_json()
        pipeline = beam.Pipeline(options=parse([*argv, f"--run_id={run_id}", f"--share={share}"]))
        build(pipeline, pipeline.options)
        state = run_to_end(pipeline) if is_portable(pipeline.options) else pipeline.run().state
        console.print(f"run {run_id}: {state}", highlight=False)
    write_table(
        settings.output, "runs", f"{run_id}.parquet", [_submitted(settings, argv, run_id, started, plan, messages)]
    )
    return DONE


@contextlib.contextmanager
def mirrored(output: str) -> Iterator[str]:
    """A local folder with the tables of `output` that the ledger needs; `output` itself if it is local."""
    if not gcs.is_gcs(output):
        os.makedirs(os.path.join(output, "tables"), exist_ok=True)
        yield output
        return
    with tempfile.TemporaryDirectory(prefix="songscan-ledger-") as folder:
        os.makedirs(os.path.join(folder, "tables"))
        for table in ("tracks", "work"):
            os.makedirs(os.path.join(folder, "tables", table))
            for part in gcs.list_objects(f"{output.rstrip('/')}/tables/{table}/"):
                gcs.download(
                    part.uri, part.generation, os.path.join(folder, "tables", table, os.path.basename(part.uri))
                )
        yield folder


def _submitted(
    settings: ScanSettings, argv: Sequence[str], run_id: str, started: datetime, plan: Plan, messages: list[str]
) -> Run:
    return Run(
        run_id=run_id,
        time=started,
        ended=None,
        status="submitted",
        songscan_version=VERSION,
        host=socket.gethostname(),
        input=settings.input,
        tasks=settings.task_names,
        options=json.dumps(list(argv), ensure_ascii=False),
        listed=plan.listed,
        not_audio=plan.not_audio,
        up_to_date=plan.up_to_date,
        withheld=plan.withheld,
        written=0,
        dead_lettered=0,
        failed_again=0,
        audio_hours=0.0,
        wall_s=None,
        messages=shortened(messages),
    )
