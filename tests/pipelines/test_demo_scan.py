"""The demonstration catalogue, scanned: every file's facts, its planted fault, and nothing else."""

import pytest

from pipelines.demo import expectations, make_demo
from tests.pipelines.scans import last_run, rows, scan

TRACKS = [pytest.param(e, id=e.name) for e in expectations() if e.outcome == "written"]
FACTS = ("title", "artist", "lyrics", "container", "codec", "lossless", "bits_per_sample", "sample_rate_hz", "channels")


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder / "demo")
    scan(folder / "demo", folder / "out", "--max_failed_fraction=0.2")
    return folder / "out"


def row_of(output, table, name):
    (row,) = [row for row in rows(output, f"FROM {table}") if row["track_id"] == name]
    return row


def test_outcomes(output):
    run = last_run(output)
    outcomes = [expected.outcome for expected in expectations()]
    assert run["listed"] == len(outcomes)
    assert {name: run[name] for name in ("written", "dead_lettered", "not_audio")} == {
        name: outcomes.count(name) for name in ("written", "dead_lettered", "not_audio")
    }
    assert [row["reason"] for row in rows(output, "FROM dead_letters")] == ["not_audio"]


@pytest.mark.parametrize("expected", TRACKS)
def test_facts(output, expected):
    facts = row_of(output, "tracks", expected.name)
    assert {name: facts[name] for name in FACTS} == {name: getattr(expected, name) for name in FACTS}
    tolerance_s = 1e-9 if expected.lossless else 0.1
    assert facts["duration_s"] == pytest.approx(expected.duration_s, abs=tolerance_s)
    if expected.claimed_duration_s is not None:
        assert facts["claimed_duration_s"] == pytest.approx(expected.claimed_duration_s, abs=tolerance_s)
        assert facts["decoded_fraction"] == pytest.approx(expected.duration_s / expected.claimed_duration_s, abs=0.02)


@pytest.mark.parametrize("expected", TRACKS)
def test_loudness_and_planted_faults(output, expected):
    quality = row_of(output, "quality", expected.name)
    if expected.integrated_lufs is not None:
        assert quality["integrated_lufs"] == pytest.approx(expected.integrated_lufs, abs=0.1)
    assert {part["part"] for part in quality["score_parts"]} == expected.findings
    assert quality["hum_hz"] == expected.hum_hz
    assert quality["false_stereo"] == expected.false_stereo
    assert tuple(quality["missing_channels"]) == expected.missing_channels
    assert quality["lossy_source"] in ((True,) if "lossy_source" in expected.findings else (False, None))
    if expected.silence_s is not None:
        start_s, stop_s = expected.silence_s
        assert quality["longest_inner_silence_at_s"] == pytest.approx(start_s, abs=0.3)
        assert quality["longest_inner_silence_s"] == pytest.approx(stop_s - start_s, abs=0.6)
