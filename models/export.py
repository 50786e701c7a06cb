"""A SavedModel as TensorFlow Serving loads it: BASE/NAME/VERSION, with requests that warm it up.

Conventions. NAME is that of the card. VERSION is a whole number, for Serving serves the highest one: that of the card,
unless it is told by hand. Serving looks at BASE/NAME every second, so a version appears there whole or not at all.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from models.card import ModelError
from models.saved import LoadedModel
from models.warmup import write_warmup


def export(folder: Path, base: Path, version: int | None = None) -> Path:
    """Copies the model in `folder` to `base`; where it lies then.

    Raises:
        ModelError: if it does not fit its card, its version is no number, or is there already, or cannot be written.
    """
    model = LoadedModel(folder)
    made = base / model.card.name / _number(model.card.version, version)
    if made.exists():
        advice = "Servers may have loaded it. Raise the version in the card, or remove the folder"
        raise ModelError("exists", f"{made} is there already", advice)
    try:
        made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".exporting-", dir=base) as scratch:
            copy = Path(shutil.copytree(folder, Path(scratch, "model")))
            write_warmup(model, copy)
            copy.rename(made)
    except OSError as error:
        raise ModelError(
            "not_writable", f"the model cannot be written to {made} ({error})", "Is there room?"
        ) from error
    return made


def _number(of_card: str, by_hand: int | None) -> str:
    told = of_card if by_hand is None else str(by_hand)
    if not (told.isdecimal() and int(told) > 0):
        words = f"the version {told!r} is no whole number from 1, as Serving's are"
        raise ModelError("no_number", words, "Tell one by --as_version N")
    return str(int(told))
