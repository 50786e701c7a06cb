"""Stems as files: their names, their formats, and a recording in all its shapes through the whole task."""

import base64
import errno
import os
import resource
from pathlib import Path

import google_crc32c
import numpy as np
import pytest

from models.audio import read
from models.encode import encode
from models.saved import LoadedModel
from tests import signals
from tests.doubles import models as doubles
from tests.transforms.tracks import due
from transforms import gcs
from transforms.decode import Limits, decode
from transforms.errors import MisuseError, RunError, TrackError
from transforms.records import Task
from transforms.separate import separate
from transforms.stem_options import StemOptions, parse_stems
from transforms.stems import coding_of, folder_of

TASK = Task(name="stems", model_name="band", model_version="1")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return LoadedModel(doubles.separator(tmp_path_factory.mktemp("models")))


def tones(rate_hz, channels, seconds=1.5):
    """A voice at 1 kHz, which channels hold ever more softly, and something at 5 kHz (1.2 where the rate is low)."""
    times = np.arange(int(rate_hz * seconds)) / rate_hz
    voice = 0.4 * np.sin(2 * np.pi * 1000 * times)[:, None] * 0.8 ** np.arange(channels)
    other = 0.4 * np.sin(2 * np.pi * (5000 if rate_hz > 11_025 else 3800) * times)[:, None]
    return voice.astype(np.float32), (voice + other).astype(np.float32)


