"""The last step of a pipeline that ends by itself: what a launcher does at the end of a local run.

It runs once all parts are written, on some worker, perhaps twice: all that it writes is replaced by the same.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass

import apache_beam as beam

from pipelines.closing import too_many_failed
from pipelines.nightly import log_end
from pipelines.options import ScanSettings
from pipelines.outcome import DONE
from pipelines.session import read_brief
from transforms import gcs, lease, mirror, tables
from transforms.errors import RunError
from transforms.records import Run
from transforms.summary import summarise, write_summary


def finish(_: object, settings: ScanSettings, run_id: str, alone: bool, parts: Iterable[str] = ()) -> str:
    """Counts and tells what the run has done; the run's status.

    Args:
        alone: nobody waits for the job, whose state has to tell what an exit status would.
        parts: names of the parts written: once they are there, all is written.

    Raises:
        RunError: if tracks got lost; or, `alone`, if more failed than may: all that was done is kept.
    """
    with tempfile.TemporaryDirectory(prefix="songscan-end-") as folder:
        session, plan = read_brief(settings, run_id, folder)
        mirror.bring(settings.output, folder, run_id)
        told, drift = session.end(plan, "done")
        with tables.connect(folder) as connection:
            summary = summarise(connection, run_id, drift)
    write_summary(settings.output, summary)
    session.publish()
    if gcs.is_gcs(settings.output):
        lease.release(settings.output, run_id)
    log_end(summary, DONE)
    words = too_many_failed(told, settings.max_failed_fraction)
    if not words and settings.fail_on_drift and drift.flags:
        words = "the night differs from those before it, and --fail_on_drift is set"
    if words and alone:
        raise RunError(words, "songscan summary says what failed, and why; what succeeded is written and stays")
    return told.status


@dataclass
class Finish(beam.PTransform):
    """Names of written parts to one status, once all are there."""

    settings: ScanSettings
    run_id: str
    alone: bool

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        """The status."""
        settings = dataclasses.replace(self.settings, track_ids=None)  # the plan has them, and they may be many
        once = parts.pipeline | "Once" >> beam.Create([None])
        after = beam.pvalue.AsIter(parts)
        return once | beam.Map(finish, settings, self.run_id, self.alone, parts=after).with_output_types(str)


def told_of(tables_in: str, run_id: str) -> Run:
    """The line of `runs` of a run.

    Raises:
        RunError: if there is none.
    """
    line = tables.connect(tables_in).sql("FROM runs WHERE run_id = $run", params={"run": run_id})
    rows = line.to_arrow_table().to_pylist()
    if not rows:
        raise RunError(f"the run {run_id} left no line in `runs`", "this is a defect of songscan")
    return Run(**rows[0])
