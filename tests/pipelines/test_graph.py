"""What the pipeline is made of: one fused stage from the bytes to the sink, and no audio that is pickled."""

import json

import apache_beam as beam
import pytest
from apache_beam.internal.gcp.auth import _Credentials
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.runners.portability.fn_api_runner import translations
from apache_beam.transforms.environments import ExternalEnvironment

from pipelines.beam_options import ScanOptions, as_switches, parse
from pipelines.scan import build
from tests.doubles import models as doubles
from tests.pipelines.scans import catalogue, rows
from transforms import tables
from transforms.assess import Assess
from transforms.catalogue import list_catalogue
from transforms.decode import Decode, Limits
from transforms.errors import MisuseError
from transforms.journal import Journal
from transforms.ledger import plan
from transforms.recording import Recording, RecordingCoder
from transforms.records import Due
from transforms.scratch import Scratch
from transforms.shards import read_shard
from transforms.shares import Share, remaining
from transforms.tag import AddTags
from transforms.tasks import parse_tasks
from transforms.write import Write

DATAFLOW = [
    "--runner=DataflowRunner",
    "--dry_run=True",
    "--project=my-project",
    "--region=us-central1",
    "--temp_location=gs://my-bucket/tmp",
    "--sdk_container_image=example/songscan:1",
    "--sdk_location=container",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return doubles.fake(tmp_path_factory.mktemp("models"))


@pytest.fixture
def planned(tmp_path, model):
    """A plan of six tracks, for quality and for tags."""
    music = catalogue(tmp_path / "music", 6)
    tasks = parse_tasks("quality,tags", [str(model)])
    (tmp_path / "ledger" / "tables").mkdir(parents=True)
    path = str(tmp_path / "plan.parquet")
    made = plan(list_catalogue(str(music)), tables.connect(str(tmp_path / "ledger")), tasks, out_path=path)
    assert made.due == 6
    return Share(path=path)


def flags(share, tmp_path, *more):
    head = read_shard(share.path, 0)[0].tasks
    models = ",".join(task.model_uri for task in head if task.model_uri)
    places = [f"--input={tmp_path / 'music'}", f"--output={tmp_path / 'out'}", f"--models={models}"]
    return [*places, "--run_id=test", f"--share={share.to_json()}", *more]


def test_nothing_is_shuffled_between_the_bytes_and_the_sink(planned, tmp_path):
    pipeline = beam.Pipeline(options=parse(flags(planned, tmp_path, *DATAFLOW)))
    build(pipeline, pipeline.options)
    pipeline.run()
    steps = pipeline.runner.proto_pipeline.components.transforms
    producer = {out: name for name, step in steps.items() for out in step.outputs.values() if not step.subtransforms}
    (sink,) = [n for n, s in steps.items() if s.unique_name.startswith("Scan/Write/") and not s.subtransforms]
    path = []
    while steps[sink].inputs:
        path.append(steps[sink].spec.urn)
        (source,) = steps[sink].inputs.values()
        sink = producer[source]
        if steps[sink].unique_name.startswith("Scan/Tracks"):
            break
    assert steps[sink].unique_name.startswith("Scan/Tracks")
    assert len(path) == 5  # write, inference, its batch of one, assess, decode
    assert set(path) == {"beam:transform:pardo:v1"}


def hints(share, tmp_path, *more):
    """The resource hints of each step that does something, by its name."""
    pipeline = beam.Pipeline(options=parse(flags(share, tmp_path, *DATAFLOW, *more)))
    build(pipeline, pipeline.options)
    pipeline.run()
    proto = pipeline.runner.proto_pipeline.components
    return {
        step.unique_name: dict(proto.environments[step.environment_id].resource_hints)
        for step in proto.transforms.values()
        if step.environment_id and not step.subtransforms
    }


def test_without_a_gpu_there_are_no_hints(planned, tmp_path):
    found = hints(planned, tmp_path)
    assert any(name.startswith("Scan/Decode") for name in found)
    assert not any(found.values())


@pytest.mark.parametrize(
    ("more", "accelerator"),
    [
        ([], "type:nvidia-l4;count:1;machine_type:g2-standard-8;install-nvidia-driver:5xx;use_nvidia_mps"),
        (
            ["--gpu_processes=one", "--gpu_machine_type=g2-standard-4"],
            "type:nvidia-l4;count:1;machine_type:g2-standard-4;install-nvidia-driver:5xx",
        ),
    ],
)
def test_the_fused_stage_has_the_gpu_and_nothing_before_it(planned, tmp_path, more, accelerator):
    found = hints(planned, tmp_path, "--gpu=nvidia-l4", *more)
    wanted = {"beam:resources:accelerator:v1": accelerator.encode(), "beam:resources:min_ram_bytes:v1": b"16000000000"}
    stage = {name: hint for name, hint in found.items() if name.startswith("Scan/")}
    assert {name.split("/")[1] for name in stage} == {"Tracks", "Decode", "Quality", "Tags Fake", "Write"}
    assert all(hint == wanted for hint in stage.values())
    before = [hint for name, hint in found.items() if name not in stage]
    assert before
    assert not any(before)


def test_the_last_step_needs_no_gpu(planned, tmp_path):
    found = hints(planned, tmp_path, "--gpu=nvidia-l4", "--ends_itself")
    last = {name: hint for name, hint in found.items() if name.startswith("Finish/")}
    assert any("finish" in name for name in last)
    assert not any(last.values())


def test_a_model_that_the_gpu_holds_once_runs_in_one_process():
    said = parse([*DATAFLOW, "--gpu=nvidia-l4", "--gpu_processes=one"]).get_all_options()
    assert said["experiments"] == ["no_use_multiple_sdk_containers"]
    assert said["number_of_worker_harness_threads"] == 4
    said = parse([*DATAFLOW, "--gpu=nvidia-l4", "--gpu_processes=one", "--number_of_worker_harness_threads=7"])
    assert said.get_all_options()["number_of_worker_harness_threads"] == 7
    said = parse([*DATAFLOW, "--gpu=nvidia-l4"]).get_all_options()
    assert (said["experiments"], said["number_of_worker_harness_threads"]) == (None, None)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--gpu=nvidia-l4", "--flexrs_goal=COST_OPTIMIZED"], "no GPUs for FlexRS"),
        (["--dataflow_service_options=worker_accelerator=type:x", "--flexrs_goal=SPEED_OPTIMIZED"], "no GPUs for Flex"),
        (["--gpu=nvidia-l4", "--dataflow_service_options=worker_accelerator=type:nvidia-l4;count:1"], "ask .* twice"),
        (["--gpu=nvidia-l4", "--resource_hint=accelerator=type:nvidia-l4"], "ask .* twice"),
        (["--gpu=nvidia-l4", "--experiments=no_use_multiple_sdk_containers"], "--gpu_processes=one"),
        (["--gpu=nvidia-l4", "--dataflow_service_options=enable_prime"], "Dataflow Prime"),
        (["--gpu=nvidia-l5"], "did you mean nvidia-l4"),
        (["--gpu=L4"], "write it like nvidia-l4"),
        (["--gpu=nvidia-l4", "--gpu_machine_type=g2;x"], "makes no sense"),
        (["--gpu_processes=one"], "without --gpu"),
        (["--gpu=nvidia-l4", "--runner=FnApiRunner"], "is for --runner=DataflowRunner"),
    ],
)
def test_what_dataflow_would_refuse_is_refused_before(more, words):
    with pytest.raises(MisuseError, match=words):
        parse([*DATAFLOW, *more])


