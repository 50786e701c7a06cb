"""How a training goes: a bar on a terminal, plain lines elsewhere, log.jsonl, and TensorBoard's events."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOSS_EVERY = 50  #: steps over which the loss is averaged before it is written
PLAIN_EVERY_S = 30.0  #: between lines where there is no terminal


class TrainingLog:
    """Hears of steps and evaluations.

    Args:
        out: the run's folder.
        steps: in all.
        quiet: hears, and says nothing: another machine does.
    """

    def __init__(self, console: Console, out: Path, steps: int, *, quiet: bool = False) -> None:
        self._console = console
        self._out = out
        self._steps = steps
        self._quiet = quiet
        self._losses: list[float] = []
        self._told = time.monotonic()
        self._words = ""
        self._events: Any = None
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, TextColumn("{task.fields[words]}"), console=console, disable=quiet)
        self._task = self._bar.add_task("", total=steps, words="")

    def report(self, step: int, metrics: dict[str, float]) -> None:
        """Takes the loss of a step, or what was measured after it."""
        if self._quiet:
            return
        if set(metrics) == {"loss"}:
            self._losses.append(metrics["loss"])
            self._bar.update(self._task, completed=step)
            if step % LOSS_EVERY and step != self._steps:
                return
            metrics = {"loss": sum(self._losses) / len(self._losses)}
            self._losses.clear()
        self._write(step, metrics)

    def _write(self, step: int, metrics: dict[str, float]) -> None:
        rounded = {name: round(value, 5) for name, value in metrics.items()}
        with open(self._out / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **rounded}) + "\n")
        self._to_tensorboard(step, metrics)
        words = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        self._bar.update(self._task, words=words)
        if "loss" not in metrics or (not self._console.is_terminal and time.monotonic() - self._told > PLAIN_EVERY_S):
            self._bar.console.print(f"step {step:,} of {self._steps:,}: {words}", highlight=False)
            self._told = time.monotonic()

    def _to_tensorboard(self, step: int, metrics: dict[str, float]) -> None:
        if keras.backend.backend() != "tensorflow":
            return
        import tensorflow as tf

        self._events = self._events or tf.summary.create_file_writer(str(self._out / "events"))
        with self._events.as_default(step):
            for name, value in metrics.items():
                tf.summary.scalar(name, value)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()
        if self._events is not None:
            self._events.close()
