"""Jobs that go on by themselves, on Dataflow: what one is called, and whether it is over."""

from __future__ import annotations

from typing import Any

from transforms.errors import RunError

_OVER = ("JOB_STATE_DONE", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_UPDATED", "JOB_STATE_DRAINED")


def name_of(result: Any, project: str, region: str) -> str:
    """PROJECT/REGION/JOB_ID of what Beam has submitted."""
    return f"{project}/{region}/{result.job_id()}"


def is_over(job: str) -> bool:
    """Whether the job PROJECT/REGION/JOB_ID has ended, in whatever way; so has one that nobody knows any more.

    Raises:
        RunError: if Dataflow does not say.
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import dataflow

    project, region, job_id = job.split("/")
    request = dataflow.GetJobRequest(project_id=project, location=region, job_id=job_id)
    try:
        return dataflow.JobsV1Beta3Client().get_job(request).current_state.name in _OVER
    except exceptions.NotFound:
        return True
    except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError) as error:
        advice = "grant this account the role Dataflow Viewer; or look yourself, and delete the lease if it is over"
        raise RunError(f"whether the job {job} is over cannot be told: {error}", advice) from error