def test_a_gpu_that_no_task_uses_is_refused(planned, tmp_path):
    options = parse([*flags(planned, tmp_path, *DATAFLOW), "--gpu=nvidia-l4", "--tasks=quality", "--models="])
    with pytest.raises(MisuseError, match="it would idle"):
        build(beam.Pipeline(options=options), options)


def test_switches_of_a_template_have_values():
    told = as_switches(["--force=true", "--plan=False", "--max_tracks=3", "--input=x"])
    assert told == ["--force", "--max_tracks=3", "--input=x"]
    with pytest.raises(MisuseError, match="true or false"):
        as_switches(["--force=perhaps"])


def test_a_portable_runner_gets_one_stage_from_the_bytes_to_the_sink(planned, tmp_path):
    """Flink and Spark fuse what Beam's own fuser does: transforms of one environment without a shuffle between them."""
    pipeline = beam.Pipeline(options=parse(flags(planned, tmp_path)))
    build(pipeline, pipeline.options)
    workers = ExternalEnvironment("localhost:50000")
    proto = pipeline.to_runner_api(default_environment=workers)
    known = frozenset([common_urns.composites.RESHUFFLE.urn, common_urns.primitives.GROUP_BY_KEY.urn])
    _, stages = translations.create_and_optimize_stages(proto, translations.standard_optimize_phases(), known)
    names = [[step.unique_name.split("/")[0] for step in stage.transforms] for stage in stages]
    (fused,) = [steps for steps in names if {"Tracks", "Decode", "Quality", "Tags Fake", "Write"} & {*steps}]
    assert {"Tracks", "Decode", "Quality", "Tags Fake", "Write"} <= {*fused}


def test_only_numbers_are_shuffled(planned, tmp_path):
    pipeline = beam.Pipeline(options=parse(flags(planned, tmp_path, *DATAFLOW)))
    build(pipeline, pipeline.options)
    proto = pipeline.to_runner_api()
    spread = [s for s in proto.components.transforms.values() if s.unique_name == "Spread"]
    (shuffled,) = spread[0].inputs.values()
    coder = proto.components.coders[proto.components.pcollections[shuffled].coder_id]
    assert coder.spec.urn == "beam:coder:varint:v1"


