"""URIs of models on a server: what they say, and what is wrong with them in words."""

import pytest

from models.card import ModelError
from models.endpoint import Endpoint
from models.saved import write_card
from tests.doubles import models as doubles
from transforms.errors import MisuseError
from transforms.model_files import card_of, files_of, local_model
from transforms.serving import Served, parse_served
from transforms.tasks import parse_tasks


@pytest.fixture
def folder(tmp_path):
    its = tmp_path / "fake"
    its.mkdir()
    write_card(doubles.card(version="7"), its)
    return its


@pytest.mark.parametrize(
    ("uri", "endpoint", "card"),
    [
        ("grpc://h:8500/m?card=/c", Endpoint(host="h", port=8500, name="m"), "/c"),
        (
            "grpc://10.0.0.7:1/m-1.x/12?card=gs://b/c",
            Endpoint(host="10.0.0.7", port=1, name="m-1.x", version=12),
            "gs://b/c",
        ),
        ("grpcs://a.b-c.d:443/m?card=c%2Cd+%26", Endpoint(host="a.b-c.d", port=443, name="m", secure=True), "c,d+&"),
        ("grpc://[fe80::1]:8500/m/?card=c", Endpoint(host="[fe80::1]", port=8500, name="m"), "c"),
        (
            "grpc://h:8500/m?in_flight=9&card=pretrained:x/1&deadline_s=2.5&message_mib=4&patience_s=0",
            Endpoint(host="h", port=8500, name="m", in_flight=9, deadline_s=2.5, message_mib=4, patience_s=0.0),
            "pretrained:x/1",
        ),
    ],
)
def test_what_a_uri_says(uri, endpoint, card):
    assert parse_served(uri) == Served(endpoint, card)
    assert files_of(uri) == card


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("grpc://h:8500/m", "names no card. A server does not tell it: grpc://h:8500/m?card="),
        ("grpc://h:8500/m?card=", "names no card"),
        ("grpc://h:8500/m?card=grpc://h:8500/m", "has a server for its card"),
        ("grpc://h/m?card=c", "has no HOST:PORT: 'h'"),
        ("grpc://?card=c", "has no HOST:PORT: ''"),
        ("grpc://me:pw@h:1/m?card=c", "has the host me:pw@h:1"),
        ("grpc://::1:8500/m?card=c", "An address of IPv6 stands in brackets"),
        ("grpc://h:0/m?card=c", "has the port 0"),
        ("grpc://h:70000/m?card=c", "has the port 70000"),
        ("grpc://h:8500?card=c", "has the model name ''"),
        ("grpc://h:8500/v1/models/m?card=c", "has the version 'models/m'"),
        ("grpc://h:8500/m/latest?card=c", "has the version 'latest'"),
        ("grpc://h:8500/m?card=c&retries=3", "has the setting 'retries'. Settings are: card, deadline_s"),
        ("grpc://h:8500/m?card=c&card=d", "has the setting 'card' twice"),
        ("grpc://h:8500/m?card=c&in_flight=0", "has in_flight=0. It takes a whole number from 1 to 64"),
        ("grpc://h:8500/m?card=c&deadline_s=nan", "has deadline_s=nan. It takes a number"),
        ("grpc://h:8500/m?card=c&message_mib=x", "has message_mib=x"),
    ],
)
def test_what_is_wrong_with_a_uri(uri, words):
    with pytest.raises(ModelError) as caught:
        parse_served(uri)
    assert words in str(caught.value)
    with pytest.raises(MisuseError):
        parse_tasks("tags", [uri])


def test_the_card_makes_the_task(folder):
    uri = f"grpc://h:8500/other?card={folder}"
    (task,) = parse_tasks("tags", [uri])
    assert (task.name, task.model_name, task.model_version, task.model_uri) == ("tags", "fake", "7", uri)
    assert card_of(f"grpc://h:8500/other?card={folder}/assets.extra/card.json") == card_of(str(folder))
    with pytest.raises(ModelError, match="is on a server"):
        local_model(uri)


def test_a_card_in_a_bucket(bucket, folder):
    bucket.blob("cards/fake.json").upload_from_filename(folder / "assets.extra" / "card.json")
    assert card_of(f"grpc://h:8500/m?card=gs://{bucket.name}/cards/fake.json") == card_of(str(folder))
    with pytest.raises(ModelError, match="no card that can be read"):
        card_of(f"grpc://h:8500/m?card=gs://{bucket.name}/cards/other.json")


def test_a_card_is_read_as_json_only(tmp_path):
    (tmp_path / "card.json").write_text("__import__('os').system('true')")
    with pytest.raises(ModelError, match="Invalid JSON"):
        card_of(f"grpc://h:8500/m?card={tmp_path}/card.json")
    with pytest.raises(ModelError, match="no card that can be read"):
        card_of(f"grpc://h:8500/m?card={tmp_path}/nothing.json")