def separated(tmp_path, path, model, place=None, **options):
    """The rows for the file at `path`, and where the files lie: in `place`, or in a folder `out`."""
    decoder = Limits().start()
    try:
        recording = decode(due(path, (TASK,)), "run", decoder, Limits())
        place = place or tmp_path / "out"
        rows = separate(recording, TASK, model, lambda name: f"{place}/{name}", StemOptions(**options), None)
    finally:
        decoder.close()
    return {row.stem: row for row in rows}, place


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_rate_channels_length_and_sum(tmp_path, model, rate_hz, channels):
    voice, both = tones(rate_hz, channels)
    encode(tmp_path / "a.flac", both, rate_hz, codec="flac")
    rows, place = separated(tmp_path, tmp_path / "a.flac", model)
    source, _ = read(tmp_path / "a.flac")
    stems = {name: read(place / f"{name}.flac") for name in rows}
    for name, (samples, decoded) in stems.items():
        assert (samples.shape, decoded.info.sample_rate_hz, decoded.info.bits_per_sample) == (both.shape, rate_hz, 16)
        assert rows[name].frames == len(both)
    np.testing.assert_array_equal(stems["vocals"][0] + stems["accompaniment"][0], source)
    middle = slice(rate_hz // 2, -rate_hz // 2)
    if rate_hz > 8000:  # there, the mask's edge is near
        np.testing.assert_allclose(stems["vocals"][0][middle], voice[middle], atol=3e-3)


def test_six_channels(tmp_path, model):
    voice, both = tones(44_100, 6)
    encode(tmp_path / "a.flac", both, 44_100, codec="flac24")
    rows, place = separated(tmp_path, tmp_path / "a.flac", model)
    samples, decoded = read(place / "vocals.flac")
    assert samples.shape == both.shape
    assert decoded.info.bits_per_sample == rows["vocals"].bits_per_sample == 24
    np.testing.assert_allclose(samples[20_000:-20_000], voice[20_000:-20_000], atol=3e-3)


@pytest.mark.parametrize("format_", ["wav", "mp3", "opus", "m4a"])
def test_formats(tmp_path, model, format_):
    voice, both = tones(44_100, 2)
    encode(tmp_path / "a.wav", both, 44_100, codec="wav")
    rows, place = separated(tmp_path, tmp_path / "a.wav", model, format=format_)
    samples, decoded = read(place / f"vocals.{format_}")
    rate_hz = rows["vocals"].sample_rate_hz
    assert decoded.info.sample_rate_hz == rate_hz == (48_000 if format_ == "opus" else 44_100)
    assert decoded.info.codec == rows["vocals"].codec
    assert len(samples) == pytest.approx(len(both) * rate_hz / 44_100, abs=2500)
    assert np.std(samples[20_000:-20_000, 0]) == pytest.approx(np.std(voice[20_000:-20_000, 0]), rel=0.03)


def test_what_rows_tell_of_files(tmp_path, model):
    encode(tmp_path / "a.wav", tones(16_000, 1)[1], 16_000, codec="wav")
    rows, place = separated(tmp_path, tmp_path / "a.wav", model)
    for name, row in rows.items():
        data = (place / f"{name}.flac").read_bytes()
        digest = google_crc32c.value(data).to_bytes(4, "big")
        assert (row.uri, row.size_bytes) == (str(place / f"{name}.flac"), len(data))
        assert row.crc32c == base64.b64encode(digest).decode()
        assert row.voice_share > 0.8
        assert row.peak_dbfs == pytest.approx(20 * np.log10(0.4), abs=1)  # a bit more where the tone begins
        assert row.rms_dbfs == pytest.approx(20 * np.log10(0.4 / 2**0.5), abs=0.2)
        assert row.gain_db == 0


def test_a_lossy_source_beyond_full_scale_is_turned_down(tmp_path, model):
    loud = np.clip(signals.tone(1000, 1.5, 44_100, 1.0) * 1.3, -1.3, 1.3)
    encode(tmp_path / "a.wav", loud, 44_100, codec="pcm_f32le")
    rows, place = separated(tmp_path, tmp_path / "a.wav", model)
    assert rows["vocals"].gain_db == rows["accompaniment"].gain_db < -2
    assert np.abs(read(place / "vocals.flac")[0]).max() < 1


def test_silence_has_no_voice(tmp_path, model):
    encode(tmp_path / "a.flac", signals.silence(1.0, 44_100), 44_100, codec="flac")
    rows, place = separated(tmp_path, tmp_path / "a.flac", model)
    for name, row in rows.items():
        assert (row.voice_share, row.peak_dbfs) == (0, None)
        assert not read(place / f"{name}.flac")[0].any()


def test_only_what_is_asked_for(tmp_path, model):
    encode(tmp_path / "a.flac", tones(16_000, 1)[1], 16_000, codec="flac")
    rows, place = separated(tmp_path, tmp_path / "a.flac", model, stems=("accompaniment",))
    assert list(rows) == ["accompaniment"]
    assert [path.name for path in place.iterdir()] == ["accompaniment.flac"]


def test_a_codec_that_cannot_hold_it(tmp_path, model):
    encode(tmp_path / "a.flac", tones(44_100, 6)[1], 44_100, codec="flac")
    with pytest.raises(TrackError, match=r"mp3 cannot hold 6 channels.*--stem_format=wav") as caught:
        separated(tmp_path, tmp_path / "a.flac", model, format="mp3")
    assert not caught.value.transient
    assert list((tmp_path / "out").iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path, model):
    encode(tmp_path / "a.flac", tones(16_000, 1)[1], 16_000, codec="flac")
    (tmp_path / "out").write_text("a file, where a folder should be")
    with pytest.raises(RunError, match=r"cannot write .*vocals\.flac"):
        separated(tmp_path, tmp_path / "a.flac", model)


@pytest.mark.parametrize("format_", ["flac", "wav", "mp3"])
def test_a_full_disk_ends_the_run_and_leaves_nothing_half_written(tmp_path, model, format_):
    encode(tmp_path / "a.flac", tones(16_000, 1)[1], 16_000, codec="flac")
    _, place = separated(tmp_path, tmp_path / "a.flac", model, format=format_, place=tmp_path / "whole")
    room = min(path.stat().st_size for path in place.iterdir()) - 1
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_a_full_disk(name):  # only from here on: scratch files and the decoder need their room
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        return str(tmp_path / "out" / name)

    decoder = Limits().start()
    try:
        recording = decode(due(tmp_path / "a.flac", (TASK,)), "run", decoder, Limits())
        with pytest.raises(RunError, match=rf"cannot write .*{format_}: {os.strerror(errno.EFBIG)}"):
            separate(recording, TASK, model, on_a_full_disk, StemOptions(format=format_), None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        decoder.close()
    assert list((tmp_path / "out").iterdir()) == []


def test_stems_on_cloud_storage(tmp_path, model, bucket):
    encode(tmp_path / "a.flac", tones(16_000, 1)[1], 16_000, codec="flac")
    place = folder_of(f"gs://{bucket.name}/out", TASK, "../a", "crc32c:ab/+c=-12")
    rows, _ = separated(tmp_path, tmp_path / "a.flac", model, place=place)
    assert {found.uri for found in gcs.list_objects(f"gs://{bucket.name}/")} == {row.uri for row in rows.values()}
    total = 0
    for row in rows.values():
        stored = bucket.get_blob(gcs.split(row.uri)[1])
        assert (stored.size, stored.crc32c) == (row.size_bytes, row.crc32c)
        stored.download_to_filename(tmp_path / "down.flac")
        total = total + read(tmp_path / "down.flac")[0]
    np.testing.assert_array_equal(total, read(tmp_path / "a.flac")[0])


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("403", RunError, r"cannot write gs://.*vocals\.flac.*Storage Object User"),
        ("404", RunError, "check the bucket's name"),
        ("503", TrackError, r"gs://.*vocals\.flac could not be uploaded"),
        ("refused", TrackError, "could not be uploaded"),
    ],
)
def test_an_upload_that_fails(tmp_path, model, bucket, proxy, impatient, status, kind, words):
    encode(tmp_path / "a.flac", tones(16_000, 1)[1], 16_000, codec="flac")
    proxy.fail(status, "^POST .*uploadType", times=1000)
    with pytest.raises(kind, match=words) as caught:
        separated(tmp_path, tmp_path / "a.flac", model, place=f"gs://{bucket.name}/out")
    assert getattr(caught.value, "transient", True)
    assert list(gcs.list_objects(f"gs://{bucket.name}/")) == []


