"""One catalogue of everything that goes wrong with files, and good tracks between them that must not notice."""

import os
import struct

import numpy as np
import pytest
import soundfile

from tests import signals
from tests.pipelines.scans import last_run, rows, scan

RATE = 16_000
GOOD = signals.music(2.0, RATE, 1, seed=1)

EMOJI_NAME = "🎵 夜曲 \"quoted\" 'single' [bold].wav"
BREAK_NAME = "line\nbreak\tand\x1b[31mescape.wav"
LONG_NAME = "长" * 82 + ".wav"  # 250 bytes, the most that file systems take being 255

# track id -> reason of its dead letter
FAILING = {
    "empty.mp3": "empty_file",
    "random.flac": "not_audio",
    "text.mp3": "not_audio",
    "nan.wav": "non_finite",
    "infinite.wav": "non_finite",
    "no_samples.wav": "too_short",
    "stub.mp3": "not_decodable",
    "pipe.wav": "not_a_file",
    "dangling.wav": "dangling_link",
    "truncated_to_nothing.flac": "not_decodable",
    "nine_channels.wav": "unsupported",
    "rate_384k.wav": "unsupported",
    "rate_1.wav": "unsupported",
}
FINE = ["wrong_extension.wav", "no_extension", "ten_samples.wav", EMOJI_NAME, BREAK_NAME, LONG_NAME, "good.wav"]
DAMAGED = ["truncated.flac", "truncated.mp3", "truncated.wav", "truncated.ogg", "claims_hours.wav", "scribbled.mp3"]


def good(folder, name, form="wav16"):
    """A good track under a hostile name."""
    path = signals.write(folder, form, GOOD, RATE, stem="tmp")
    path.rename(folder / name)
    return folder / name


def write_hostile(folder):
    folder.mkdir()
    generator = np.random.default_rng(0)
    long = signals.music(8.0, 44_100, 2, seed=2)
    for name in (EMOJI_NAME, BREAK_NAME, LONG_NAME, "good.wav"):
        good(folder, name)
    good(folder, "wrong_extension.wav", "flac")
    good(folder, "no_extension", "flac")
    for form, extension in (("flac", "flac"), ("mp3", "mp3"), ("wav16", "wav"), ("vorbis", "ogg")):
        signals.truncated(signals.write(folder, form, long, 44_100, stem="truncated"), 0.5)
        assert (folder / f"truncated.{extension}").exists()
    signals.scribbled(signals.write(folder, "mp3", long, 44_100, stem="scribbled"), 0.5, 1500)
    signals.truncated(signals.write(folder, "flac", long, 44_100, stem="truncated_to_nothing"), 0.002)
    (folder / "empty.mp3").touch()
    (folder / "random.flac").write_bytes(generator.bytes(50_000))
    (folder / "text.mp3").write_text("These are words, not music.\n" * 400)
    (folder / "notes.txt").write_text("These are words, not music.\n" * 400)
    soundfile.write(folder / "ten_samples.wav", GOOD[:10], RATE)
    soundfile.write(folder / "no_samples.wav", GOOD[:0], RATE)
    for name, value in (("nan.wav", np.nan), ("infinite.wav", np.inf)):
        broken = GOOD[:, 0].copy()
        broken[8000] = value
        soundfile.write(folder / name, broken, RATE, subtype="FLOAT")
    signals.truncated(signals.write(folder, "mp3", GOOD, RATE, stem="stub"), 0.05)
    claiming = good(folder, "claims_hours.wav")
    content = bytearray(claiming.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 4 * 3600 * RATE * 2)
    claiming.write_bytes(content)
    soundfile.write(folder / "nine_channels.wav", np.zeros((RATE, 9)), RATE)
    for name, rate_hz in (("rate_384k.wav", 384_000), ("rate_1.wav", 1)):
        soundfile.write(folder / name, GOOD, rate_hz)
    os.mkfifo(folder / "good.lrc")  # lyrics by its name; whoever opens it to read waits for ever
    os.mkfifo(folder / "pipe.wav")
    (folder / "dangling.wav").symlink_to("nowhere.wav")
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    write_hostile(folder / "music")
    scan(folder / "music", folder / "out", "--max_failed_fraction=1")
    return folder / "out"


