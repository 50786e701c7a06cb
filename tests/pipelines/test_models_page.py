import io
import json
import re
import subprocess
import sys

import keras
import pytest
from rich.console import Console

from models.card import CARD_PATH, Input, Label, Licences, Metric, ModelCard, ModelError, Output
from pipelines.cli import main
from pipelines.models_page import build_models, check_model, list_models
from pipelines.outcome import exit_status
from tests.doubles import models as doubles
from tests.pipelines.scans import ROOT
from transforms.errors import RunError

HOSTILE = "[bold]x\n\x1b[31m\u202e名曲[/]"
VISIBLE = "[bold]x␊␛[31m<U+202E>名曲[/]"


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=80)


def said(console):
    """What was printed, its line breaks and columns undone; all of it fits 80 columns."""
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines), default=0) <= 80
    return " ".join(" ".join(lines).split())


def rewrite(folder, **changes):
    """Another card for the model in `folder`, right or not; a field that is None is left out."""
    fields = {**json.loads((folder / CARD_PATH).read_text()), **changes}
    (folder / CARD_PATH).write_text(json.dumps({name: value for name, value in fields.items() if value is not None}))
    return folder


# List -----------------------------------------------------------------------------------------------------------


def test_models_are_listed_with_what_their_cards_say(console, tmp_path):
    licences = doubles.LICENCES.model_copy(update={"weights": "CC BY-NC 4.0", "research_only": True})
    metric = Metric(name="ROC-AUC", value=0.91234567, data="test split of X", source="python -m bench.x")
    doubles.fake(tmp_path, licences=licences, metrics=(metric,), summary="Hears how loud it is")
    doubles.fake(tmp_path, name="older", version="9")
    doubles.fake(tmp_path, name="older", version="10")
    assert list_models(console, tmp_path) == 0
    words = said(console)
    for told in (
        "fake 1 about Hears how loud it is task tags labels 2: sound 2",
        "8,000 Hz mono, windows of 0.5 s every 0.5 s, up to 16 windows at once",
        "takes waveform (bt) gives scores (scores, bl), extremes (embedding, be)",
        "thresholds by hand",
        "weights CC BY-NC 4.0 research only yes code MIT trained on none",
        "measured ROC-AUC 0.912346 on test split of X (python -m bench.x)",
        "older 10",
        "research only no",
    ):
        assert told in words
    assert "older 9" not in words
    assert f"{tmp_path}/fake/1" in words.replace(" ", "")


def test_no_models_yet(console, tmp_path):
    assert list_models(console, tmp_path) == 0
    assert "make setup" in said(console)


def test_a_wrong_card_hides_no_other_model(console, tmp_path):
    rewrite(doubles.fake(tmp_path, name="broken"), sample_rate_hz=8)
    doubles.fake(tmp_path, name="whole")
    assert list_models(console, tmp_path) == 1
    assert "fail the card" in said(console)
    assert "sample_rate_hz: Input should be greater than or equal to 1000 (it is 8)" in said(console)
    assert "whole 1" in said(console)


def test_cards_are_hostile_input(console, tmp_path):
    metric = Metric(name=HOSTILE, value=1.0, data=HOSTILE, source=HOSTILE)
    label = doubles.LABELS[0].model_copy(update={"group": HOSTILE, "name": HOSTILE})
    licences = doubles.LICENCES.model_copy(update=dict.fromkeys(("code", "weights", "training_data"), HOSTILE))
    doubles.fake(tmp_path, summary=HOSTILE, thresholds_chosen=HOSTILE, metrics=(metric,), licences=licences,
        labels=(label, doubles.LABELS[1]))  # fmt: skip
    assert list_models(console, tmp_path) == 0
    assert "\x1b" not in console.file.getvalue()
    assert "\u202e" not in console.file.getvalue()
    assert said(console).count(VISIBLE) == 9


# Check ----------------------------------------------------------------------------------------------------------


def test_a_model_that_can_be_used(console, tmp_path):
    folder = doubles.fake(tmp_path)
    assert check_model(console, str(folder)) == 0
    words = said(console)
    assert "fake 1 task tags" in words
    assert "ok task tags reads the output scores" in words
    assert "ok the same recording twice" in words
    assert "fail" not in words
    assert f"songscan scan INPUT OUTPUT --models={folder}".replace(" ", "") in words.replace(" ", "")


def test_a_warning_is_exit_status_0(console, tmp_path):
    outputs = (Output(name="scores", role="scores"),)
    folder = doubles.fake(tmp_path, lambda x: {"scores": 0.5 + 0 * x[:, :2]}, outputs=outputs)
    assert check_model(console, str(folder)) == 0
    assert "warn scores hardly changes" in said(console)
    assert "see the warnings" in said(console)


def test_one_failure_is_exit_status_1_with_the_remedy(console, tmp_path):
    folder = doubles.fake(tmp_path, lambda x: doubles.loudness_and_sign((x + x[:1]) / 2))
    assert check_model(console, str(folder)) == 1
    assert "fail a window alone and in a device batch of 16" in said(console)
    assert "must not depend on its neighbours" in said(console)
    assert "It cannot be used yet." in said(console)


