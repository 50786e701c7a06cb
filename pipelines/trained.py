"""What a training leaves in its folder OUT: NAME/VERSION/, the SavedModel with its card; for some, a TFLite file too.

Conventions. Writers take a run, its folder, the trained network, its recipe and the licences, and give the paths that
they wrote, the model first. Importing this imports TensorFlow.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from models import masker
from models.card import Licences, Metric
from models.checkpoint import write_weights
from models.detection import export
from models.detection.choosing import recordings, settle, tried
from models.detection.training import Detection
from models.saved import LoadedModel, write_card
from models.separation import Separation

if TYPE_CHECKING:
    from pipelines.train import RunConfig

Writer = Callable[["RunConfig", Path, keras.Model, Any, Licences], Sequence[Path]]


def write_separator(
    run: RunConfig, out: Path, network: keras.Model, recipe: Separation, licences: Licences
) -> list[Path]:
    """The separator, and the same for one window as TFLite."""
    where = f"songs held out of {', '.join(run.data)}: {', '.join(run.separator.held_out)}"
    card = masker.card(
        run.name,
        run.version,
        licences,
        _metrics(network, recipe, where),
        window_frames=run.window_frames,
        hop_frames=run.hop_frames,
        trained_by="songscan train separator --out DIR --config CONFIG: assets.extra/config.json of this model",
    )
    folder, phone = out / run.name / run.version, out / f"{run.name}-{run.version}.tflite"
    masker.export(network, card, folder)
    _keep(network, out, folder)
    phone.write_bytes(masker.to_tflite(network, card.window_samples))
    return [folder, phone]


def write_detector(
    run: RunConfig, out: Path, network: keras.Model, recipe: Detection, licences: Licences
) -> list[Path]:
    """The detector of defects, its fusions chosen on the songs held out."""
    where = f"clips of songs held out of {', '.join(run.data)}: {', '.join(run.defects.held_out)}; all strengths"
    card = export.card(
        run.name,
        run.version,
        licences,
        _metrics(network, recipe, where),
        trained_by="songscan train defects --out DIR --config CONFIG: assets.extra/config.json of this model",
    )
    folder = out / run.name / run.version
    export.export(network, card, folder)
    settings = run.defects
    trials = tried(LoadedModel(folder), recordings(recipe.held_out, settings.trials, run.train.seed))
    settled, words = settle(trials, settings.measures)
    write_card(export.settled(card, settled, words), folder)
    _keep(network, out, folder)
    return [folder]


def _metrics(network: keras.Model, recipe: Separation | Detection, where: str) -> list[Metric]:
    measured = recipe.evaluate(lambda inputs: keras.ops.convert_to_numpy(network(inputs, training=False)))
    return [Metric(name=name, value=value, data=where, source="songscan train") for name, value in measured.items()]


def _keep(network: keras.Model, out: Path, folder: Path) -> None:
    """Settings and weights beside the model, for --config and --start: in the graph weights are constants."""
    shutil.copy(out / "config.json", folder / "assets.extra")
    weights = [keras.ops.convert_to_numpy(variable) for variable in network.variables]
    # Not the states of random generators, which are whole numbers.
    half = [weight.astype(np.float16) if weight.dtype == np.float32 else weight for weight in weights]
    write_weights(folder / "assets.extra" / "weights.npz", half)


WRITERS: dict[str, Writer] = {"separator": write_separator, "defects": write_detector}
