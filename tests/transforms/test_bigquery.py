"""What BigQuery says when it cannot be used as asked, in words."""

from __future__ import annotations

import pytest
from google.auth.exceptions import DefaultCredentialsError

from tests import bigquery as served
from transforms import bigquery
from transforms.bigquery import Dataset, parse_results
from transforms.errors import MisuseError, RunError


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("p.music", "it begins with bq://"),
        ("bq://music", "the project is missing"),
        ("bq://p:music", "with a dot between them"),
        ("bq://p/music", "with a dot between them"),
        ("bq://p.music.tags", "without a table"),
        ("bq://p.mu-sic", "Write bq://PROJECT.DATASET$"),
        ("bq://p.music`; DROP TABLE x; --", "Write bq://PROJECT.DATASET$"),
        ("bq://", "Write bq://PROJECT.DATASET$"),
    ],
)
def test_what_is_no_dataset_is_refused_with_the_likely_mistake(uri, advice):
    with pytest.raises(MisuseError, match=advice) as raised:
        parse_results(uri)
    assert repr(uri) in raised.value.message


def test_a_project_of_an_organisation():
    assert parse_results("bq://example.com:music-1.Catalogue_2") == Dataset("example.com:music-1", "Catalogue_2")


def test_a_dataset_that_is_not_there(bqproxy, dataset):
    with pytest.raises(MisuseError, match=r"music-1\.nowhere cannot be opened.*Create it.* bq mk --dataset"):
        bigquery.connect(Dataset("music-1", "nowhere"))


def test_no_permission_names_the_roles(bqproxy, dataset):
    bqproxy.fault = lambda request, _: served.refused(403, "accessDenied", "Permission bigquery.datasets.get denied")
    with pytest.raises(MisuseError, match=r"Permission .* denied\. Grant .*Data Editor.*Job User"):
        bigquery.connect(dataset)


def test_no_credentials(monkeypatch):
    def none(*_, **__):
        raise DefaultCredentialsError("Your default credentials were not found.\nSee ...")

    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    monkeypatch.setattr("google.auth.default", none)
    with pytest.raises(MisuseError, match=r"\(Your default credentials were not found\.\)\. Run: gcloud auth"):
        bigquery.connect(Dataset("music-1", "made"))


def test_bigquery_out_of_reach(monkeypatch):
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{served.free_port()}")
    monkeypatch.setattr(bigquery, "DEADLINE_S", 0.5)
    with pytest.raises(RunError, match=r"cannot be reached.*network"):
        bigquery.connect(Dataset("music-1", "made"))


@pytest.mark.parametrize(
    ("reason", "begun", "words"),
    [
        ("jobBackendError", 4, r"a disk was lost\. Run the same command again, later"),
        ("quotaExceeded", 1, r"a disk was lost\. Run the same command again, later if this is a quota"),
        ("invalidQuery", 1, r"a disk was lost\. Nothing is lost: mend what BigQuery names"),
        ("accessDenied", 1, r"a disk was lost\. Grant this account the roles"),
    ],
)
def test_a_job_begins_anew_only_for_what_passes(bqproxy, dataset, reason, begun, words):
    bqproxy.fault = served.FaultAt(
        f"x-{reason}", lambda r, _: served.failed_job(r, reason, "a disk was lost"), times=99
    )
    with pytest.raises((RunError, MisuseError), match=f"The question fails: .*{words}"):
        bigquery.connect(dataset).query("SELECT 1", f"x-{reason}", "The question fails")
    assert bqproxy.fault.seen == [f"x-{reason}-{attempt}" for attempt in range(begun)]
