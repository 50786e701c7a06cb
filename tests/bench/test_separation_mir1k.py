"""Scoring on MIR-1K's layout: clips of our own, of which the answers are known."""

import csv
import re

import numpy as np
import pytest

from bench import scoring
from bench.separation_mir1k import Score, at_0_db, by_singer, by_system, clips, main, score, weighted
from bench.separators import oracle, repet, systems
from models.layouts import DataError
from tests.signals import music, noise, write

RATE_HZ = 16_000
SYSTEMS = {
    "perfect": lambda mixture, voice, accompaniment, rate_hz: voice,
    "nothing": lambda mixture, voice, accompaniment, rate_hz: mixture / 2,
    "filtered": lambda mixture, voice, accompaniment, rate_hz: np.convolve(voice[:, 0], [0.0, 0.7, 0.0, -0.2])[
        : len(voice), None
    ].astype(np.float32),
}


def clip(folder, name, form="wav16", seconds=2.0, seed=0):
    sides = np.stack([music(seconds, RATE_HZ, 1, seed)[:, 0], noise(seconds, RATE_HZ, 0.02, seed)], axis=1)
    return write(folder, form, sides, RATE_HZ, stem=name)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Wavfile").mkdir()
    (tmp_path / "UndividedWavfile").mkdir()
    (tmp_path / "LyricsWav").mkdir()
    clip(tmp_path / "UndividedWavfile", "amy_1", seconds=4.0)
    write(tmp_path / "LyricsWav", "wav16", noise(1.0, RATE_HZ), RATE_HZ, stem="Ani_1_01")
    for number, name in enumerate(("abjones_1_01", "amy_1_01", "Ani_1_01", "Ani_1_02", "bobon_2_01")):
        clip(tmp_path / "Wavfile", name, ("wav16", "flac")[number % 2], 1.0 + number / 2, number)
    return tmp_path


def test_readings_and_whole_songs_are_no_clips(folder):
    assert [song.name for song in clips(folder)] == ["Ani_1_01", "Ani_1_02", "abjones_1_01", "amy_1_01", "bobon_2_01"]
    assert clips(folder / "Wavfile") == clips(folder)


def of(scores, system, part, name="nsdr_db"):
    return next(getattr(its, name) for its in scores if (its.system, its.part) == (system, part))


def test_what_is_right_is_told_and_doing_nothing_gains_nothing(folder):
    scores = score(clips(folder)[2], SYSTEMS)
    assert of(scores, "perfect", "voice", "sdr_db") > 80
    assert of(scores, "perfect", "accompaniment", "sdr_db") > 80
    assert of(scores, "nothing", "voice") == pytest.approx(0, abs=1e-6)
    assert of(scores, "nothing", "accompaniment") == pytest.approx(0, abs=1e-6)
    assert of(scores, "filtered", "voice", "sdr_db") > 35, "the accompaniment's taps end with the clip"
    assert of(scores, "filtered", "accompaniment", "sdr_db") < 20, "what the filter takes away stays there"


def test_mixtures_are_at_0_db(folder):
    seen = {}

    def watch(mixture, voice, accompaniment, rate_hz):
        seen.update(mixture=mixture, voice=voice, accompaniment=accompaniment, rate_hz=rate_hz)
        return voice

    found = score(clips(folder)[0], {"watch": watch})
    assert seen["rate_hz"] == RATE_HZ
    assert seen["mixture"].shape == (len(seen["voice"]), 1)
    assert np.sum(seen["voice"] ** 2) == pytest.approx(np.sum(seen["accompaniment"] ** 2), rel=1e-5)
    assert np.array_equal(seen["mixture"], seen["voice"] + seen["accompaniment"])
    true = scoring.parts(clips(folder)[0])[0]
    assert np.corrcoef(seen["voice"][:, 0], true[:, 0])[0, 1] == pytest.approx(1)
    assert found[0].length_s == len(true) / RATE_HZ


def one(name, singer, length_s, nsdr_db):
    rest = {"sdr_db": 0.0, "sir_db": 1.0, "sar_db": 2.0}
    both = [("voice", nsdr_db), ("accompaniment", -nsdr_db)]
    return [
        Score(clip=name, singer=singer, length_s=length_s, system="x", part=part, nsdr_db=its, **rest)
        for part, its in both
    ]


