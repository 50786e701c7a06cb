"""Beam's metrics under their names, as dashboards query them: a real pipeline on the local runner."""

import ast
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter

from pipelines.beam_options import parse
from pipelines.scan import build
from tests.pipelines.scans import catalogue
from transforms import metrics, tables
from transforms.catalogue import list_catalogue
from transforms.ledger import plan
from transforms.shares import Share
from transforms.tasks import parse_tasks

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Counters and distributions, by name, of a scan of three tracks and a text file."""
    folder = tmp_path_factory.mktemp("metrics")
    music = catalogue(folder / "music", 3)
    (music / "broken.mp3").write_text("This is no MP3")
    (folder / "ledger" / "tables").mkdir(parents=True)
    path = str(folder / "plan.parquet")
    ledger = tables.connect(str(folder / "ledger"))
    plan(list_catalogue(str(music)), ledger, parse_tasks("quality"), out_path=path)
    places = [f"--input={music}", f"--output={folder / 'out'}", "--tasks=quality"]
    options = parse([*places, "--run_id=test", f"--share={Share(path=path).to_json()}"])
    pipeline = beam.Pipeline(options=options)
    build(pipeline, options)
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace("songscan"))
    bytes_read = sum(file.stat().st_size for file in music.iterdir())
    kinds = ("counters", "distributions")
    return {m.key.metric.name: m.result for kind in kinds for m in found[kind]}, bytes_read


def test_counters(told):
    counts, bytes_read = told
    assert {name: counts[name] for name in counts if name.startswith(("tracks", "failures", "rows"))} == {
        "tracks_taken": 4,
        "tracks_written": 3,
        "tracks_dead_lettered": 1,
        "failures_decode_not_audio": 1,
        "rows_tracks": 4,
        "rows_quality": 3,
        "rows_dead_letters": 1,
        "rows_work": 4,
    }
    assert counts["audio_seconds"] == 3 * round(1.5)
    assert counts["bytes_read"] == bytes_read


def test_distributions(told):
    for name in ("decode_milliseconds", "decode_speed", "quality_milliseconds"):
        assert told[0][name].count == 3
        assert 0 < told[0][name].min <= told[0][name].max


def test_every_name_is_documented(told):
    known = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name in (*metrics.COUNTERS, *metrics.DISTRIBUTIONS):
        assert f"`{name}`" in known
    listed = {*metrics.COUNTERS, *metrics.DISTRIBUTIONS}
    assert {name for name in told[0] if not name.startswith("failures_")} <= listed


def test_every_reason_that_the_code_gives_is_known():
    """Or its failures would count as `other`."""
    raising = {"TrackError": 1, "AudioError": 0, "_ChildDiedError": 0, "Problem": 0, "trouble": 0}
    given = set()
    for path in [*(ROOT / "transforms").rglob("*.py"), *(ROOT / "models").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in raising:
                given |= {a.value for a in node.args[raising[node.func.id] :][:1] if isinstance(a, ast.Constant)}
                given |= {
                    k.value.value for k in node.keywords if k.arg == "reason" and isinstance(k.value, ast.Constant)
                }
    assert len(given) > 15
    assert given - set(metrics.REASONS) == set()
