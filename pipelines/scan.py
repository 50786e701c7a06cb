"""The scan as a Beam pipeline: wiring and flags only.

    python -m pipelines.scan --input=CATALOGUE --output=FOLDER [--tasks=...] [any of Beam's flags]

A catalogue is listed and the ledger subtracted from it once, before the pipeline, by SQL; what is due lies in a plan
file of small shards. Only the numbers of shards are shuffled: from the reading of a shard to the sink all is one fused
stage, which is where a GPU is of use, and the only one that gets it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipelines.beam_options import ScanOptions, as_switches, parse
from pipelines.gpu import stage_hints
from pipelines.logs import log_as_worker
from pipelines.options import DETACHED_RUNNERS, ScanSettings, read_settings
from pipelines.outcome import DONE, exit_status
from pipelines.supervise import WORKER_DIED
from transforms.assess import Assess
from transforms.decode import Decode, Limits
from transforms.decoder import end_with_parent
from transforms.detect import Detect
from transforms.journal import Journal
from transforms.records import Due, Task
from transforms.separate import Separate
from transforms.shards import read_shard
from transforms.shares import Share
from transforms.tag import AddTags
from transforms.tasks import DEFECTS, QUALITY, STEMS, TAGS
from transforms.write import Write

#: What carries out a task, by its name.
PERFORM: dict[str, Callable[[Task, Journal, ScanSettings], beam.PTransform]] = {
    QUALITY.name: lambda task, journal, settings: Assess(),
    DEFECTS: lambda task, journal, settings: Detect(task, journal),
    TAGS: lambda task, journal, settings: AddTags(task, journal),
    STEMS: lambda task, journal, settings: Separate(
        task, journal, settings.output, settings.stem_options, settings.scratch_dir
    ),
}


def _read(shard: int, plan_file: str) -> list[Due]:
    return read_shard(plan_file, shard)


@dataclass
class Scan(beam.PTransform):
    """Numbers of shards of `plan_file` to the names of the parts that are written, in one fused stage."""

    settings: ScanSettings
    plan_file: str
    run_id: str
    journal: Journal

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        """One name per part."""
        settings, journal = self.settings, self.journal
        limits = Limits(
            timeout_s=settings.decode_timeout_s,
            memory_mib=settings.decode_memory_mib,
            max_hours=settings.max_hours,
            scratch_dir=settings.scratch_dir,
        )
        due = shards | "Tracks" >> beam.FlatMap(_read, self.plan_file).with_output_types(Due)
        recordings = due | "Decode" >> Decode(self.run_id, limits, journal)
        for task in settings.tasks:
            label = " ".join(dict.fromkeys((task.name.capitalize(), task.model_name.capitalize())))
            recordings = recordings | label >> PERFORM[task.name](task, journal, settings)
        return recordings | "Write" >> Write(settings.output, self.run_id, journal)


def build(pipeline: beam.Pipeline, options: PipelineOptions) -> beam.PCollection:
    """Puts the scan of the plan's share `options.share` into `pipeline`; the names of the parts that it will write."""
    scan = options.view_as(ScanOptions)
    settings = read_settings(scan)
    share = Share.from_json(scan.share)
    stage = Scan(settings, share.path, scan.run_id, Journal(scan.journal, scan.stop_file))
    shards = (
        pipeline
        | "Shards" >> beam.Create(share.shards)
        | "Spread" >> beam.Reshuffle()  # numbers only; without it all tracks would stay in one bundle
    )
    parts = shards | "Scan" >> stage.with_resource_hints(**stage_hints(options, settings.tasks))
    if scan.ends_itself:
        from pipelines.finish import Finish  # here, since a launcher's workers never need what it imports

        alone = options.view_as(StandardOptions).runner in DETACHED_RUNNERS
        _ = parts | "Finish" >> Finish(settings, scan.run_id, alone)
    return parts


def run(argv: Sequence[str]) -> int:
    """Plans and runs a scan, or, as one of a launcher's workers, runs the share that it is handed; the exit status."""
    argv = as_switches(argv)
    options = parse(argv)
    scan = options.view_as(ScanOptions)
    if scan.share is None:
        from pipelines.launch import launch

        return launch(argv)
    if scan.share == "-":
        end_with_parent()  # a launcher that was killed must not leave workers behind
        scan.share = sys.stdin.readline()
        if not scan.share:
            return DONE  # nothing was due, or the launcher is gone
    log_as_worker(scan.log_format, scan.run_id or "")
    threading.excepthook = _end_with_worker
    with beam.Pipeline(options=options) as pipeline:
        build(pipeline, options)
    return DONE


def _end_with_worker(args: threading.ExceptHookArgs) -> None:
    """Beam's runner waits for ever for a worker process of its own that died; the launcher knows better."""
    threading.__excepthook__(args)
    if "Worker subprocess exited" in str(args.exc_value):
        os._exit(WORKER_DIED)


if __name__ == "__main__":
    sys.exit(exit_status(run, sys.argv[1:]))
