"""Which tasks are asked for, by which models."""

import pytest

from models import card
from models.card import Label, Output
from models.saved import write_card
from tests.doubles import models as doubles
from transforms.errors import MisuseError
from transforms.model_files import card_of, local_model
from transforms.tasks import parse_tasks, research_only

FRAMES = (Output(name="x", role="frame_scores", layout="bfl"),)
NO_MEASURE = {
    "task": "defects",
    "outputs": FRAMES,
    "frame_hop_samples": 100,
    "labels": (Label(name="hum", by="measure:guess"),),
}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Two models that ship; cards alone do for planning."""
    for name in ("one", "two"):
        folder(tmp_path / "shipped", name=name)
    monkeypatch.setattr(card, "PRETRAINED", tmp_path / "shipped")


def folder(root, **changes):
    its = doubles.card(**changes)
    path = root / its.name / its.version
    path.mkdir(parents=True)
    write_card(its, path)
    return str(path)


def told(tasks):
    return [(task.name, task.model_name, task.model_version) for task in tasks]


def test_each_model_is_a_task_of_its_own(shipped):
    assert told(parse_tasks("tags,quality"))[1:] == [("tags", "one", "1"), ("tags", "two", "1")]
    assert parse_tasks("quality")[0].model_uri == ""


def test_models_that_ship_are_named_so_that_any_machine_finds_them(shipped, tmp_path):
    task = parse_tasks("tags")[1]
    assert task.model_uri == "pretrained:two/1"
    assert local_model(task.model_uri) == tmp_path / "shipped" / "two" / "1"


def test_models_named_by_hand_take_the_place_of_those_that_ship(shipped, tmp_path):
    mine = folder(tmp_path / "mine", name="better", version="2026-11")
    (task,) = parse_tasks("tags", [mine])
    assert told([task]) == [("tags", "better", "2026-11")]
    assert task.model_uri == mine


@pytest.mark.parametrize(
    ("names", "changes", "words"),
    [
        ("tags", {"task": "restoration"}, "its card has the task 'restoration'"),
        ("quality", {}, "does the task 'tags', which is not asked for"),
        ("tags,tagz", {}, "no such task: tagz"),
        ("tags", {"outputs": (Output(name="x", role="embedding", layout="be"),)}, "0 outputs of role scores"),
        ("defects", NO_MEASURE, "'hum' is settled by 'measure:guess', and there is no such measure of it"),
    ],
)
def test_models_that_do_not_suit(shipped, tmp_path, names, changes, words):
    mine = folder(tmp_path / "mine", **changes)
    with pytest.raises(MisuseError, match=words):
        parse_tasks(names, [mine])


def test_two_models_of_one_name(shipped, tmp_path):
    twins = [folder(tmp_path / "a"), folder(tmp_path / "b", version="2")]
    with pytest.raises(MisuseError, match="are both called 'fake'"):
        parse_tasks("tags", twins)


def test_no_model_at_all_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr(card, "PRETRAINED", tmp_path)
    with pytest.raises(MisuseError, match="make setup"):
        parse_tasks("tags")


def test_a_card_that_is_wrong_is_misuse_with_its_fault(tmp_path):
    path = tmp_path / "assets.extra" / "card.json"
    path.parent.mkdir()
    path.write_text(doubles.card().to_json().replace('"hop_samples"', '"hop"'))
    with pytest.raises(MisuseError, match="hop_samples is missing"):
        parse_tasks("tags", [str(tmp_path)])
    with pytest.raises(MisuseError, match=r"assets.extra/card.json"):
        parse_tasks("tags", [str(tmp_path / "nowhere")])


def test_weights_for_research_only_are_told(tmp_path):
    mine = folder(tmp_path, licences=doubles.LICENCES.model_copy(update={"research_only": True, "weights": "NC"}))
    assert research_only(parse_tasks("quality,tags", [mine])) == [
        "the weights of fake may be used for research only (NC)"
    ]


def test_a_model_in_a_bucket(bucket, tmp_path):
    made = doubles.fake(tmp_path)
    files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
    for name in files:
        bucket.blob(f"models/fake/1/{name}").upload_from_filename(made / name)
    uri = f"gs://{bucket.name}/models/fake/1"
    assert card_of(uri) == doubles.card()
    (task,) = parse_tasks("tags", [uri])
    copy = local_model(task.model_uri)
    assert all((copy / name).read_bytes() == (made / name).read_bytes() for name in files)
    assert local_model(uri + "/") == copy  # fetched once
    with pytest.raises(MisuseError, match="no card that can be read"):
        parse_tasks("tags", [f"gs://{bucket.name}/models/other/1"])
