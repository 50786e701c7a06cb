"""The textfile for Prometheus: read back by prometheus_client's own parser."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.prometheus import LAST_SUCCESS, write_textfile
from tests.transforms.outputs import failure, opening, row, write
from transforms import tables
from transforms.errors import RunError
from transforms.records import Run
from transforms.summary import summarise

ROOT = Path(__file__).parents[2]
HOSTILE = 'a "quoted"\\ line\nbreak'


@pytest.fixture
def summary(tmp_path):
    rows = opening("a", duration_s=60.0, size_bytes=1000, wall_s=2.0)
    write(tmp_path, "run-000", rows + failure("b", "", stage="decode", reason=HOSTILE, attempts=1))
    write(tmp_path, "run-000-run", [row(Run, status="done", listed=2, written=1, dead_lettered=1, wall_s=30.0)])
    return summarise(tables.connect(str(tmp_path)), "run-000")


def samples(path):
    text = path.read_text(encoding="utf-8")
    return {
        (s.name, *sorted(s.labels.items())): s.value for f in text_string_to_metric_families(text) for s in f.samples
    }


def test_what_is_told(summary, tmp_path):
    path = tmp_path / "songscan.prom"
    write_textfile(str(path), summary, success=True, now_s=1000.0)
    told = samples(path)
    assert told["songscan_run_timestamp_seconds",] == told[LAST_SUCCESS,] == 1000.0
    assert told["songscan_run_success",] == 1
    assert told["songscan_tracks", ("outcome", "written")] == 1
    assert told["songscan_tracks", ("outcome", "withheld")] == 0
    assert told["songscan_audio_seconds",] == 60.0
    assert told["songscan_read_bytes",] == 1000
    assert told["songscan_run_duration_seconds",] == 30.0
    assert told["songscan_failures", ("reason", HOSTILE), ("stage", "decode")] == 1
    assert told["songscan_task_duration_seconds", ("model", "quality"), ("task", "quality")] == 2.0
    assert told["songscan_drift_flags",] == 0


def test_every_family_has_help_and_type_and_is_documented(summary, tmp_path):
    path = tmp_path / "songscan.prom"
    write_textfile(str(path), summary, success=True)
    text = path.read_text(encoding="utf-8")
    documented = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name in {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}:
        assert f"# HELP {name} " in text
        assert f"# TYPE {name} gauge" in text
        assert f"`{name}" in documented


def test_the_last_success_outlives_failures(summary, tmp_path):
    path = tmp_path / "songscan.prom"
    write_textfile(str(path), None, success=False, now_s=500.0)
    assert (LAST_SUCCESS,) not in samples(path)
    write_textfile(str(path), summary, success=True, now_s=1000.0)
    write_textfile(str(path), None, success=False, now_s=2000.0)
    write_textfile(str(path), summary, success=False, now_s=3000.0)
    told = samples(path)
    assert (told[LAST_SUCCESS,], told["songscan_run_timestamp_seconds",], told["songscan_run_success",]) == (
        1000,
        3000,
        0,
    )


def test_a_file_of_somebody_else_is_replaced(tmp_path):
    path = tmp_path / "songscan.prom"
    path.write_bytes(b"\xff no metrics {")
    write_textfile(str(path), None, success=True, now_s=1.0)
    assert samples(path)[LAST_SUCCESS,] == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["songscan.prom"]


def test_a_folder_that_is_gone_is_told(tmp_path):
    with pytest.raises(RunError, match=r"--prometheus_textfile=.*/gone/x\.prom"):
        write_textfile(str(tmp_path / "gone" / "x.prom"), None, success=True)


def test_alerts_name_metrics_that_there_are(summary, tmp_path):
    path = tmp_path / "songscan.prom"
    write_textfile(str(path), summary, success=True)
    rules = (ROOT / "deploy" / "prometheus" / "songscan.rules.yml").read_text(encoding="utf-8")
    named = {name for line in re.findall(r"expr: (.*)", rules) for name in re.findall(r"songscan_\w+", line)}
    assert named >= {LAST_SUCCESS, "songscan_drift_flags"}
    assert named <= {name for name, *_ in samples(path)}