def test_no_recording_is_pickled(planned, tmp_path, monkeypatch):
    pickled = []
    monkeypatch.setattr(RecordingCoder, "encode", lambda self, value: pickled.append(value))
    monkeypatch.setattr(Recording, "__reduce__", lambda self: pickled.append(self))
    monkeypatch.setattr(Scratch, "__reduce__", lambda self: pickled.append(self))
    options = parse(flags(planned, tmp_path))
    with beam.Pipeline(options=options) as pipeline:
        build(pipeline, pipeline.options)
    assert pickled == []
    assert len(rows(tmp_path / "out", "FROM quality")) == 6
    assert len(rows(tmp_path / "out", "FROM tags")) == 12


def test_a_recording_that_lost_its_samples_is_decoded_again(planned, tmp_path):
    """As on another host: the same rows, though every recording crosses a shuffle."""

    (_, task) = read_shard(planned.path, 0)[0].tasks

    def run(output, between, again):
        journal = Journal()
        with beam.Pipeline("FnApiRunner") as pipeline:
            shards = pipeline | beam.Create(planned.shards)
            due = shards | beam.FlatMap(lambda n, p: read_shard(p, n), planned.path).with_output_types(Due)
            recordings = due | Decode("run", Limits(), journal)
            recordings = recordings | between | Assess() | "Again" >> again | AddTags(task, journal)
            _ = recordings | Write(str(output), "run", journal)

    same = [beam.Map(lambda r: r).with_output_types(Recording) for _ in range(2)]
    run(tmp_path / "fused", *same)
    run(tmp_path / "torn", beam.Reshuffle(), beam.Reshuffle())
    for table, count in (("quality", 6), ("tags", 12)):
        told = f"SELECT * EXCLUDE (run_id, time) FROM {table} ORDER BY ALL"
        assert rows(tmp_path / "torn", told) == rows(tmp_path / "fused", told)
        assert len(rows(tmp_path / "torn", told)) == count


def test_size_of_a_recording_is_estimated_without_encoding(monkeypatch):
    monkeypatch.setattr(RecordingCoder, "encode", lambda *_: pytest.fail("encoded"))
    assert RecordingCoder().get_impl().get_estimated_size_and_observables(None) == (1000, [])


def test_shares_cover_the_plan_and_remaining_takes_off_what_is_done(planned, tmp_path):
    every = [due.track.track_id for n in planned.shards for due in read_shard(planned.path, n)]
    parts = [Share(path=planned.path, first=n, step=4) for n in range(4)]
    dealt = [due.track.track_id for part in parts for n in part.shards for due in read_shard(part.path, n)]
    assert sorted(dealt) == sorted(every) == [f"track{n:03d}.wav" for n in range(6)]
    mine = [due.track.track_id for n in parts[1].shards for due in read_shard(planned.path, n)]
    rest = remaining(parts[1], str(tmp_path / "rest.parquet"), mine[:1], {mine[1]: 1})
    left = [due for n in rest.shards for due in read_shard(rest.path, n)]
    assert [(due.track.track_id, due.deaths) for due in left] == [(mine[1], 1)]
    assert remaining(parts[1], str(tmp_path / "none.parquet"), mine, {}) is None


def test_unknown_flags_are_refused_with_the_likely_one():
    with pytest.raises(MisuseError, match="did you mean --max_num_workers"):
        parse(["--max_num_worker=3"])


def test_beam_flags_keep_their_meaning(planned, tmp_path):
    options = parse(flags(planned, tmp_path, "--max_tracks=3", "--machine_type=n1-standard-4"))
    assert options.view_as(ScanOptions).max_tracks == 3
    assert isinstance(options, PipelineOptions)
    assert options.get_all_options()["machine_type"] == "n1-standard-4"


def test_the_job_that_a_template_leaves_is_whole(planned, tmp_path, bucket, monkeypatch):
    """As the launcher of a flex template has it: the job is written down, not submitted."""
    monkeypatch.setattr(_Credentials, "_credentials_init", True)  # nobody is asked for credentials
    left = tmp_path / "job_object"
    more = [f"--template_location={left}", "--no_auth", "--gpu=nvidia-l4", "--job_name=songscan-nightly"]
    places = [f"--temp_location=gs://{bucket.name}/temp", f"--staging_location=gs://{bucket.name}/staging"]
    dataflow = [flag for flag in DATAFLOW if not flag.startswith(("--dry_run", "--temp_location"))]
    options = parse(flags(planned, tmp_path, *dataflow, *more, *places))
    pipeline = beam.Pipeline(options=options)
    build(pipeline, options)
    pipeline.run()
    job = json.loads(left.read_text())
    assert (job["name"], job["type"]) == ("songscan-nightly", "JOB_TYPE_BATCH")
    (pool,) = job["environment"]["workerPools"]
    images = {image["containerImage"] for image in pool["sdkHarnessContainerImages"]}
    assert images == {"example/songscan:1"}
    assert "use_runner_v2" in job["environment"]["experiments"]
