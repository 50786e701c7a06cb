"""A job through one of Beam's portable runners: Flink, Spark, or a job server of one's own.

FlinkRunner and SparkRunner start their job server beside the launcher and end it with the launcher, in the middle of
the job if need be. So the launcher stays until the job has ended, which also gives it the exit status. Dataflow's
jobs need nobody to stay.
"""

from __future__ import annotations

import os
import re

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions

from transforms.errors import MisuseError, RunError

RUNNERS = ("FlinkRunner", "SparkRunner", "PortableRunner")
_OUR_ERROR = re.compile(r"^(?:RuntimeError: )?transforms\.errors\.\w+: (.+)$", re.MULTILINE)


def check_portable(options: PipelineOptions) -> None:
    """Refuses a job whose Python would run nowhere, or whose job server is not there.

    Raises:
        MisuseError: naming the flag.
    """
    if not is_portable(options):
        return
    if not options.view_as(PortableOptions).environment_type:
        raise MisuseError(
            "--environment_type is missing: Beam would run the tasks in a container of its own, without songscan",
            "start a worker pool beside each task manager and say --environment_type=EXTERNAL "
            "--environment_config=localhost:50000 (deploy/flink/README.md tells how)",
        )
    for flag in ("flink_job_server_jar", "spark_job_server_jar"):
        jar = options.get_all_options().get(flag)
        if jar and "://" not in jar and not os.path.exists(jar):
            raise MisuseError(f"--{flag}={jar} does not exist", "it comes from Maven Central: deploy/flink/README.md")


def is_portable(options: PipelineOptions) -> bool:
    """Whether the job's runner is one of these."""
    return options.view_as(StandardOptions).runner in RUNNERS


def run_to_end(pipeline: beam.Pipeline) -> None:
    """Runs `pipeline` on a portable runner and stays until it has ended.

    Raises:
        RunError: if the job server cannot be reached, or if the job fails.
    """
    try:
        state = str(pipeline.run().wait_until_finish())
    except (grpc.RpcError, grpc.FutureTimeoutError) as error:
        raise RunError(
            f"the job server cannot be reached, or went away ({_said(error)})",
            "see that it runs and that --job_endpoint names its host and port; what was written is kept",
        ) from error
    except RuntimeError as error:
        raise RunError(
            f"the job failed: {_cause(str(error))}",
            "the logs of the cluster and of its workers tell more; what was written is kept, and the same command "
            "goes on from there",
        ) from error
    if state != "DONE":
        raise RunError(f"the job ended as {state}", "somebody cancelled it? The same command goes on from there")


def _said(error: Exception) -> str:
    return (error.details() or "") if isinstance(error, grpc.Call) else type(error).__name__


def _cause(text: str) -> str:
    """The line that says why, out of the traces that a runner sends: ours if there is one, otherwise the last."""
    ours = _OUR_ERROR.findall(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return str(ours[-1] if ours else lines[-1])
