"""The GPU for the one fused stage that has use for it: flags, what they refuse, the resource hints they lead to.

Conventions. One GPU a worker: a process computes on the first GPU that it sees, so a second would idle, and more
workers do the same. The GPU is asked for by a hint on the stage, not for the job: the stage before it, which deals out
numbers of shards, runs on cheap machines. A job with hints cannot be one of FlexRS, and takes no `worker_accelerator`.

Processes. By default there is one a core, as always on Dataflow, and NVIDIA's MPS lets them share the GPU: decoding and
measuring, most of the work, take a Python process each, and one alone would do them track by track. TensorFlow takes
memory of the GPU as it needs it (models/saved.py), so they fit beside each other. `--gpu_processes=one` is for a model
so big that the GPU holds it once: one process with a few threads, so that a track decodes while another is heard.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)

from transforms.errors import MisuseError
from transforms.records import Task

#: Machines that were chosen for a type of GPU: eight cores decode for it. An L4 comes with a G2 machine only.
MACHINES = {
    "nvidia-l4": "g2-standard-8",
    "nvidia-tesla-t4": "n1-standard-8",
    "nvidia-tesla-v100": "n1-standard-8",
    "nvidia-tesla-a100": "a2-highgpu-1g",
}
PROCESSES = ("cores", "one")
THREADS_OF_ONE = 4  # of a single process: tracks that are in hand at a time
MIN_RAM = "16GB"  # eight processes of 0.7 GB (bench: memory), their decoders, and as much again
#: TensorFlow's CUDA 12 needs a driver of the series 525 or later.
_DRIVER = "install-nvidia-driver:5xx"
_SINGLE = "no_use_multiple_sdk_containers"


def add_gpu_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags about GPUs to `parser`."""
    add = parser.add_argument_group("songscan on GPUs").add_argument
    add("--gpu", metavar="TYPE", help=f"on Dataflow: a GPU for each worker, such as {', '.join(MACHINES)}")
    add("--gpu_machine_type", metavar="TYPE", help="the machine that has it (default: one that suits the GPU)")
    add(
        "--gpu_processes",
        choices=PROCESSES,
        help=f"`cores`: a process a core, sharing the GPU by NVIDIA's MPS (the default); `one`: a single process of "
        f"{THREADS_OF_ONE} threads, for a model of which the GPU holds one copy",
    )


def prepare_gpu(options: PipelineOptions) -> None:
    """Checks what `options` say about GPUs, and sets what follows from it for Dataflow.

    Raises:
        MisuseError: naming flags that do not go together, before anything is submitted.
    """
    said = options.get_all_options()
    if not said["gpu"]:
        for flag in ("gpu_machine_type", "gpu_processes"):
            if said[flag]:
                raise MisuseError(f"--{flag}={said[flag]} without --gpu", "say which: --gpu=nvidia-l4")
        if _asks_for_accelerator(options):
            _refuse_flexrs(options, "worker_accelerator")
        return
    _check_runner(options, said["gpu"])
    machine_type(said["gpu"], said["gpu_machine_type"])
    _refuse_flexrs(options, f"--gpu={said['gpu']}")
    _check_one_way(options)
    _check_processes(options, said["gpu_processes"])
    if said["gpu_processes"] == "one":
        debug = options.view_as(DebugOptions)
        debug.add_experiment(_SINGLE)
        debug.number_of_worker_harness_threads = debug.number_of_worker_harness_threads or THREADS_OF_ONE


def stage_hints(options: PipelineOptions, tasks: Sequence[Task]) -> dict[str, str]:
    """The resource hints of the fused stage; none without --gpu.

    Raises:
        MisuseError: if no task would use the GPU.
    """
    said = options.get_all_options()
    if not said["gpu"]:
        return {}
    if not any(task.model_uri for task in tasks):
        names = ",".join(task.name for task in tasks)
        raise MisuseError(f"--gpu={said['gpu']} for --tasks={names}, which use none", "leave --gpu out: it would idle")
    machine = machine_type(said["gpu"], said["gpu_machine_type"])
    shared = [] if said["gpu_processes"] == "one" else ["use_nvidia_mps"]
    parts = [f"type:{said['gpu']}", "count:1", f"machine_type:{machine}", _DRIVER, *shared]
    return {"accelerator": ";".join(parts), "min_ram": MIN_RAM}


def machine_type(gpu: str, named: str | None) -> str:
    """The machine type for a type of GPU.

    Raises:
        MisuseError: if `gpu` is none, or no machine is known for it and none is named.

    >>> machine_type("nvidia-l4", None), machine_type("nvidia-l4", "g2-standard-12")
    ('g2-standard-8', 'g2-standard-12')
    """
    if not re.fullmatch(r"nvidia-[a-z0-9-]+", gpu) or not re.fullmatch(r"[a-z0-9-]+", named or "any"):
        asked = f"--gpu={gpu}" + (f" --gpu_machine_type={named}" if named else "")
        raise MisuseError(f"{asked} makes no sense", f"write it like {' or '.join(MACHINES)}")
    if named is None and gpu not in MACHINES:
        near = difflib.get_close_matches(gpu, MACHINES, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        advice = f"{meant}For another type than {', '.join(MACHINES)}, name its machine: --gpu_machine_type"
        raise MisuseError(f"--gpu={gpu}: songscan knows no machine for it", advice)
    return named or MACHINES[gpu]


def _check_runner(options: PipelineOptions, gpu: str) -> None:
    runner = options.view_as(StandardOptions).runner or ""
    if "dataflow" not in runner.lower():
        advice = "leave it out: elsewhere, models run on the GPUs that TensorFlow sees (songscan doctor tells which)"
        raise MisuseError(f"--gpu={gpu} is for --runner=DataflowRunner, not for {runner or 'this machine'}", advice)


def _refuse_flexrs(options: PipelineOptions, asked: str) -> None:
    goal = options.view_as(GoogleCloudOptions).flexrs_goal
    if goal:
        advice = "leave --flexrs_goal out, or let the night run on CPUs"
        raise MisuseError(f"--flexrs_goal={goal} and {asked}: Dataflow has no GPUs for FlexRS", advice)


def _check_one_way(options: PipelineOptions) -> None:
    """The GPU is asked for once: Dataflow refuses a hint beside the service option, and a hint for all is not ours."""
    if _asks_for_accelerator(options):
        words = "--gpu and worker_accelerator in --dataflow_service_options ask for a GPU twice"
        raise MisuseError(words, "leave worker_accelerator out: --gpu gives the GPU to the one stage that uses it")
    for hint in options.view_as(StandardOptions).resource_hints or []:
        if "accelerator" in hint:
            words = f"--gpu and --resource_hint={hint} ask for a GPU twice"
            raise MisuseError(words, "leave the hint out: it would give a GPU to every stage")


def _check_processes(options: PipelineOptions, processes: str | None) -> None:
    if processes == "one":
        return
    if _SINGLE in (options.view_as(DebugOptions).experiments or []):
        raise MisuseError(f"--experiments={_SINGLE} leaves nothing to share a GPU", "say --gpu_processes=one instead")
    if "enable_prime" in (options.view_as(GoogleCloudOptions).dataflow_service_options or []):
        words = "Dataflow Prime (enable_prime) does not let processes share a GPU"
        raise MisuseError(words, "leave enable_prime out, or say --gpu_processes=one")


def _asks_for_accelerator(options: PipelineOptions) -> bool:
    service = options.view_as(GoogleCloudOptions).dataflow_service_options or []
    return any(option.startswith("worker_accelerator") for option in service)