def test_long_clips_weigh_more():
    scores = one("a_1_1", "a", 1.0, 2.0) + one("b_1_1", "b", 3.0, 10.0) + one("b_1_2", "b", 1.0, 2.0)
    assert weighted(scores[::2], "nsdr_db") == pytest.approx(6.8)
    assert by_system(scores) == [
        {"GNSDR/GSIR/GSAR, dB": "x", "voice": "6.80/1.00/2.00", "accompaniment": "-6.80/1.00/2.00"}
    ]
    assert by_singer(scores)[1] == {"GNSDR, dB": "b", "clips": "2", "x": "8.00/-8.00"}


@pytest.mark.parametrize(
    ("flags", "names", "words"),
    [
        ([], ["Ani_1_01", "Ani_1_02", "bobon_2_01"], "3 of the 5 clips in .*: the test half, 3 clips .NOT the cust"),
        (["--exclude=Ani_1_02,bobon"], ["Ani_1_01"], "1 of the 5 clips"),
        (["--only=amy,Ani", "--limit=2"], ["Ani_1_01", "Ani_1_02"], "2 of the 5 clips in .*customary 825"),
        (["--only=amy"], ["amy_1_01"], "1 of the 5 clips in .*: among them the customary training half"),
    ],
)
def test_the_command(folder, tmp_path, capsys, flags, names, words):
    main([str(folder), "--systems=oracle", f"--csv={tmp_path / 'x.csv'}", *flags])
    told = capsys.readouterr().out
    assert re.search(words, told)
    assert "oracle mask 64/16 ms" in told
    with (tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted({row["clip"] for row in rows}) == names
    assert len(rows) == 4 * len(names)
    assert min(float(row["nsdr_db"]) for row in rows) > 3, "an oracle separates noise from notes"


def test_faults_are_told_in_words(tmp_path):
    with pytest.raises(DataError, match="no audio files"):
        clips(tmp_path)
    clip(tmp_path, "song")
    with pytest.raises(DataError, match="no clips named SINGER_SONG_CLIP, such as amy_1_01"):
        clips(tmp_path)
    write(tmp_path, "wav16", noise(1.0, RATE_HZ), RATE_HZ, stem="amy_1_01")
    with pytest.raises(DataError, match="has 1 channel; its layout wants stereo"):
        score(clips(tmp_path)[0], {})
    write(tmp_path, "wav16", np.stack([noise(1.0, RATE_HZ), np.zeros(RATE_HZ)], axis=1), RATE_HZ, stem="amy_1_01")
    with pytest.raises(DataError, match="amy_1_01 cannot be scored: the voice is silent"):
        score(clips(tmp_path)[0], {})
    (tmp_path / "amy_1_01.wav").write_bytes(b"no audio at all")
    with pytest.raises(DataError, match="cannot be decoded"):
        score(clips(tmp_path)[0], {})
    with pytest.raises(DataError, match="leave nothing of 1: amy_1_01"):
        main([str(tmp_path), "--only=bobon"])
    with pytest.raises(ValueError, match="no system 'oracel'"):
        systems(["oracel"])


def test_at_0_db_keeps_the_accompaniment():
    voice, accompaniment = noise(1.0, RATE_HZ, 0.01, 1)[:, None], noise(1.0, RATE_HZ, 0.2, 2)[:, None]
    assert np.std(at_0_db(voice, accompaniment)) == pytest.approx(np.std(accompaniment), rel=1e-3)


def test_repet_finds_what_recurs():
    """A bar of notes, again and again, and noise over one of them: that is what does not recur."""
    played = np.tile(music(1.0, RATE_HZ, 1, 3), (10, 1))
    sung = np.zeros_like(played)
    sung[4 * RATE_HZ : 5 * RATE_HZ, 0] = noise(1.0, RATE_HZ, 0.1, 4)
    found = repet(played + sung, sung, played, RATE_HZ)
    assert found.shape == played.shape
    assert np.sum(found[: 3 * RATE_HZ] ** 2) < 0.05 * np.sum(played[: 3 * RATE_HZ] ** 2)
    assert np.corrcoef(found[:, 0], sung[:, 0])[0, 1] > 0.7


def test_an_oracle_needs_no_particular_rate_or_channels():
    sung, played = music(1.0, 44_100, 2, 5), noise(1.0, 44_100, 0.05, 6)[:, None] * np.float32([[1.0, 0.5]])
    found = oracle(0.12, 0.03)(sung + played, sung, played, 44_100)
    assert found.shape == sung.shape
    assert np.sum((found - sung) ** 2) < 0.15 * np.sum(sung**2)
