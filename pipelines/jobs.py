"""Jobs that go on by themselves, on Dataflow: what one is called, and whether it is over.

Conventions. A job is PROJECT/REGION/JOB_ID; or PROJECT/REGION/name=NAME where the launcher of a flex template leaves
only the description of the job, which gets its id later.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from transforms.errors import RunError

_OVER = ("JOB_STATE_DONE", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_UPDATED", "JOB_STATE_DRAINED")
_BY_NAME = "name="
STARTS_WITHIN = timedelta(hours=1)  # after its template was launched, or it never will


def is_template(options: PipelineOptions) -> bool:
    """Whether the job is only described here, and somebody else starts it."""
    return options.view_as(GoogleCloudOptions).template_location is not None


def name_of(result: Any, options: PipelineOptions) -> str:
    """What a job is called that Beam has submitted, or described."""
    cloud = options.view_as(GoogleCloudOptions)
    job = f"{_BY_NAME}{cloud.job_name}" if is_template(options) else result.job_id()
    return f"{cloud.project}/{cloud.region}/{job}"


def is_over(job: str, began: datetime) -> bool:
    """Whether a job has ended, in whatever way; so has one that nobody knows any more, or that never started.

    Args:
        began: when its run began.

    Raises:
        RunError: if Dataflow does not say.
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        found = list(_found(job, began))
    except exceptions.NotFound:
        return True
    except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError) as error:
        advice = "grant this account the role Dataflow Viewer; or look yourself, and delete the lease if it is over"
        raise RunError(f"whether the job {job} is over cannot be told: {error}", advice) from error
    if not found:
        return datetime.now(UTC) - began > STARTS_WITHIN
    return all(state in _OVER for state in found)


def _found(job: str, began: datetime) -> Iterable[str]:
    """The states of the jobs of that name; of that id there is one."""
    from google.cloud import dataflow

    client = dataflow.JobsV1Beta3Client()
    project, region, named = job.split("/")
    if not named.startswith(_BY_NAME):
        request = dataflow.GetJobRequest(project_id=project, location=region, job_id=named)
        return [client.get_job(request).current_state.name]
    name = named.removeprefix(_BY_NAME)
    listed = client.list_jobs(dataflow.ListJobsRequest(project_id=project, location=region, name=name))
    return [found.current_state.name for found in listed if found.name == name and found.create_time >= began]
