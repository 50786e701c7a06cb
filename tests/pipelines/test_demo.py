import itertools

import av
import mutagen
import numpy as np
import pytest
import soundfile

from models import audio
from pipelines import demo, demo_music
from pipelines.demo import expectations, make_demo


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "demo"
    assert make_demo(folder) == expectations()
    return folder


TRACKS = [pytest.param(e, id=e.name) for e in expectations() if e.outcome == "written"]


def decoded(path):
    """By FFmpeg alone, [frames, channels]."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt")
        blocks = []
        try:
            for frame in itertools.chain(container.decode(audio=0), [None]):
                blocks += [f.to_ndarray().reshape(-1, len(f.layout.channels)) for f in resampler.resample(frame)]
        except av.error.InvalidDataError:
            pass
        return np.concatenate(blocks)


def test_the_folder_holds_what_is_expected_and_nothing_else(folder):
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {expected.name for expected in expectations()}
    assert not list(folder.parent.glob(".songscan-demo-*"))


def test_all_formats_rates_and_channels_are_there():
    tracks = [e for e in expectations() if e.outcome == "written"]
    assert {e.sample_rate_hz for e in tracks} == {8000, 22050, 32000, 44100, 48000, 96000}
    assert {e.channels for e in tracks} == {1, 2}
    codecs = {"pcm_s16le", "pcm_f32le", "pcm_s16be", "flac", "mp3", "vorbis", "opus", "aac", "alac"}
    assert {e.codec for e in tracks} == codecs
    assert all(10 <= (e.claimed_duration_s or e.duration_s) <= 20 for e in tracks)


def test_making_again_makes_nothing(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    make_demo(str(folder))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_only_what_is_missing_is_made(folder):
    gone, kept = folder / "Orchard.m4a", folder / "Long Distance.wav"
    data, kept_at = gone.read_bytes(), kept.stat().st_mtime_ns
    gone.unlink()
    make_demo(folder)
    assert gone.read_bytes() == data
    assert kept.stat().st_mtime_ns == kept_at


@pytest.mark.parametrize("expected", TRACKS)
def test_facts_of_the_file(folder, expected):
    info = audio.probe(folder / expected.name)
    for fact in ("container", "codec", "lossless", "bits_per_sample", "sample_rate_hz", "channels", "title", "artist"):
        assert getattr(info, fact) == getattr(expected, fact)


@pytest.mark.parametrize("expected", TRACKS)
def test_loudness_and_length_by_ffmpeg(folder, expected):
    samples = decoded(folder / expected.name)
    lufs = demo_music.loudness_lufs(samples, expected.sample_rate_hz)
    assert lufs == pytest.approx(expected.integrated_lufs, abs=0.1)
    slack_s = 0.5 / expected.sample_rate_hz if expected.lossless else 0.1
    assert len(samples) / expected.sample_rate_hz == pytest.approx(expected.duration_s, abs=slack_s)


@pytest.mark.parametrize("expected", TRACKS)
def test_nothing_overshoots_but_what_is_to_be_clipped(folder, expected):
    peak = np.abs(decoded(folder / expected.name)).max()
    assert (peak > 0.99) == ("clipping" in expected.findings)


def named(finding_of):
    (expected,) = [e for e in expectations() if finding_of(e)]
    return expected


def test_the_planted_faults_are_there(folder):
    def samples(title):
        return decoded(next(folder.rglob(f"{title}.*")))

    hot = samples("Too Hot")
    assert 0.001 < np.mean(np.abs(hot) > 0.999) < 0.1
    left, right = samples("Narrow Street").T
    assert np.array_equal(left, right)
    left, right = samples("One Ear").T
    assert not right.any()
    assert left.any()
    start_s, end_s = named(lambda e: e.silence_s).silence_s
    lost = samples("Lost Beat")
    assert not lost[round(start_s * 48000) : round(end_s * 48000)].any()
    assert np.abs(lost[: round(start_s * 48000)]).max() > 0.1
    amplifier = samples("Old Amplifier").mean(axis=1)
    spectrum = np.abs(np.fft.rfft(amplifier * np.hanning(len(amplifier))))
    at = [round(hz * len(amplifier) / 44100) for hz in (50, 150, 250)]
    assert all(spectrum[i] > 8 * np.median(spectrum[i - 60 : i + 60]) for i in at)
    second, first = (np.abs(np.fft.rfft(samples(t)[:, 0])) ** 2 for t in ("Second Hand", "Old Amplifier"))
    assert top_share(second, 18.0) < 1e-3 * top_share(first, 13.0)


def top_share(power, duration_s):
    """Of the power above 19 kHz."""
    return power[round(19_000 * duration_s) :].sum() / power.sum()


def test_the_truncated_file_claims_its_whole_length(folder):
    expected = named(lambda e: e.claimed_duration_s)
    samples, told = audio.read(folder / expected.name)
    assert told.info.claimed_duration_s == pytest.approx(expected.claimed_duration_s, abs=0.1)
    assert len(samples) / 44100 == pytest.approx(expected.duration_s, abs=0.1)
    assert told.decoded_fraction == pytest.approx(demo.CUT_SHARE, abs=0.01)


def test_what_is_no_sound_is_none(folder):
    for expected in expectations():
        if expected.outcome != "written":
            with pytest.raises(audio.AudioError):
                audio.probe(folder / expected.name)
    with av.open(str(folder / "cover.jpg")) as picture:
        assert picture.streams.video[0].width == 96


def test_lyrics_lie_beside_the_track(folder):
    (expected,) = [e for e in expectations() if e.lyrics]
    assert (folder / expected.name).with_suffix(".lrc").read_text() == expected.lyrics


def test_other_programs_read_the_tags(folder):
    tags = mutagen.File(folder / "Glass Mountain.flac")
    assert (tags["title"], tags["artist"]) == (["Glass Mountain"], [demo.ARTIST])
    assert soundfile.SoundFile(folder / "Morning Train.wav").title == "Morning Train"


# The music ------------------------------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_music_and_another_is_not():
    piece = demo_music.Piece(1, 4, 100)
    again = demo_music.perform(piece, 8000)
    assert np.array_equal(demo_music.perform(piece, 8000), again)
    assert not np.allclose(demo_music.perform(demo_music.Piece(2, 4, 100), 8000), again)


def test_the_music_is_clean():
    for rate_hz in (8000, 44100):
        music = demo_music.perform(demo_music.Piece(3, 6, 104), rate_hz)
        assert music.shape == (6 * rate_hz, 2)
        assert np.abs(music).max() == pytest.approx(1)
        assert np.abs(music.mean(axis=0)).max() < 1e-9
        assert 0.3 < np.corrcoef(music.T)[0, 1] < 0.95
        assert np.abs(music[[0, -1]]).max() < 1e-3


def test_loudness_of_a_known_tone():
    time_s = np.arange(5 * 48000) / 48000
    tone = 10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * time_s)
    assert demo_music.loudness_lufs(np.stack([tone, tone], axis=1), 48000) == pytest.approx(-23, abs=0.05)
    assert demo_music.loudness_lufs(tone[:, None], 48000) == pytest.approx(-26.01, abs=0.05)
