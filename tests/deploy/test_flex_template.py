"""The flex template's metadata says of each flag what the flag itself says, and refuses what is sure to be wrong."""

import argparse
import json
import re
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from google.cloud import dataflow_v1beta3 as dataflow

from pipelines import options
from pipelines.beam_options import as_switches, parse
from pipelines.gpu import MACHINES, PROCESSES, add_gpu_flags
from transforms.errors import MisuseError
from transforms.stem_options import FORMATS
from transforms.tasks import TASKS

FILE = Path(__file__).parents[2] / "deploy" / "flex_template.json"
PARAMETERS = {parameter["name"]: parameter for parameter in json.loads(FILE.read_text(encoding="utf-8"))["parameters"]}
#: A template is there to start a job: it plans nothing only, knows no time of this machine, and no folder of it.
NOT_FOR_JOBS = {"plan", "budget_hours", "scratch_dir"}
GOOD = {
    "input": ["gs://music/catalogue", "gs://music", "gs://music/night list.jsonl"],
    "output": ["gs://music/scan"],
    "results": ["bq://my-project.songs", "bq://example.com:my-project.songs"],
    "tasks": ["quality", "tags,stems", *TASKS],
    "models": ["gs://models/separator/2", "pretrained:separator-fast/1,gs://models/tagger/3"],
    "stems": ["vocals", "accompaniment,vocals"],
    "stem_format": list(FORMATS),
    "max_tracks": ["1", "20000"],
    "since": ["2026-11-23", "2026-11-23T22:00:00", "2026-11-23T22:00:00+01:00"],
    "track_ids": ["a.flac,b/c.mp3", "晴天.flac"],
    "force": ["true", "false"],
    "max_failed_fraction": ["0", "0.2", ".5", "1"],
    "decode_timeout_s": ["5", "0.5", "120.5"],
    "decode_memory_mib": ["256", "270", "999", "16384"],
    "max_hours": ["0.25", "48"],
    "gpu": list(MACHINES),
    "gpu_machine_type": list(MACHINES.values()),
    "gpu_processes": list(PROCESSES),
    "number_of_worker_harness_threads": ["1", "12"],
    "sdk_container_image": [
        "us-central1-docker.pkg.dev/my-project/songscan/songscan:0.1.0",
        f"us-central1-docker.pkg.dev/my-project/songscan/songscan@sha256:{64 * 'a'}",
    ],
    "sdk_location": ["container"],
}
BAD = {
    "input": ["/home/me/Music", "gs://", "s3://music/x", ""],
    "output": ["gs://music", "scan", "bq://a.b"],
    "results": ["my-project.songs", "bq://songs", "gs://music/scan"],
    "tasks": ["", "quality,", "tags stems", "genre"],
    "models": ["separator", "/models/separator/2", "gs://models/separator/2,"],
    "stems": ["drums", "vocals,"],
    "stem_format": ["aac", "FLAC"],
    "max_tracks": ["0", "-1", "many", "1.5"],
    "since": ["yesterday", "23.11.2026"],
    "track_ids": ["@ids.txt", ""],
    "force": ["yes", ""],
    "max_failed_fraction": ["1.5", "-0.1", "5 %"],
    "decode_timeout_s": ["0", "0.0", "-1", "1m"],
    "decode_memory_mib": ["255", "0", "2G"],
    "max_hours": ["0", "-2"],
    "gpu": ["l4", "nvidia l4", "NVIDIA-L4"],
    "gpu_machine_type": ["g2", "g2-standard-8;x"],
    "gpu_processes": ["all", "2"],
    "number_of_worker_harness_threads": ["0", "x", "1000"],
    "sdk_container_image": ["songscan", "us-docker.pkg.dev/p/r/songscan"],
    "sdk_location": ["default"],
}


def flags_of_scan():
    parser = argparse.ArgumentParser(add_help=False)
    options.add_flags(parser)
    add_gpu_flags(parser)
    return {action.dest: action for action in parser._actions}


def test_dataflow_knows_every_field():
    metadata = dataflow.TemplateMetadata.from_json(FILE.read_text(encoding="utf-8"))  # refuses what it does not know
    assert [parameter.name for parameter in metadata.parameters] == list(PARAMETERS)
    assert all(parameter.param_type for parameter in metadata.parameters)


def test_every_flag_of_a_scan_is_a_parameter():
    assert set(flags_of_scan()) - NOT_FOR_JOBS <= set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_is_a_flag_and_says_the_same(name):
    parameter = PARAMETERS[name]
    action = flags_of_scan().get(name)
    if name == "results" and action is None:
        pytest.skip("no such flag yet")
    if action is None:
        assert name in PipelineOptions().get_all_options()
    else:
        said = "" if action.default in (None, False) else str(action.default)
        assert parameter.get("defaultValue", "").replace("false", "") == said
        assert parameter["isOptional"] == (name not in ("input", "output"))
    assert parameter["label"]
    assert parameter["helpText"].endswith(".")
    assert ("enumOptions" in parameter) == (parameter["paramType"] == "ENUM")
    assert all(option["value"] in GOOD[name] for option in parameter.get("enumOptions", []))


def fits(name, value):
    return all(re.search(regex, value) for regex in PARAMETERS[name]["regexes"])


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_patterns_tell_sense_from_nonsense(name):
    usual = PARAMETERS[name].get("defaultValue")
    assert [value for value in [*GOOD[name], *([usual] if usual else [])] if not fits(name, value)] == []
    assert [value for value in BAD[name] if fits(name, value)] == []


@pytest.mark.parametrize("name", [name for name in GOOD if name in flags_of_scan()])
def test_what_a_pattern_lets_through_the_flag_takes(name, monkeypatch):
    monkeypatch.setattr(options, "parse_tasks", lambda names, *_: tuple(names))  # models are not there to be looked at
    for value in GOOD[name]:
        argv = ["--runner=DataflowRunner", "--input=gs://music/in", "--output=gs://music/out", f"--{name}={value}"]
        more = ["--gpu=nvidia-l4"] if name.startswith("gpu_") else []
        argv = as_switches([*argv, *more])
        options.parse_scan(argv)
        parse(argv)


@pytest.mark.parametrize("name", ["max_tracks", "max_failed_fraction", "decode_timeout_s", "max_hours", "since"])
def test_what_the_flag_refuses_the_pattern_refuses(name):
    for value in BAD[name]:
        with pytest.raises(MisuseError):
            options.parse_scan(["--input=gs://music/in", "--output=gs://music/out", f"--{name}={value}"])