def test_every_file_is_accounted_for(hostile):
    run = last_run(hostile)
    assert run["listed"] == len(FAILING) + len(FINE) + len(DAMAGED) + 2
    assert run["not_audio"] == 2  # notes.txt and a FIFO that is no sound
    assert run["dead_lettered"] == len(FAILING)
    assert run["written"] == len(FINE) + len(DAMAGED)


@pytest.mark.parametrize(("track", "reason"), FAILING.items())
def test_dead_letters_say_why_and_what_to_do(hostile, track, reason):
    (letter,) = [r for r in rows(hostile, "FROM dead_letters") if r["track_id"] == track]
    assert letter["reason"] == reason, letter
    assert letter["error"]
    assert letter["advice"]
    assert not [r for r in rows(hostile, "FROM quality") if r["track_id"] == track]


@pytest.mark.parametrize("track", FINE)
def test_good_files_under_bad_names_are_fine(hostile, track):
    (facts,) = [r for r in rows(hostile, "FROM tracks") if r["track_id"] == track]
    assert facts["damaged_packets"] == 0
    assert facts["decoded_fraction"] in (None, 1.0)
    assert [r["track_id"] for r in rows(hostile, "FROM quality") if r["track_id"] == track] == [track]


@pytest.mark.parametrize("track", DAMAGED)
def test_what_can_be_saved_of_damaged_files_is_measured(hostile, track):
    (facts,) = [r for r in rows(hostile, "FROM tracks") if r["track_id"] == track]
    assert facts["decoded_fraction"] < 1 or facts["damaged_packets"] > 0
    (quality,) = [r for r in rows(hostile, "FROM quality") if r["track_id"] == track]
    assert quality["score"] < 100
    assert "damage" in {part["part"] for part in quality["score_parts"]}


def test_good_tracks_measure_as_they_do_alone(hostile, tmp_path):
    (tmp_path / "music").mkdir()
    good(tmp_path / "music", "good.wav")
    scan(tmp_path / "music", tmp_path / "out")
    query = "SELECT * EXCLUDE (run_id, time) FROM quality WHERE track_id = 'good.wav'"
    assert rows(hostile, query) == rows(tmp_path / "out", query)


def test_ids_never_become_paths(tmp_path):
    (tmp_path / "deep" / "music").mkdir(parents=True)
    path = good(tmp_path / "deep" / "music", "good.wav")
    ids = ["../../escape", "/etc/passwd", "a\nb", "夜" * 83, "🎵", "", "x' OR 1=1 --"]
    lines = ["track_id,uri", *(f'"{i}","{path}"' for i in ids if i)]
    manifest = tmp_path / "deep" / "catalogue.csv"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    scan(manifest, tmp_path / "deep" / "out")
    assert {r["track_id"] for r in rows(tmp_path / "deep" / "out", "FROM quality")} == {i for i in ids if i}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep"]
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["catalogue.csv", "music", "out"]


def test_a_file_gone_between_listing_and_reading_is_due_again(tmp_path):
    manifest = tmp_path / "catalogue.jsonl"
    manifest.write_text('{"track_id": "late", "uri": "late.wav"}\n')
    scan(manifest, tmp_path / "out", "--max_failed_fraction=1")
    (work,) = rows(tmp_path / "out", "FROM work")
    assert (work["status"], work["attempts"]) == ("failed_transient", 1)
    scan(manifest, tmp_path / "out", "--max_failed_fraction=1")
    (work,) = rows(tmp_path / "out", "FROM work")
    assert (work["status"], work["attempts"]) == ("failed_transient", 2)
    good(tmp_path, "late.wav")
    scan(manifest, tmp_path / "out")
    assert rows(tmp_path / "out", "SELECT status FROM work") == [{"status": "ok"}]
    assert rows(tmp_path / "out", "FROM dead_letters") == []


def test_an_hour_of_silence(tmp_path):
    (tmp_path / "music").mkdir()
    signals.write(tmp_path / "music", "flac", np.zeros((3600 * 8000, 1), np.float32), 8000, stem="silence")
    scan(tmp_path / "music", tmp_path / "out")
    (quality,) = rows(tmp_path / "out", "FROM quality")
    assert quality["integrated_lufs"] is None
    assert quality["leading_silence_s"] == 3600.0
    assert quality["true_peak_dbtp"] is None
