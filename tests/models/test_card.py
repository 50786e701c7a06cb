"""A card that is wrong says which field, what it holds and what it should be."""

import json

import pytest

from models.card import CARD_PATH, ModelError, Output, parse_card, pretrained, read_card
from tests.doubles import models as doubles


def spoiled(**changes):
    fields = json.loads(doubles.card().to_json())
    for name, value in changes.items():
        if value is None:
            del fields[name]
        else:
            fields[name] = value
    return json.dumps(fields)


def test_a_card_survives_its_json():
    card = doubles.card()
    assert parse_card(card.to_json(), "x") == card


FRAMES = [{"name": "f", "role": "frame_scores", "layout": "bfl"}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"windows_samples": 4000}, "windows_samples is no field of a card; did you mean window_samples"),
        ({"licences": None}, "licences is missing"),
        ({"sample_rate_hz": "16000"}, "sample_rate_hz: Input should be a valid integer"),
        ({"sample_rate_hz": 16}, "sample_rate_hz: Input should be greater than or equal to 1000"),
        ({"hop_samples": 5000}, "hop_samples 5000 is longer than window_samples 4000"),
        ({"lead_in_samples": 2000}, "lead_in_samples 2000 must be less than half"),
        ({"name": "../../x"}, "name: String should match"),
        ({"labels": []}, "labels are missing"),
        ({"labels": [{"name": "a"}, {"name": "a"}]}, "label 'a' is there twice"),
        ({"labels": [{"name": "a", "threshold": 20}]}, "labels[0].threshold: Input should be less than or equal to 1"),
        ({"thresholds_chosen": ""}, "thresholds_chosen is missing"),
        ({"inputs": [{"name": "x", "layout": "tb", "role": "sound"}]}, "inputs[0].role"),
        ({"inputs": [{"name": "x", "layout": "bf"}]}, "layout 'bf' of 'x' does not suit the role waveform"),
        ({"inputs": []}, "exactly one of the inputs must have the role waveform"),
        ({"inputs": [{"name": "x"}, {"name": "x", "role": "constant", "value": 1}]}, "input 'x' is there twice"),
        ({"channels": 2}, "has no axis c for 2 channels"),
        ({"outputs": FRAMES}, "frame_hop_samples is missing"),
        ({"outputs": FRAMES, "frame_hop_samples": 300}, "hop_samples 4000 is not a multiple of frame_hop_samples 300"),
        ({"outputs": FRAMES, "frame_hop_samples": 300}, "3900 would do"),
        ({"outputs": [{"name": "x", "role": "ignored"}]}, "all outputs are ignored"),
    ],
)
def test_what_is_wrong_is_named(changes, words):
    with pytest.raises(ModelError) as error:
        parse_card(spoiled(**changes), "/models/x/card.json")
    assert words in error.value.message
    assert "/models/x/card.json" in error.value.message


def test_text_that_is_no_json():
    with pytest.raises(ModelError, match="Invalid JSON"):
        parse_card("{name: fake}", "card.json")


def test_a_model_without_a_card_is_told_what_to_write(tmp_path):
    with pytest.raises(ModelError, match=r"assets.extra/card.json"):
        read_card(tmp_path)


def test_a_task_reads_one_output():
    two = (Output(name="a", role="scores"), Output(name="b", role="scores"))
    with pytest.raises(ModelError, match=r"2 outputs of role scores or frame_scores: a \(scores\), b"):
        doubles.card(outputs=two).output_of("scores", "frame_scores")


def test_the_newest_version_of_each_ships(tmp_path):
    for name, version in (("b", "9"), ("b", "10"), ("a", "1.2")):
        path = tmp_path / name / version / CARD_PATH
        path.parent.mkdir(parents=True)
        path.write_text(doubles.card(name=name, version=version).to_json())
    assert [str(path.relative_to(tmp_path)) for path in pretrained(tmp_path)] == ["a/1.2", "b/10"]


FUSION = {"high": 0.6, "low": 0.3}
NOTES = "by event F1 on the validation songs"


def finding(*labels, **changes):
    frames = {"outputs": FRAMES, "frame_hop_samples": 200, "task": "defects", "labels": labels}
    return spoiled(**{**frames, "thresholds_chosen": NOTES, **changes})


def test_a_card_of_a_model_that_finds_defects_has_a_fusion_per_class_or_a_measure():
    labels = {"name": "click", "fusion": FUSION}, {"name": "hum", "by": "measure:hum"}
    card = parse_card(finding(*labels), "x")
    assert card.labels[0].fusion.low == 0.3
    assert parse_card(card.to_json(), "x") == card


@pytest.mark.parametrize(
    ("labels", "changes", "words"),
    [
        ([{"name": "click"}], {}, "label 'click' needs a fusion"),
        ([{"name": "hum", "by": "measure:hum", "fusion": FUSION}], {}, "label 'hum' needs a fusion if the network"),
        ([{"name": "hum", "by": "guess"}], {}, "labels[0].by: String should match"),
        ([{"name": "crack", "fusion": FUSION}], {}, "label 'crack' is no class of defects: click, crackle"),
        ([{"name": "click", "fusion": {"high": 0.3, "low": 0.6}}], {}, "low 0.6 is above high 0.3"),
        ([{"name": "click", "fusion": {"hihg": 0.3}}], {}, "hihg is no field of a card; did you mean high?"),
        ([{"name": "click", "fusion": FUSION}], {"thresholds_chosen": ""}, "thresholds_chosen is missing"),
        ([{"name": "click", "fusion": FUSION}], {"task": "tags"}, "has a fusion or a measure, and task is not defects"),
    ],
)
def test_what_does_not_fit_in_a_card_for_defects_is_told(labels, changes, words):
    with pytest.raises(ModelError) as caught:
        parse_card(finding(*labels, **changes), "x")
    assert words in str(caught.value)
