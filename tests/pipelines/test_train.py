"""`songscan train separator` from a folder to a model that separates: tones for a voice, noise for a band."""

import json

import numpy as np
import pytest

from models.card import read_card
from models.encode import encode
from models.masking import separate_array
from models.saved import LoadedModel
from pipelines.cli import main
from tests.models.test_masking import rms_db
from transforms.errors import MisuseError

RATE_HZ = 16_000
SETTINGS = {
    "version": "7",
    "window_frames": 32,
    "hop_frames": 24,
    "train": {"steps": 60, "warmup_steps": 5, "batch": 2, "evaluate_every": 30, "checkpoint_every": 10},
    "separator": {"network": {"channels": [4, 8]}, "frames": 32, "held_out": ["c"], "mix": {"colour": 0}},
}


def clip(seed, seconds=2):
    """Left: noise below 1 kHz. Right: a tone between 1.5 and 3 kHz, with harmonics above."""
    random, frames = np.random.default_rng(seed), seconds * RATE_HZ
    spectrum = np.fft.rfft(random.normal(0, 1, frames))
    spectrum[seconds * 1000 :] = 0
    low = np.fft.irfft(spectrum)
    hz = random.uniform(1500, 3000)
    high = np.sin(2 * np.pi * hz * np.arange(frames) / RATE_HZ)
    return np.stack([low / low.std(), high / high.std()], axis=1).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs")
    for seed, name in enumerate(("a_1_1", "a_2_1", "b_1_1", "c_1_1")):
        encode(folder / f"{name}.wav", clip(seed), RATE_HZ, codec="wav")
    return folder


@pytest.fixture(scope="module")
def run(songs, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    (out / "settings.json").write_text(json.dumps(SETTINGS))
    arguments = ["--data", f"mir1k:{songs}", "--out", str(out / "out"), "--config", str(out / "settings.json")]
    assert main(["train", "separator", *arguments]) == 0
    return out / "out"


def test_the_model_separates(run):
    model = LoadedModel(run / "separator" / "7")
    both = clip(11)
    mixture = both.sum(axis=1, keepdims=True)
    voice = separate_array(model, mixture, RATE_HZ)
    error_db = rms_db(voice - both[:, 1:]) - rms_db(both[:, 1:])
    assert error_db < -6


def test_the_card_tells_what_it_was_trained_on_and_measured_with(run):
    card = read_card(run / "separator" / "7")
    assert card.task == "stems"
    assert card.licences.research_only
    assert "MIR-1K" in card.licences.training_data
    (metric,) = card.metrics
    assert metric.name == "nsdr_db"
    assert metric.value > 3
    assert "held out" in metric.data


def test_the_log(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "nsdr_db" in line] == [30, 60]
    assert list((run / "events").glob("events.out.tfevents*"))
    assert (run / "separator-7.tflite").stat().st_size > 10_000


def test_the_same_command_again_finds_all_done(run, songs):
    before = (run / "best.npz").read_bytes()
    assert main(["train", "separator", "--out", str(run), "--config", str(run / "config.json")]) == 0
    assert (run / "best.npz").read_bytes() == before


def test_a_run_may_start_from_a_model(run, tmp_path):
    start = run / "separator" / "7" / "assets.extra" / "weights.npz"
    still = json.loads((run / "config.json").read_text()) | {"start": str(start)}
    still["train"] |= {"steps": 1, "warmup_steps": 0, "learning_rate": 1e-9, "average": 0.0}
    (tmp_path / "still.json").write_text(json.dumps(still))
    assert main(["train", "separator", "--out", str(tmp_path / "out"), "--config", str(tmp_path / "still.json")]) == 0
    before, after = (read_card(out / "separator" / "7").metrics[0].value for out in (run, tmp_path / "out"))
    assert after == pytest.approx(before, abs=0.3)  # the statistics of batch normalisation move by one batch


def test_other_settings_in_the_same_folder_are_refused(run):
    arguments = ["--out", str(run), "--config", str(run / "config.json"), "--steps", "61"]
    with pytest.raises(MisuseError, match=r"train\.steps was 60, is 61"):
        main(["train", "separator", *arguments])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "x"], "nothing to train on"),
        (["--data", "mir1k:/x"], "--out is missing"),
        (["--data", "mir1k:/not/there", "--out", "x"], "no folder '/not/there'"),
        (["--data", "mir1k:/x", "--out", "x", "--config", "/none.json"], r"/none\.json cannot be read"),
        (["--data", "mir1k:/x", "--out", "x", "--steps", "-3"], "steps: Input should be greater than or equal to 1"),
        (["--data", "mir1k:/x", "--out", "x", "--steps", "0"], "steps: Input should be greater than or equal to 1"),
    ],
)
def test_what_is_refused(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MisuseError, match=words):
        main(["train", "separator", *arguments])
    assert not list(tmp_path.iterdir())


def test_settings_out_of_range_are_named(songs, tmp_path):
    bad = {"train": {"batch": -1}, "separator": {"mix": {"together": 1.5}, "network": {"channels": []}}}
    (tmp_path / "bad.json").write_text(json.dumps(bad))
    arguments = ["--data", f"mir1k:{songs}", "--out", str(tmp_path / "out"), "--config", str(tmp_path / "bad.json")]
    with pytest.raises(MisuseError, match=r"train\.batch: (?s:.*)network\.channels: (?s:.*)mix\.together: "):
        main(["train", "separator", *arguments])
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_refused_and_the_folder_can_be_used_again(run, songs, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS | {"train": {"steps": 1}}))
    (tmp_path / "file").write_text("")
    named = ["--data", f"mir1k:{songs}", "--config", str(tmp_path / "settings.json")]
    with pytest.raises(MisuseError, match="is a file"):
        main(["train", "separator", *named, "--out", str(tmp_path / "file")])
    arguments = [*named, "--out", str(tmp_path / "out")]
    np.savez(tmp_path / "few.npz", weight0=np.zeros(3))
    start = run / "separator" / "7" / "assets.extra" / "weights.npz"
    with np.load(start) as arrays:
        np.savez(tmp_path / "wide.npz", **{name: np.zeros((*array.shape, 2)) for name, array in arrays.items()})
    for name in ("few", "wide"):
        with pytest.raises(MisuseError, match="weights of another network"):
            main(["train", "separator", *arguments, "--start", str(tmp_path / f"{name}.npz")])
    assert main(["train", "separator", *arguments, "--start", str(start)]) == 0


def test_settings_are_shown(capsys):
    assert main(["train", "separator", "--show_config"]) == 0
    assert json.loads(capsys.readouterr().out)["train"]["batch"] == 4
