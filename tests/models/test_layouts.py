"""Layouts of training data: which part is where, what belongs together, and what is refused."""

import numpy as np
import pytest

from models.encode import encode
from models.layouts import DataError, held_out, read_layout

RATE_HZ = 16_000


def noise(seed, channels=1, frames=RATE_HZ):
    return np.random.default_rng(seed).normal(0, 0.1, (frames, channels)).astype(np.float32)


@pytest.fixture
def clips(tmp_path):
    """Two songs of a singer in MIR-1K's layout."""
    for name in ("amy_1_01.wav", "amy_1_02.flac", "amy_2_01.wav"):
        encode(tmp_path / name, noise(1, 2), RATE_HZ, codec=name.rsplit(".", 1)[1])
    return tmp_path


def test_mir1k_has_the_accompaniment_left_and_the_voice_right(clips):
    songs = read_layout(f"mir1k:{clips}")
    assert [(song.name, song.group) for song in songs] == [
        ("amy_1_01", "amy_1"),
        ("amy_1_02", "amy_1"),
        ("amy_2_01", "amy_2"),
    ]
    for side, part in enumerate(("accompaniment", "voice")):
        np.testing.assert_allclose(songs[0].parts[part].read(RATE_HZ), noise(1, 2)[:, side : side + 1], atol=2e-5)


def test_mono_clips_are_refused(tmp_path):
    encode(tmp_path / "amy_1_01.wav", noise(1), RATE_HZ, codec="wav")
    with pytest.raises(DataError, match="has 1 channel; its layout wants stereo"):
        read_layout(f"mir1k:{tmp_path}")[0].parts["voice"].read(RATE_HZ)


def test_stems_are_summed_and_the_mixture_left_out(tmp_path):
    parts = {name: noise(seed, 2) for seed, name in enumerate(("vocals", "drums", "bass", "other"))}
    (tmp_path / "train" / "A Song").mkdir(parents=True)
    for name, samples in {**parts, "mixture": noise(9, 2)}.items():
        encode(tmp_path / "train" / "A Song" / f"{name}.wav", samples, RATE_HZ, codec="pcm_f32le")
    (song,) = read_layout(f"musdb:{tmp_path}")
    accompaniment = parts["drums"] + parts["bass"] + parts["other"]
    np.testing.assert_allclose(song.parts["voice"].read(RATE_HZ), parts["vocals"], atol=1e-6)
    np.testing.assert_allclose(song.parts["accompaniment"].read(RATE_HZ), accompaniment, atol=1e-6)


def test_a_song_without_vocals_is_told(tmp_path):
    encode(tmp_path / "drums.wav", noise(1), RATE_HZ, codec="wav")
    with pytest.raises(DataError, match=r"a song needs vocals\.wav"):
        read_layout(f"stems:{tmp_path}")


def test_stems_of_different_lengths_are_told(tmp_path):
    for name, frames in (("vocals", 1000), ("bass", 1000), ("drums", 999)):
        encode(tmp_path / f"{name}.wav", noise(1, frames=frames), RATE_HZ, codec="wav")
    with pytest.raises(DataError, match=r"stems differ in shape: bass\.wav \(1000, 1\), drums\.wav \(999, 1\)"):
        read_layout(f"stems:{tmp_path}")[0].parts["accompaniment"].read(RATE_HZ)


@pytest.mark.parametrize(("kind", "part"), [("music", "music"), ("instrumental", "accompaniment"), ("noise", "noise")])
def test_folders_of_whole_files(tmp_path, kind, part):
    (tmp_path / "deep").mkdir()
    encode(tmp_path / "deep" / "one.wav", noise(1), RATE_HZ, codec="wav")
    (song,) = read_layout(f"{kind}:{tmp_path}")
    assert (song.name, list(song.parts)) == ("deep/one", [part])


def test_another_rate(tmp_path):
    encode(tmp_path / "one.wav", noise(1), RATE_HZ, codec="wav")
    assert read_layout(f"noise:{tmp_path}")[0].parts["noise"].read(8000).shape == (8000, 1)


def test_a_file_that_is_no_audio_is_named(tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"broken\.wav cannot be decoded"):
        read_layout(f"noise:{tmp_path}")[0].parts["noise"].read(8000)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("mir2k:/x", "KIND one of mir1k, musdb"),
        ("mir1k", "want KIND:PATH"),
        ("mir1k:/not/there", "there is no folder '/not/there'"),
    ],
)
def test_what_is_refused(source, words):
    with pytest.raises(DataError, match=words):
        read_layout(source)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no audio files"):
        read_layout(f"mir1k:{tmp_path}")


def test_a_group_is_never_split(clips):
    trained, measured = held_out(read_layout(f"mir1k:{clips}"), ("amy_1",))
    assert [song.name for song in trained] == ["amy_2_01"]
    assert [song.name for song in measured] == ["amy_1_01", "amy_1_02"]
    with pytest.raises(DataError, match=r"no song belongs to .* bob; there are amy_1, amy_2"):
        held_out(read_layout(f"mir1k:{clips}"), ("bob",))