def test_a_recording_too_short_for_a_sample_of_the_model(tmp_path, model):
    encode(tmp_path / "a.wav", np.zeros(1), 96_000, codec="wav")
    with pytest.raises(TrackError, match="1 samples at 96000 Hz are none at 16000 Hz"):
        separated(tmp_path, tmp_path / "a.wav", model)


# Names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "track_id", ["..", "../../etc/passwd", "/", "a/../../b", "", "a\0b", "x" * 3000, "\udcff", "~"]
)
def test_hostile_ids_stay_within_their_folder(track_id):
    folder = folder_of("/out", TASK, track_id, "crc32c:ab/+c=-12")
    parts = Path(folder).relative_to("/out/stems/band/1").parts
    assert len(parts) == 2
    assert ".." not in parts
    assert all(len(part.encode()) < 200 for part in parts)


def test_ids_that_look_alike_do_not_clash():
    ids = ["a/b", "a_b", "a b", "A/b", "á/b", "a/b.", "x" * 300, "x" * 301]
    assert len({folder_of("/out", TASK, track_id, "t") for track_id in ids}) == len(ids)


def test_tokens_that_look_alike_do_not_clash():
    tokens = ["crc32c:ab+c==-1", "crc32c:ab/c==-1", "crc32c:ab-c==-1", "sha256:ab", "..", "."]
    folders = {folder_of("/out", TASK, "a", token) for token in tokens}
    assert len(folders) == len(tokens)
    assert all(Path(folder).parent == Path(folder_of("/out", TASK, "a", "t")).parent for folder in folders)
    assert not any(Path(folder).name.strip(".") == "" for folder in folders)


@pytest.mark.parametrize(("name", "version"), [("..", ".."), ("../..", "1"), ("me/band", "1"), ("band", "a/../../b")])
def test_cards_of_others_stay_within_the_stems(name, version):
    task = Task(name="stems", model_name=name, model_version=version)
    parts = Path(folder_of("/out", task, "a", "t")).relative_to("/out/stems").parts
    assert len(parts) == 4
    assert ".." not in parts


@pytest.mark.parametrize(
    ("format_", "rate_hz", "bits", "codec", "coded_hz"),
    [
        ("flac", 44_100, 16, "flac", 44_100),
        ("flac", 44_100, 8, "flac", 44_100),
        ("flac", 44_100, None, "flac24", 44_100),
        ("flac", 44_100, 32, "flac24", 44_100),
        ("wav", 44_100, 16, "pcm_s16le", 44_100),
        ("mp3", 37_800, 16, "mp3", 44_100),
        ("mp3", 96_000, 16, "mp3", 48_000),
        ("m4a", 96_000, 24, "aac", 96_000),
        ("opus", 8000, 16, "opus", 48_000),
    ],
)
def test_codings(format_, rate_hz, bits, codec, coded_hz):
    coding = coding_of(format_, rate_hz, 2, 1000, bits)
    assert (coding.encoder, coding.sample_rate_hz) == (codec, coded_hz)


def test_eight_hours_of_wav_are_rf64():
    assert coding_of("wav", 44_100, 2, 8 * 3600 * 44_100, 24).encoder == "rf64_s24le"


def test_options():
    both = parse_stems("accompaniment, vocals", "flac")
    assert both == StemOptions()
    assert (
        len({both.digest, parse_stems("vocals", "flac").digest, parse_stems("vocals,accompaniment", "wav").digest}) == 3
    )
    for names, format_, words in (
        ("drums", "flac", "no such stem: drums"),
        ("", "flac", "no stem is named"),
        ("vocals", "wma", "'wma' is none"),
    ):
        with pytest.raises(MisuseError, match=words):
            parse_stems(names, format_)
