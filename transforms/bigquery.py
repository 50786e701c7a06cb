"""BigQuery: a dataset, and jobs that run once however often they are asked for.

Conventions. `bq://PROJECT.DATASET`. A job has an id that its caller chose, and BigQuery runs an id once: a request
whose answer was lost is sent again under the same id, and meets the job that it had begun. Only a job that failed for
BigQuery's own reasons begins anew, as STEM-1 after STEM-0. Jobs run where the dataset is. The client library finds
credentials by itself (Application Default Credentials) and talks to an emulator if BIGQUERY_EMULATOR_HOST is set.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.errors import MisuseError, RunError, SongscanError

SCHEME = "bq://"
PAUSES_S = (2.0, 10.0, 30.0)  # before a job begins anew, or is asked for again
DEADLINE_S = 120.0  # the client library's own retries of one request
MOST_URIS = 10_000  # of a load job
_PASSING = {  # reasons for which BigQuery asks to try again
    *("backendError", "internalError", "rateLimitExceeded", "tableUnavailable"),
    *("jobBackendError", "jobInternalError", "jobRateLimitExceeded"),
}
_ROLES = "BigQuery Data Editor on the dataset and BigQuery Job User on the project"


@dataclass(frozen=True)
class Dataset:
    """A dataset of BigQuery, by name."""

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}.{self.name}"


def parse_results(uri: str) -> Dataset:
    """The dataset that `bq://PROJECT.DATASET` names.

    >>> parse_results("bq://my-project.music")
    Dataset(project='my-project', name='music')

    Raises:
        MisuseError: if it names none.
    """
    if match := re.fullmatch(r"bq://((?:[a-z0-9.-]+:)?[a-z][a-z0-9-]*)\.([A-Za-z0-9_]+)", uri):
        return Dataset(project=match[1], name=match[2])
    advice = "Write bq://PROJECT.DATASET"
    if not uri.startswith(SCHEME):
        advice += ": it begins with bq://"
    elif re.fullmatch(r"bq://[^.:/]+", uri):
        advice += ": the project is missing, or the dataset"
    elif re.fullmatch(r"bq://[^./]+[:/][^./]+", uri):
        advice += ", with a dot between them"
    elif re.fullmatch(r"bq://[^.]+\.[^.]+\.[^.]+", uri):
        advice += ", without a table: songscan makes its tables there"
    raise MisuseError(f"{uri!r} names no dataset of BigQuery", advice)


@dataclass(frozen=True)
class Warehouse:
    """A dataset that is there, with the client that reaches it."""

    dataset: Dataset
    client: Any
    location: str

    def name(self, table: str) -> str:
        """PROJECT.DATASET.TABLE."""
        return f"{self.dataset}.{table}"

    def tables(self) -> list[str]:
        """The names of all tables and views.

        Raises:
            MisuseError, RunError: as `connect`.
        """
        with _explained(f"The tables of {self.dataset} cannot be listed", self.dataset):
            return [item.table_id for item in self.client.list_tables(str(self.dataset), retry=_retry())]

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns; raises as `tables`."""
        return [field.name for field in self._looked_at(table).schema]

    def view_sql(self, view: str) -> str:
        """The query of a view, or '' of a table; raises as `tables`."""
        return self._looked_at(view).view_query or ""

    def _looked_at(self, table: str) -> Any:
        with _explained(f"{self.name(table)} cannot be looked at", self.dataset):
            return self.client.get_table(self.name(table), retry=_retry())

    def drop(self, table: str) -> None:
        """Removes a table, if it is there; raises as `tables`."""
        with _explained(f"{self.name(table)} cannot be removed", self.dataset):
            self.client.delete_table(self.name(table), not_found_ok=True, retry=_retry())

    def query(self, sql: str, stem: str, what: str) -> Any:
        """Runs GoogleSQL, or a script of it, once; the rows (`google.cloud.bigquery.table.RowIterator`).

        Args:
            stem: of the job's id; letters, digits, `_` and `-`.
            what: what it is for, in words that an error can begin with.

        Raises:
            MisuseError, RunError: as `connect`.
        """
        with _explained(what, self.dataset):
            return self._queried(sql, stem).result(retry=_retry(), job_retry=None)

    def change(self, sql: str, stem: str, what: str) -> int:
        """Runs a statement that changes rows, once; how many it changed. Takes and raises what `query` does."""
        with _explained(what, self.dataset):
            return int(self._queried(sql, stem).num_dml_affected_rows or 0)

    def load(self, source: str | Sequence[str], table: str, stem: str, what: str) -> None:
        """Adds the rows of Parquet files to a table that is there, all or none; columns go by name.

        Args:
            source: a local file, or at most MOST_URIS URIs on Cloud Storage.
            stem, what: as in `query`.

        Raises:
            MisuseError, RunError: as `connect`.
        """
        config = _load_config()
        to = {"destination": self.name(table), "location": self.location, "job_config": config}

        def begin(job_id: str) -> Any:
            if not isinstance(source, str):
                return self.client.load_table_from_uri(source, job_id=job_id, retry=_retry(), **to)
            with open(source, "rb") as file:
                return self.client.load_table_from_file(file, job_id=job_id, **to)

        with _explained(what, self.dataset):
            self._done(stem, begin)

    def load_rows(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: str, table: str, stem: str) -> None:
        """Adds Arrow rows to a table that is there, by way of a Parquet file at `path`; raises as `load`."""
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)
        self.load(path, table, stem, f"Rows cannot be loaded into {self.name(table)}")

    def settle(self, stem: str) -> None:
        """Waits until no job of `stem` runs any more, if any was begun: by a process that is dead, say.

        Raises:
            MisuseError, RunError: as `connect`.
        """
        from google.api_core import exceptions

        with _explained(f"The job {stem} cannot be looked at", self.dataset):
            for attempt in itertools.count():
                try:
                    job = self.client.get_job(f"{stem}-{attempt}", location=self.location, retry=_retry())
                except exceptions.NotFound:
                    return
                job.exception()  # waits; how it ended is for whoever looks at the tables

    def _queried(self, sql: str, stem: str) -> Any:
        at = {"location": self.location, "retry": _retry(), "job_retry": None}
        return self._done(stem, lambda job_id: self.client.query(sql, job_id=job_id, **at))

    def _done(self, stem: str, begin: Callable[[str], Any]) -> Any:
        """The job of `stem` once it has succeeded."""
        attempt = 0
        for pause_s in (*PAUSES_S, None):
            try:
                job = self._begun(f"{stem}-{attempt}", begin)
                error = job.exception()
            except _lost() as lost:
                error, again = lost, True  # under the same id: perhaps it was begun
            else:
                again = bool(error) and _reason(error) in _PASSING
                attempt += 1
            if not error:
                return job
            if not again or pause_s is None:
                raise error
            time.sleep(pause_s)
        raise AssertionError("unreachable")

    def _begun(self, job_id: str, begin: Callable[[str], Any]) -> Any:
        """The job of that id, begun now or by an earlier request; an upload that is through is not found again."""
        from google.api_core import exceptions

        try:
            return begin(job_id)
        except (exceptions.Conflict, exceptions.NotFound) as error:
            try:
                return self.client.get_job(job_id, location=self.location, retry=_retry())
            except exceptions.NotFound:
                raise error from None


