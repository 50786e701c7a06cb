"""Scans and their publications, from the command line to BigQuery's tables, through the emulator."""

from __future__ import annotations

import os
import subprocess

from pipelines.cli import main
from pipelines.outcome import MISUSE, exit_status
from tests import bigquery
from tests.pipelines.scans import ROOT, catalogue, command, scan
from transforms import ledger, tables
from transforms.bigquery_ledger import subtract
from transforms.catalogue import list_catalogue
from transforms.tasks import QUALITY

NEWER = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from models.measures import version; version.VERSION = 'newer'"


def scan_with_a_newer_version(music, output, folder):
    """As if songscan had been brought up to date: all its processes think so."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NEWER)
    newer = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    subprocess.run(
        command(music, output, "--direct_num_workers=1"), cwd=ROOT, env=newer, capture_output=True, check=True
    )


def left_to_do(dataset, music, folder):
    """How many tracks are up to date by BigQuery, and how many are due by what it leaves."""
    rest = subtract(dataset, list_catalogue(str(music)), (QUALITY,), str(folder))
    plan = ledger.plan(rest.listing, tables.connect(str(folder)), (QUALITY,), out_path=str(folder / "plan.parquet"))
    return rest.up_to_date, plan.due


def test_scan_rerun_and_a_newer_version(dataset, proxy, tmp_path, capsys):
    music, output = catalogue(tmp_path / "music", 3), tmp_path / "out"
    publish = ["publish", str(output), f"bq://{dataset}"]
    scan(music, output, "--direct_num_workers=1")
    assert main(publish) == 0
    assert "work: 3 rows, from 1 parts\n" in capsys.readouterr().out
    first = bigquery.counts(dataset)
    assert {first[table] for table in ("tracks", "quality", "work")} == {3}
    assert left_to_do(dataset, music, tmp_path / "ledger") == (3, 0)

    scan(music, output, "--direct_num_workers=1")
    for _ in range(2):
        assert main(publish) == 0
        assert bigquery.counts(dataset) == {**first, "runs": 2, "parts": first["parts"] + 1}
    assert capsys.readouterr().out.endswith(f"{dataset} has all of it already\n")

    scan_with_a_newer_version(music, output, tmp_path / "newer")
    assert main(publish) == 0
    assert [bigquery.counts(dataset)[table] for table in ("quality", "work", "runs")] == [6, 6, 3]
    now = bigquery.ask(dataset, "SELECT model_version, COUNT(*) AS n FROM quality_now GROUP BY model_version")
    assert now == [{"model_version": "newer", "n": 3}]
    versions = bigquery.ask(dataset, "SELECT DISTINCT model_version AS v FROM work_history ORDER BY v")
    assert [row["v"] for row in versions] == sorted([QUALITY.model_version, "newer"])


def test_what_cannot_be_published_is_misuse(tmp_path, capsys):
    assert exit_status(main, ["publish", str(tmp_path), "bq://p.music"]) == MISUSE
    assert "is not an output of songscan" in capsys.readouterr().err
    assert exit_status(main, ["publish", str(tmp_path), "gs://p/music"]) == MISUSE
    assert "Write bq://PROJECT.DATASET" in capsys.readouterr().err
