"""The URI of a model that a server computes.

Conventions. `grpc://HOST:PORT/NAME[/VERSION]?card=URI`, `grpcs://` for TLS; an address of IPv6 stands in brackets.
`card` is the URI of a model's folder here, on Cloud Storage or of one that ships, or of the card's JSON file itself:
TensorFlow Serving does not hand out what lies beside a model. More settings may follow, each as &NAME=NUMBER: see
models/endpoint.py. In the query, %XX stands for a byte: a comma, which separates models, is %2C.

Light: neither TensorFlow nor gRPC here.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from models.card import ModelError
from models.endpoint import Endpoint

SCHEMES = ("grpc://", "grpcs://")
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_SHAPE = "grpc://HOST:PORT/NAME[/VERSION]?card=URI"
#: By name: what makes its number, and the range of that.
_SETTINGS = {
    "deadline_s": (float, 0.1, 3600),
    "patience_s": (float, 0, 86_400),
    "in_flight": (int, 1, 64),
    "message_mib": (int, 1, 1024),
}


@dataclass(frozen=True)
class Served:
    """What such a URI says."""

    endpoint: Endpoint
    card: str  #: its URI


def is_served(uri: str) -> bool:
    """Whether a server computes the model at `uri`."""
    return uri.startswith(SCHEMES)


def parse_served(uri: str) -> Served:
    """What the URI of a served model says.

    Raises:
        ModelError: naming the part at fault.

    >>> parse_served("grpc://[::1]:8500/band/3?card=gs://models/band/3").endpoint.version
    3
    """
    scheme, _, rest = uri.partition("://")
    path, _, query = rest.partition("?")
    address, _, model = path.partition("/")
    settings = _settings(uri, query)
    card = settings.pop("card", None)
    if not card:
        raise _wrong(
            uri, "names no card", f"A server does not tell it: {scheme}://{path}?card=FOLDER, or gs://, or a .json"
        )
    if is_served(card):
        raise _wrong(uri, f"has a server for its card: {card}", "Give the folder that was exported, or its card.json")
    host, port = _place(uri, address)
    served_name, version = _model(uri, model)
    numbers: dict[str, Any] = {name: _number(uri, name, value) for name, value in settings.items()}
    endpoint = Endpoint(host=host, port=port, name=served_name, version=version, secure=scheme == "grpcs", **numbers)
    return Served(endpoint, os.path.expanduser(card))


def _settings(uri: str, query: str) -> dict[str, str]:
    """The parts of the query, by name."""
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in ("card", *_SETTINGS):
            raise _wrong(uri, f"has the setting {name!r}", f"Settings are: card, {', '.join(_SETTINGS)}")
        if name in found:
            raise _wrong(uri, f"has the setting {name!r} twice", "Leave one out; an & within a card's URI is %26")
        found[name] = unquote(value)
    return found


def _number(uri: str, name: str, text: str) -> int | float:
    make, least, most = _SETTINGS[name]
    try:
        value: int | float | None = make(text)
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        kind = "a whole number" if make is int else "a number"
        raise _wrong(uri, f"has {name}={text}", f"It takes {kind} from {least:g} to {most:g}")
    return value


def _place(uri: str, address: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(address)
    if found is None:
        if address.count(":") > 1 and not address.startswith("["):
            raise _wrong(uri, f"has the host {address}", "An address of IPv6 stands in brackets: [::1]:8500")
        raise _wrong(
            uri, f"has no HOST:PORT: {address!r}", "TensorFlow Serving's port for gRPC is 8500 unless told otherwise"
        )
    port = int(found["port"])
    if not 0 < port < 65_536:
        raise _wrong(uri, f"has the port {port}", "Ports are 1 to 65535; Serving's for gRPC is 8500")
    return found["host"], port


def _model(uri: str, path: str) -> tuple[str, int | None]:
    name, slash, version = path.rstrip("/").partition("/")
    if not _NAME.fullmatch(name):
        raise _wrong(uri, f"has the model name {name!r}", "It is the server's --model_name: letters, digits, . _ + -")
    if slash and not (version.isdecimal() and version.isascii() and 0 < int(version) < 2**63):
        raise _wrong(uri, f"has the version {version!r}", "Serving's versions are whole numbers: its folder's name")
    return name, int(version) if slash else None


def _wrong(uri: str, what: str, advice: str) -> ModelError:
    return ModelError("bad_uri", f"the model URI {uri} {what}", f"{advice}. Its form is {_SHAPE}")