def connect(dataset: Dataset) -> Warehouse:
    """The dataset, if it is there and may be used.

    Raises:
        MisuseError: if there is no such dataset, or no credentials, or no permission.
        RunError: if BigQuery cannot be reached.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    emulated = AnonymousCredentials() if os.environ.get("BIGQUERY_EMULATOR_HOST") else None
    with _explained(f"{dataset} cannot be opened", dataset):
        client = bigquery.Client(project=dataset.project, credentials=emulated)
        return Warehouse(dataset, client, client.get_dataset(str(dataset), retry=_retry()).location)


def _load_config() -> Any:
    from google.cloud import bigquery

    parquet = bigquery.ParquetOptions()
    parquet.enable_list_inference = True
    config = bigquery.LoadJobConfig(
        source_format="PARQUET",
        create_disposition="CREATE_NEVER",
        write_disposition="WRITE_APPEND",
        ignore_unknown_values=True,  # columns of a newer songscan
    )
    config.parquet_options = parquet
    return config


# Errors ---------------------------------------------------------------------------------------------------------


def _retry() -> Any:
    from google.cloud.bigquery import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(DEADLINE_S)


def _lost() -> tuple[type[Exception], ...]:
    """Errors that tell nothing about the job: the request or its answer got lost on the way."""
    from google.api_core import exceptions
    from requests.exceptions import RequestException

    return exceptions.ServerError, exceptions.RetryError, RequestException, ConnectionError


def _reason(error: Exception) -> str:
    """BigQuery's word for what went wrong, such as accessDenied; or ''."""
    told: Sequence[Mapping[str, str]] = getattr(error, "errors", None) or [{}]
    return told[0].get("reason", "")


@contextlib.contextmanager
def _explained(what: str, dataset: Dataset) -> Iterator[None]:
    """Turns errors of Google's libraries into words about `what`."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except GoogleAuthError as error:
        raise MisuseError(
            f"{what}: BigQuery accepts no credentials from here ({_first_line(error)})",
            "Run: gcloud auth application-default login",
        ) from error
    except exceptions.GoogleAPICallError as error:
        raise _worded(what, dataset, error) from error
    except _lost() as error:
        advice = "See that the network is well, and run the same command again: what is done already stays"
        raise RunError(f"{what}: BigQuery cannot be reached ({_first_line(error)})", advice) from error


def _worded(what: str, dataset: Dataset, error: Any) -> SongscanError:
    from google.api_core import exceptions

    reason = _reason(error)
    words = f"{what}: {_first_line(error)}"
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized) and "xceeded" not in reason:
        return MisuseError(words, f"Grant this account the roles {_ROLES} (and Storage Object Viewer on its bucket)")
    if isinstance(error, exceptions.NotFound) and "dataset" in error.message.lower():
        return MisuseError(words, f"Create it where the results shall be: bq mk --dataset --location=EU {dataset}")
    if isinstance(error, exceptions.ServerError) or reason in _PASSING or "xceeded" in reason:
        return RunError(words, "Run the same command again, later if this is a quota: what is done already stays")
    return RunError(words, "Nothing is lost: mend what BigQuery names, and run the same command again")


def _first_line(error: Exception) -> str:
    return (getattr(error, "message", "") or str(error)).strip().splitlines()[0]
