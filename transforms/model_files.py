"""Models by URI: their cards, and their files on this machine.

Conventions. A URI is a folder here or on Cloud Storage, or `pretrained:NAME/VERSION` for a model that ships or was
built at set-up: each machine knows where that lies, which on a worker may be elsewhere than where the scan was started.
Or it is that of a model on a server, with its card's URI in it (transforms/serving.py). A SavedModel is a program: URIs
come from whoever starts the command, never from a manifest. A card is data, and read as JSON only.

Light: no TensorFlow here until a model is opened, so that a command line is checked before anything heavy is imported.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from models import card
from models.card import CARD_PATH, ModelCard, ModelError, no_card, parse_card, read_card
from models.model import Model
from transforms import gcs
from transforms.errors import MisuseError, RunError, TrackError
from transforms.serving import is_served, parse_served

_PRETRAINED = "pretrained:"
_CARD_ALONE = ".json"  # what the URI of a card that lies by itself ends with


def card_of(uri: str) -> ModelCard:
    """The card of the model at `uri`.

    Raises:
        ModelError: if there is none, or it is not right.
    """
    place = files_of(uri)
    if not gcs.is_gcs(place) and not place.endswith(_CARD_ALONE):
        return read_card(_folder(place))
    path = place if place.endswith(_CARD_ALONE) else f"{place.rstrip('/')}/{CARD_PATH}"
    try:
        with gcs.open_binary(path) as file:
            return parse_card(file.read().decode("utf-8-sig"), path)
    except (MisuseError, TrackError, OSError, UnicodeDecodeError) as error:
        raise no_card(uri, error) from error


def files_of(uri: str) -> str:
    """Where the files of a model lie that songscan reads: the model itself, or of a served one its card.

    Raises:
        ModelError: if it is the URI of a served model, and not right.
    """
    return parse_served(uri).card if is_served(uri) else uri


def open_model(uri: str) -> Model:
    """The model at `uri`, in this process or on its server, checked and tried.

    Raises:
        ModelError: if it cannot be loaded or reached, or does not fit its card.
    """
    if is_served(uri):
        from models.served import ServedModel

        return ServedModel(card_of(uri), parse_served(uri).endpoint)
    from models.saved import LoadedModel

    return LoadedModel(local_model(uri))


def local_model(uri: str) -> Path:
    """A folder with the model's files: its own, or for one on Cloud Storage a copy, which stays for the next time.

    Raises:
        ModelError: if it cannot be fetched, or is on a server, which does not hand it out.
    """
    if is_served(uri):
        raise ModelError("not_loadable", f"the model {uri} is on a server", "Name the folder that it was exported to")
    return _copied(uri.rstrip("/"), os.getpid()) if gcs.is_gcs(uri) else _folder(uri)


def pretrained_uri(folder: Path) -> str:
    """The URI of a model that ships, by its folder.

    >>> pretrained_uri(Path("/opt/songscan/models/pretrained/musicnn-msd/1"))
    'pretrained:musicnn-msd/1'
    """
    return f"{_PRETRAINED}{folder.parent.name}/{folder.name}"


def is_shipped(uri: str) -> bool:
    """Whether every machine with songscan has the model at `uri`."""
    return uri.startswith(_PRETRAINED)


def _folder(uri: str) -> Path:
    return card.PRETRAINED / uri.removeprefix(_PRETRAINED) if is_shipped(uri) else Path(uri)


@functools.lru_cache(maxsize=64)
def _copied(uri: str, _pid: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="songscan-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        for item in gcs.list_objects(f"{uri}/"):
            path = folder / item.uri.removeprefix(f"{uri}/")
            if not path.resolve().is_relative_to(folder.resolve()):
                raise ModelError("not_loadable", f"the object {item.uri} leaves its folder", "Remove it")
            if not item.uri.endswith("/"):  # a mark that some tools leave for a folder
                path.parent.mkdir(parents=True, exist_ok=True)
                gcs.download(item.uri, item.generation, str(path), item.revision)
    except (MisuseError, RunError, TrackError) as error:
        words = f"the model {uri} cannot be fetched ({error.message})"
        raise ModelError("not_loadable", words, error.advice) from error
    return folder