SCORES = {"name": "scores", "role": "scores"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sample_rate": 8000}, "sample_rate is no field of a card; did you mean sample_rate_hz?"),
        ({"labels": None}, "labels are missing, though an output has scores"),
        ({"outputs": [{**SCORES, "layout": "l"}]}, "its layout 'l' has 1 axes"),
        ({"outputs": [{**SCORES, "layout": "bft"}]}, "it takes l and may take b1"),
        ({"inputs": [{"name": "waveform", "layout": "btc"}]}, "its layout 'btc' has 3 axes"),
        ({"window_samples": 8000, "hop_samples": 8000}, "axis 't' is 4000, the card says 8000"),
        ({"inputs": [{"name": "audio"}]}, "has the inputs waveform, its card audio"),
        ({"signature": "predict"}, "has the signatures serving_default, its card asks for 'predict'"),
        ({"signature": "predict"}, "Set signature to 'serving_default'"),
        ({"outputs": [{"name": "extremes", "role": "scores"}]}, "Are these logits?"),
        ({"task": "tag"}, "songscan has no task 'tag' that models do Did you mean 'tags'?"),
        ({"task": "karaoke"}, "Tasks by models: tags, defects, stems"),
        ({"outputs": [SCORES, {**SCORES, "name": "extremes", "activation": "sigmoid"}]}, "2 outputs of role scores"),
        ({"outputs": [{"name": "extremes", "role": "embedding", "layout": "be"}]}, "has 0 outputs of role scores"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(console, tmp_path, changes, words):
    assert check_model(console, str(rewrite(doubles.fake(tmp_path), **changes))) == 1
    assert words in said(console)


def test_no_card_and_no_model(console, tmp_path):
    assert check_model(console, str(tmp_path / HOSTILE)) == 1
    assert "has no card that can be read" in said(console)
    assert "Write its card to assets.extra/card.json" in said(console)
    assert "\x1b" not in console.file.getvalue()
    folder = doubles.fake(tmp_path)
    (folder / "saved_model.pb").unlink()
    assert check_model(console, str(folder)) == 1
    assert "SavedModel file does not exist" in said(console)


def test_home_is_understood_where_the_shell_left_it(console, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    doubles.fake(tmp_path)
    assert check_model(console, "~/fake/1") == 0


def test_a_model_on_cloud_storage(console, tmp_path, bucket):
    folder = doubles.fake(tmp_path)
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.blob(f"models/fake/{path.relative_to(folder)}").upload_from_filename(str(path))
    assert check_model(console, f"gs://{bucket.name}/models/fake/") == 0
    assert "ok the same recording twice" in said(console)
    assert check_model(console, f"gs://{bucket.name}/models/none") == 1
    assert "has no card that can be read" in said(console)


# Build ----------------------------------------------------------------------------------------------------------


def test_building_without_the_package_fails_with_the_remedy(console, tmp_path):
    with pytest.raises(RunError, match=r"pip install --no-deps --target FOLDER musicnn==0\.1\.0"):
        build_models(console, str(tmp_path / "none"), tmp_path / "built")
    assert not list(tmp_path.glob("built/*/*/*"))


def test_what_was_built_is_told(console, tmp_path, monkeypatch):
    asked = []

    def build(package, root):
        asked.append((package, root))
        return [root / "musicnn-msd/1", root / "musicnn-mtt/1"]

    monkeypatch.setattr("models.musicnn.build", build)
    monkeypatch.setenv("HOME", str(tmp_path))
    build_models(console, "~/package", tmp_path)
    assert asked == [(tmp_path / "package", tmp_path)]
    words = said(console).replace(" ", "")
    assert f"built{tmp_path}/musicnn-msd/1built{tmp_path}/musicnn-mtt/1" in words


# docs/models.md -------------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs/models.md").read_text(encoding="utf-8")


def blocks(language):
    """The code on the page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_tells_every_field_of_a_card():
    for part in (ModelCard, Input, Output, Label, Licences, Metric):
        for field in part.model_fields:
            assert f"`{field}`" in PAGE, field


def test_the_example_of_the_page_can_be_used(console, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (card,) = blocks("json")
    keras.utils.set_random_seed(0)
    exec(blocks("python")[0], {})
    folder = tmp_path / "my-tagger"
    (folder / "assets.extra").mkdir()
    (folder / CARD_PATH).write_text(card)
    assert check_model(console, "my-tagger") == 0
    assert "warn" not in said(console)
    # Which of both depends on the processor: batches may take other instructions than single windows.
    assert re.search("a window alone and in a device batch of 32: (within|equal to the bit)", said(console))


# The command ----------------------------------------------------------------------------------------------------


def test_exit_statuses_of_the_command(tmp_path, capsys):
    folder = doubles.fake(tmp_path)
    assert exit_status(main, ["models", "check", str(folder)]) == 0
    assert exit_status(main, ["models", "check", str(tmp_path)]) == 1
    assert exit_status(main, ["models", "list"]) == 0
    capsys.readouterr()
    assert exit_status(main, ["models", "build", str(tmp_path)]) == 1
    assert "holds no checkpoint of musicnn" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["models", "chekc", str(folder)])


def test_listing_needs_no_tensorflow():
    code = "import sys; from pipelines.cli import main; main(['models']); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_an_error_of_building_keeps_its_advice(console, tmp_path, monkeypatch):
    def build(*_):
        raise ModelError("no_checkpoint", "message", "advice")

    monkeypatch.setattr("models.musicnn.build", build)
    with pytest.raises(RunError) as caught:
        build_models(console, "x", tmp_path)
    assert (caught.value.message, caught.value.advice) == ("message", "advice")
