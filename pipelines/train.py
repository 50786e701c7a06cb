"""`songscan train TASK`: data in the field's layouts to a SavedModel with its card.

Conventions. Everything of a run lies in its folder OUT: config.json (what was asked for; the same command again goes on
with the run), data/ (decoded samples), checkpoint.npz, best.npz, log.jsonl, events/ (TensorBoard's), and in the end
what pipelines/trained.py writes. Importing this imports Keras: pipelines/machine.py says how that
is to be started.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.text import Text

from models.card import Licences, ModelError
from models.checkpoint import CheckpointError
from models.configs import ConfigError, config, read_config, replaced, to_json
from models.detection.training import Detection, DetectionConfig
from models.layouts import LICENCES, DataError, Song, read_layout
from models.separation import Separation, SeparationConfig
from models.steps import all_devices
from models.train import Recipe, TrainConfig, train
from pipelines.outcome import DONE
from pipelines.training_log import TrainingLog
from pipelines.visible import visible
from transforms.errors import MisuseError, RunError


@config
class RunConfig:
    """What a run was asked for: the file config.json.

    Args:
        data: KIND:PATH, each.
        name: of the model, the task's if empty; `version` as well.
        licence: of data whose licence does not follow from its layout.
        start: weights to start from: best.npz of another run, or assets.extra/weights.npz of a model.
        window_frames: of the exported separator; `hop_frames` from one window to the next.
    """

    data: tuple[str, ...] = ()
    name: str = ""
    version: str = "1"
    licence: str = ""
    start: str | None = None
    window_frames: int = 256
    hop_frames: int = 224
    train: TrainConfig = field(default_factory=TrainConfig)
    separator: SeparationConfig = field(default_factory=SeparationConfig)
    defects: DetectionConfig = field(default_factory=DetectionConfig)


def _separation(songs: Sequence[Song], run: RunConfig, cache: Path) -> Recipe:
    return Separation(songs, run.separator, cache, run.train.seed)


def _detection(songs: Sequence[Song], run: RunConfig, cache: Path) -> Recipe:
    return Detection(songs, run.defects, cache, run.train.seed)


#: By task: what is trained. Each task has a writer in pipelines/trained.py.
RECIPES: dict[str, Callable[[Sequence[Song], RunConfig, Path], Recipe]] = {
    "separator": _separation,
    "defects": _detection,
}


def asked(task: str, config_file: str | None, changes: dict[str, Any]) -> RunConfig:
    """The configuration in a file, or the default one, with what the command line says besides.

    Args:
        changes: fields of RunConfig, and `steps`; None where the command line says nothing.

    Raises:
        MisuseError: if the file cannot be used.
    """
    try:
        run = read_config(RunConfig, Path(config_file)) if config_file else RunConfig()
        said = {name: value for name, value in changes.items() if value not in (None, "", ())}
        trained = replaced(run.train, **{"steps": said.pop("steps")} if "steps" in said else {})
        run = replaced(run, **{"name": run.name or task, **said}, train=trained)
    except ConfigError as error:
        raise MisuseError(str(error), f"songscan train {task} --show_config prints all fields") from error
    if not run.data:
        raise MisuseError("there is nothing to train on", f"name data: --data KIND:PATH, KIND one of {_kinds()}")
    return run


def train_task(console: Console, task: str, run: RunConfig, out: Path) -> int:
    """Trains the network of `task`, one of TRAINED, or goes on with it, and writes the model; the exit status.

    Raises:
        MisuseError: if the data is not as said, or `out` is of another run.
        RunError: if training fails.
    """
    try:
        songs = [song for source in run.data for song in read_layout(source)]
        _check_out(run, out)
        recipe = RECIPES[task](songs, run, out / "data")
        _remember(run, out)
        devices = all_devices()
        with TrainingLog(console, out, run.train.steps, quiet=not devices.chief) as log:
            start = Path(run.start) if run.start else None
            network = train(recipe, run.train, out, log.report, devices, start)
        if keras.backend.backend() != "tensorflow":
            words = "trained; the same command without KERAS_BACKEND writes the model, which needs TensorFlow"
            console.print(Text(words))
        elif devices.chief:
            from pipelines import trained

            _told(console, task, trained.WRITERS[task](run, out, network, recipe, licences(run)))
    except DataError as error:
        advice = f"--data KIND:PATH, KIND one of {_kinds()}, and {task}.held_out say what is trained on"
        raise MisuseError(str(error), advice) from error
    except KeyboardInterrupt:
        every = run.train.checkpoint_every
        console.print(f"the same command goes on from the last checkpoint (there is one every {every} steps)")
        raise
    except (CheckpointError, ConfigError) as error:
        raise MisuseError(str(error), "a run goes on only as it was begun, and with settings that fit") from error
    except (FloatingPointError, ModelError) as error:
        raise RunError(str(error), "what was reached is kept in the run's folder") from error
    return DONE


def _kinds() -> str:
    return ", ".join(sorted(LICENCES))


def _check_out(run: RunConfig, out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise MisuseError(f"--out={visible(str(out))} is a file", "name a folder; it is made if it is not there")
    path = out / "config.json"
    if path.exists() and _begun(out):
        begun = read_config(RunConfig, path)
        if begun != run:
            differing = ", ".join(_differences(dataclasses.asdict(begun), dataclasses.asdict(run)))
            advice = f"take another --out, or --config {path} to go on with it"
            raise MisuseError(f"{out} holds a run that was begun with other settings: {differing}", advice)


def _begun(out: Path) -> bool:
    return (out / "checkpoint.npz").exists()


def _remember(run: RunConfig, out: Path) -> None:
    if not _begun(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(to_json(run), encoding="utf-8")


def _differences(first: dict[str, Any], second: dict[str, Any], at: str = "") -> list[str]:
    found: list[str] = []
    for name, value in first.items():
        if isinstance(value, dict):
            found += _differences(value, second[name], f"{at}{name}.")
        elif value != second[name]:
            found.append(f"{at}{name} was {value!r}, is {second[name]!r}")
    return found


def _told(console: Console, task: str, written: Sequence[Path]) -> None:
    for path in written:
        console.print(Text.assemble(("written", "green"), "  ", visible(str(path)), overflow="fold"))
    names = {"separator": "stems"}
    console.print(
        Text(f"Use it: songscan scan INPUT OUTPUT --tasks={names.get(task, task)} --models={visible(str(written[0]))}")
    )


def licences(run: RunConfig) -> Licences:
    """Under which terms the weights stand: for research only if any of the data does, or does not say."""
    told, research_only = [], False
    for source in run.data:
        words, research = LICENCES[source.partition(":")[0]]
        told.append(words or run.licence or f"{source}: not told")
        research_only |= research or not (words or run.licence)
    data = "; ".join(dict.fromkeys(told))
    weights = "as the training data" if research_only else data
    return Licences(code="songscan's", weights=weights, training_data=data, research_only=research_only)
