"""Whether a job on Dataflow is over, asked of a server that speaks Dataflow's protocol."""

from concurrent import futures
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from google.cloud import dataflow
from google.cloud.dataflow_v1beta3.services.jobs_v1_beta3.transports import JobsV1Beta3GrpcTransport

from pipelines import jobs
from transforms.errors import RunError

BEGAN = datetime(2026, 11, 25, 3, tzinfo=UTC)
STATES = {"run": "JOB_STATE_RUNNING", "queue": "JOB_STATE_QUEUED", "done": "JOB_STATE_DONE", "bad": "JOB_STATE_FAILED"}


@pytest.fixture
def asked(monkeypatch):
    """The requests that the server got."""
    seen = []

    def get_job(request, context):
        seen.append((request.project_id, request.location, request.job_id))
        if request.job_id == "denied":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "dataflow.jobs.get denied")
        if request.job_id not in STATES:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such job")
        return dataflow.Job(id=request.job_id, current_state=STATES[request.job_id])

    def list_jobs(request, context):
        seen.append((request.project_id, request.location, request.name))
        told = [("nightly", "bad", -50), ("nightly", "run", 1), ("weekly", "run", 1), ("once", "done", 1)]
        jobs = [
            dataflow.Job(name=name, current_state=STATES[state], create_time=BEGAN + timedelta(hours=hours))
            for name, state, hours in told
        ]
        return dataflow.ListJobsResponse(jobs=jobs)

    methods = {
        "GetJob": grpc.unary_unary_rpc_method_handler(
            get_job, dataflow.GetJobRequest.deserialize, dataflow.Job.serialize
        ),
        "ListJobs": grpc.unary_unary_rpc_method_handler(
            list_jobs, dataflow.ListJobsRequest.deserialize, dataflow.ListJobsResponse.serialize
        ),
    }
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("google.dataflow.v1beta3.JobsV1Beta3", methods)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    client = dataflow.JobsV1Beta3Client(transport=JobsV1Beta3GrpcTransport(channel=channel))
    monkeypatch.setattr(dataflow, "JobsV1Beta3Client", lambda: client)
    yield seen
    channel.close()
    server.stop(None).wait()


@pytest.mark.parametrize(("job", "over"), [("run", False), ("queue", False), ("done", True), ("bad", True)])
def test_its_state_tells(asked, job, over):
    assert jobs.is_over(f"p/europe-west4/{job}", BEGAN) is over
    assert asked == [("p", "europe-west4", job)]


def test_a_job_that_nobody_knows_any_more_is_over(asked):
    assert jobs.is_over("p/r/forgotten", BEGAN)


def test_a_refusal_names_the_role(asked):
    with pytest.raises(RunError, match=r"p/r/denied is over cannot be told: .*Dataflow Viewer"):
        jobs.is_over("p/r/denied", BEGAN)


@pytest.mark.parametrize(("name", "over"), [("nightly", False), ("once", True)])
def test_the_job_of_a_template_is_found_by_its_name(asked, name, over):
    """The one that failed two nights ago bears it as well."""
    assert jobs.is_over(f"p/r/name={name}", BEGAN) is over
    assert asked == [("p", "r", name)]


def test_the_job_of_a_template_that_never_started_is_over_after_a_while(asked):
    assert jobs.is_over("p/r/name=lost", BEGAN)
    assert not jobs.is_over("p/r/name=lost", datetime.now(UTC))


def test_a_job_has_a_name():
    class Result:
        def job_id(self):
            return "2026-11-25_1"

    cloud = ["--project=p", "--region=r", "--job_name=nightly"]
    assert jobs.name_of(Result(), PipelineOptions(cloud)) == "p/r/2026-11-25_1"
    template = PipelineOptions([*cloud, "--template_location=gs://b/job"])
    assert jobs.name_of(None, template) == "p/r/name=nightly"
