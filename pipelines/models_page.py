"""`songscan models`: which models are here, whether one of your own can be used, building and exporting them.

Conventions. As pipelines/report.py: all that cards say passes through pipelines/visible.py, and it fits 80 columns.
TensorFlow takes seconds to import, so only what needs it does.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.card import PRETRAINED, Input, ModelCard, ModelError, Output, pretrained, read_card
from models.check import Finding, check
from pipelines.machine import prepare_tensorflow
from pipelines.outcome import DONE, FAILED
from pipelines.visible import cell, count, print_finding, visible
from transforms.errors import RunError
from transforms.model_files import card_of, local_model, open_model
from transforms.serving import is_served
from transforms.tasks import BY_MODELS, ROLES_READ

_KINDS_OF_AUDIO = {1: "mono", 2: "stereo"}


def list_models(console: Console, root: Path = PRETRAINED) -> int:
    """Prints what is known of the models that ship or were built in `root`: of each name the newest version.

    Returns:
        The exit status: 1 if a card is not right, else 0.
    """
    status, folders = DONE, pretrained(root)
    for folder in folders:
        try:
            _print_card(console, read_card(folder), str(folder))
        except ModelError as error:
            print_finding(console, Finding("fail", error.message, error.advice))
            status = FAILED
        console.print()
    if folders:
        console.print("A model of your own: songscan models check FOLDER; docs/models.md tells how.", style="dim")
    else:
        console.print(Text(f"There are no models in {visible(str(root))} yet."))
        console.print("`make setup` builds those that songscan knows; docs/models.md tells how to bring your own.")
    return status


def check_model(console: Console, uri: str) -> int:
    """Prints the card of the model at `uri`, a folder here or on gs://, or a served one, and what is right and wrong.

    Returns:
        The exit status: 1 if anything fails, else 0.
    """
    worst: set[str] = set()
    for finding in _findings(console, os.path.expanduser(uri)):
        worst.add(finding.status)
        print_finding(console, finding)
    said = {
        "fail": "It cannot be used yet.",
        "warn": "It can be used; see the warnings.",
        "ok": f"It can be used: songscan scan INPUT OUTPUT --models={_quoted(visible(uri))}",
    }
    console.print(Text("\n" + next(words for status, words in said.items() if status in worst), style="bold"))
    return FAILED if "fail" in worst else DONE


def _findings(console: Console, uri: str) -> Iterator[Finding]:
    try:
        card = card_of(uri)
        _print_card(console, card, uri)
        console.print()
        yield from check_task(card)
        prepare_tensorflow()
        model = open_model(uri)
        yield from check(model)
        if not is_served(uri):
            from models.warmup import check_warmup

            yield from check_warmup(model, local_model(uri))
    except ModelError as error:
        yield Finding("fail", error.message, error.advice)


def check_task(card: ModelCard) -> Iterator[Finding]:
    """Whether songscan has the task that the card names, and that task can read its outputs."""
    if card.task not in BY_MODELS:
        near = difflib.get_close_matches(card.task, BY_MODELS, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else f"Tasks by models: {', '.join(BY_MODELS)}"
        yield Finding("fail", f"songscan has no task {card.task!r} that models do", remedy)
        return
    try:
        output = card.output_of(*ROLES_READ[card.task])
    except ModelError as error:
        yield Finding("fail", error.message, error.advice)
    else:
        yield Finding("ok", f"task {card.task} reads the output {output.name}")


def build_models(console: Console, folder: str, root: Path = PRETRAINED) -> None:
    """Builds the musicnn networks into `root`, and prints what there is then.

    Args:
        folder: where `pip install --no-deps --target FOLDER musicnn==0.1.0` has put the package.

    Raises:
        RunError: if the package is not there, or not whole.
    """
    prepare_tensorflow()
    from models import musicnn

    try:
        built = musicnn.build(Path(os.path.expanduser(folder)), root)
    except ModelError as error:
        raise RunError(error.message, error.advice) from error
    for path in built:
        console.print(Text.assemble(("built", "green"), "  ", visible(str(path)), overflow="fold"))


def export_model(console: Console, uri: str, folder: str, version: int | None = None) -> None:
    """Copies the model at `uri` to `folder`/NAME/VERSION, with warm-up requests: what TensorFlow Serving loads.

    Args:
        version: the number that Serving knows it by; that of its card if None.

    Raises:
        RunError: if the model is not right, that version is there already, or it cannot be written.
    """
    prepare_tensorflow()
    from models.export import export

    try:
        made = export(local_model(os.path.expanduser(uri)), Path(os.path.expanduser(folder)), version).resolve()
    except ModelError as error:
        raise RunError(error.message, error.advice) from error
    console.print(Text.assemble(("written", "green"), "  ", visible(str(made)), overflow="fold"))
    serve = f"tensorflow_model_server --port=8500 --model_name={made.parent.name} --model_base_path={made.parent}"
    console.print(Text(f"serve it:  {visible(serve)}", overflow="fold"))
    served = f"grpc://localhost:8500/{made.parent.name}/{made.name}?card={made}"
    console.print(Text(f"use it:    --models={_quoted(visible(served))}", overflow="fold"))


# Words ----------------------------------------------------------------------------------------------------------


def _print_card(console: Console, card: ModelCard, uri: str) -> None:
    console.print(Text(f"{card.name} {card.version}", style="bold"))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(card, uri):
        if value != "":
            grid.add_row(Text(f"  {name}"), cell(value))
    console.print(grid)


def _facts(card: ModelCard, uri: str) -> Iterator[tuple[str, Any]]:
    """What a card says, in words; empty where it says nothing."""
    licences = card.licences
    yield "about", card.summary
    yield "task", card.task
    yield "labels", _labels(card)
    yield "hears", _hearing(card)
    yield "takes", ", ".join(_input(tensor) for tensor in card.inputs)
    yield "gives", ", ".join(_output(output) for output in card.outputs)
    yield "thresholds", card.thresholds_chosen
    yield "weights", licences.weights
    yield "research only", licences.research_only
    yield "code", licences.code
    yield "trained on", licences.training_data
    yield "trained by", card.trained_by
    for metric in card.metrics:
        source = f" ({metric.source})" if metric.source else ""
        yield "measured", f"{metric.name} {metric.value:.6g} on {metric.data}{source}"
    yield "where", uri


def _quoted(uri: str) -> str:
    """For a shell, if it needs that: ? and & mean something to one."""
    return f"'{uri}'" if is_served(uri) else uri


def _labels(card: ModelCard) -> str:
    """How many, and of which kinds."""
    groups = Counter(label.group or "no group" for label in card.labels)
    kinds = ", ".join(f"{group} {number}" for group, number in groups.most_common())
    return f"{len(card.labels)}: {kinds}" if card.labels else ""


def _hearing(card: ModelCard) -> str:
    windows = f"windows of {card.window_s:.4g} s every {card.hop_s:.4g} s"
    together = f"up to {count(card.device_batch, 'window')} at once"
    return f"{card.sample_rate_hz:,} Hz {_KINDS_OF_AUDIO[card.channels]}, {windows}, {together}"


def _input(tensor: Input) -> str:
    if tensor.role == "constant":
        return f"{tensor.name} (always {tensor.value})"
    return f"{tensor.name} ({tensor.layout}{f', full scale {tensor.scale:g}' if tensor.scale != 1 else ''})"


def _output(output: Output) -> str:
    activation = f", {output.activation}" if output.activation != "none" else ""
    return f"{output.name} ({output.role}, {output.layout}{activation})"
