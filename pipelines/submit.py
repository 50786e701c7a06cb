"""A scan on a remote runner: planned here, once; run there, its end included.

The plan file lies in the output, where the workers read their shards of it, and so does the run's brief, from which the
pipeline's last step counts, notes what moved, and writes the line of `runs`: nobody has to wait for a job on Dataflow.
Other runners are waited for, since they live no longer than this process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from rich.console import Console

from pipelines.beam_options import parse
from pipelines.finish import told_of
from pipelines.jobs import is_template, name_of
from pipelines.lock import leased, lock, temporary_folder
from pipelines.nightly import close_run, drift_of, watched
from pipelines.options import DETACHED_RUNNERS, ScanSettings
from pipelines.outcome import DONE
from pipelines.planning import tell_plan
from pipelines.portable import check_portable, run_to_end
from pipelines.scan import build
from pipelines.session import Session, write_brief
from transforms import mirror
from transforms.journal import LOG
from transforms.lease import Held
from transforms.shares import Share


def submit(settings: ScanSettings, argv: Sequence[str], runner: str, console: Console) -> int:
    """Plans a scan and has it run; the exit status, for a detached job that of its submission.

    Raises:
        MisuseError: if a flag is wrong.
        RunError: if the catalogue, the output or the job server cannot be reached, another run is on, or the job
            fails.
    """
    options = parse(argv)
    check_portable(options)
    desk = mirror.desk(settings.output)
    session = Session(settings, argv, desk)
    with lock(desk), leased(settings.output, session.run_id) as held, temporary_folder(desk):
        plan_file = f"{settings.output.rstrip('/')}/state/plans/{session.run_id}.parquet"
        os.makedirs(os.path.join(desk, "tables"), exist_ok=True)
        with watched(settings, session.run_id, Path(desk, "state", "run.log")):
            plan = session.plan(plan_file)
            tell_plan(plan, settings.tasks, console)
            if not plan.due and not is_template(options):  # of a template, a job has to come
                told, drift = session.end(plan, "done")
                status = close_run(told, session.tables, settings, drift, console)
                session.publish()
                return status
            write_brief(session, plan)
            session.write_down(plan, "submitted")
            share = Share(path=plan_file).to_json()
            flags = [*argv, f"--run_id={session.run_id}", f"--share={share}", "--ends_itself"]
            with session.failures_written_down(plan):
                return _run(session, parse(flags), runner, held, console)


def _run(session: Session, options: PipelineOptions, runner: str, held: Held | None, console: Console) -> int:
    cloud = options.view_as(GoogleCloudOptions)
    cloud.job_name = cloud.job_name or f"songscan-{session.run_id.lower()}"
    pipeline = beam.Pipeline(options=options)
    build(pipeline, options)
    if runner in DETACHED_RUNNERS:
        job = name_of(pipeline.run(), options)
        if held is not None:
            held.hand_over(job)
        words = f"run {session.run_id} is job {job}: it goes on by itself, and ends with its line in `runs`"
        console.print(words, highlight=False)
        LOG.info(words, extra={"job": job})
        return DONE
    run_to_end(pipeline)
    session.refresh()
    told = told_of(session.tables, session.run_id)
    return close_run(told, session.tables, session.settings, drift_of(session.tables, session.run_id), console)
