"""Cloud Storage's client: how long it is patient, and what its refusals mean in words.

Conventions. The client library finds credentials by itself (Application Default Credentials) and talks to an emulator
if STORAGE_EMULATOR_HOST is set. A request that fails for a reason that may pass (408, 429, 5xx, a connection that
breaks or does not answer) is made again, with pauses that double, until DEADLINE_S have gone; what is then still wrong
becomes one of our own errors. Every request is made so that it may be made twice.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from transforms.errors import MisuseError, RunError, SongscanError, TrackError

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
DEADLINE_S = 120.0  # for one request, all repetitions included
TIMEOUT_S = (10.0, 60.0)  # to connect; between bytes

GONE, FORBIDDEN, CORRUPT, NETWORK = "gone", "no_permission", "corrupt", "network"


@functools.lru_cache(maxsize=1)
def client() -> Any:
    """The client, made at the first call.

    Raises:
        MisuseError: if there are no credentials.
    """
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import storage

    try:
        return storage.Client()
    except DefaultCredentialsError as error:
        raise MisuseError(
            "Cloud Storage has no credentials here", "Run: gcloud auth application-default login."
        ) from error


def patience() -> dict[str, Any]:
    """The arguments `retry` and `timeout` of a request."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_delay(initial=FIRST_PAUSE_S, maximum=LONGEST_PAUSE_S, multiplier=2)
    return {"retry": retry.with_timeout(DEADLINE_S), "timeout": TIMEOUT_S}


@contextlib.contextmanager
def in_words(words: Callable[[str, Exception], SongscanError]) -> Iterator[None]:
    """Raises `words(kind, error)` for what Cloud Storage or the way to it refuses; kinds are GONE, FORBIDDEN, ..."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
    from requests import exceptions as http
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (exceptions.NotFound, exceptions.PreconditionFailed) as error:
        raise words(GONE, error) from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise words(FORBIDDEN, error) from error
    except DataCorruption as error:
        raise words(CORRUPT, error) from error
    except (exceptions.GoogleAPIError, GoogleAuthError, InvalidResponse, http.RequestException, HTTPError) as error:
        raise words(NETWORK, error) from error
    except ConnectionError as error:  # the library raises the bare one for a body that ended early
        raise words(NETWORK, error) from error


def explained(uri: str) -> contextlib.AbstractContextManager[None]:
    """Turns refusals into words about `uri`, which somebody named or a scan needs: MisuseError or RunError."""

    def words(kind: str, error: Exception) -> SongscanError:
        if kind == GONE:
            return MisuseError(f"{uri!r} does not exist", "Check the names of bucket and folder.")
        if kind == FORBIDDEN:
            advice = "Grant it the role Storage Object Viewer on the bucket."
            return MisuseError(f"{uri!r} may not be read by this account", advice)
        return RunError(f"{uri!r} cannot be read: {said(error)}", "Run again when the network is well.")

    return in_words(words)


def as_track_error(uri: str) -> contextlib.AbstractContextManager[None]:
    """Turns refusals into a transient `TrackError` about one object."""

    def words(kind: str, error: Exception) -> TrackError:
        reason, message, advice = {
            GONE: ("gone", "was deleted or written anew after it was listed", "The next run takes it as it is then."),
            FORBIDDEN: (
                "no_permission",
                "may not be read",
                "Grant the worker's account the role Storage Object Viewer on the bucket.",
            ),
            CORRUPT: ("corrupt_download", "arrived damaged", "Run again."),
        }.get(kind, ("network", f"could not be fetched: {said(error)}", "Run again when the network is well."))
        return TrackError("open", reason, f"{uri!r} {message}", advice, transient=True)

    return in_words(words)


def run_error(doing: str, role: str) -> Callable[[str, Exception], RunError]:
    """Words for a run that cannot go on: `doing` is such as "cannot write gs://b/x", `role` what an account needs."""

    def words(kind: str, error: Exception) -> RunError:
        if kind in (GONE, FORBIDDEN):
            advice = f"check the bucket's name, and grant this account the role {role} on it"
            return RunError(f"{doing}: {said(error)}", advice)
        return RunError(f"{doing}: {said(error)}", "run again when the network is well")

    return words


def said(error: Exception) -> str:
    """What an error of the client library says, in one line; the last one of those that were repeated in vain."""
    cause = getattr(error, "cause", None) or error
    response = getattr(cause, "response", None)
    words = str(cause) if response is None else f"HTTP {response.status_code}: {_message_of(response)}"
    return " ".join(words.split())[:300]


def _message_of(response: Any) -> str:
    from requests.exceptions import RequestException

    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError, RuntimeError, RequestException):  # not Cloud Storage's own words
        return str(response.reason)
