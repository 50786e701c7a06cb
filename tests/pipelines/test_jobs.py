"""Whether a job on Dataflow is over, asked of a server that speaks Dataflow's protocol."""

from concurrent import futures

import grpc
import pytest
from google.cloud import dataflow
from google.cloud.dataflow_v1beta3.services.jobs_v1_beta3.transports import JobsV1Beta3GrpcTransport

from pipelines import jobs
from transforms.errors import RunError

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

    handler = grpc.unary_unary_rpc_method_handler(get_job, dataflow.GetJobRequest.deserialize, dataflow.Job.serialize)
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("google.dataflow.v1beta3.JobsV1Beta3", {"GetJob": handler})]
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
    assert jobs.is_over(f"p/europe-west4/{job}") is over
    assert asked == [("p", "europe-west4", job)]


def test_a_job_that_nobody_knows_any_more_is_over(asked):
    assert jobs.is_over("p/r/forgotten")


def test_a_refusal_names_the_role(asked):
    with pytest.raises(RunError, match=r"p/r/denied is over cannot be told: .*Dataflow Viewer"):
        jobs.is_over("p/r/denied")


def test_a_job_has_a_name():
    class Result:
        def job_id(self):
            return "2026-11-25_1"

    assert jobs.name_of(Result(), "p", "r") == "p/r/2026-11-25_1"
