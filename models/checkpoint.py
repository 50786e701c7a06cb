"""All that changes while a network is trained, in one file.

Conventions. Files are .npz, written whole or not at all. Averages are over all variables, moving statistics of batch
normalisation included, so that weights and statistics fit each other.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class CheckpointError(Exception):
    """A checkpoint that cannot be gone on from: its path, what does not fit, and what to do."""


class State:
    """Variables of a network and of its optimizer, averages, steps done, and the best evaluation so far."""

    def __init__(self, network: keras.Model, optimizer: Any) -> None:
        self._network = network
        self._optimizer = optimizer
        self.step = 0
        self.averages = values_of(network)
        self.best = -np.inf
        self.since_best = 0  #: evaluations without a better one

    def save(self, path: Path) -> None:
        """Writes it to `path`."""
        arrays = _numbered("network", self._network.variables) | _numbered("optimizer", self._optimizer.variables)
        arrays |= _numbered("average", self.averages)
        write_arrays(path, progress=np.array([self.step, self.best, self.since_best]), **arrays)

    def load(self, path: Path) -> None:
        """Goes on from `path`.

        Raises:
            CheckpointError: if it is of another network, or damaged.
        """
        arrays = read_arrays(path)
        try:
            assign(self._network.variables, _all(arrays, "network"))
            assign(self._optimizer.variables, _all(arrays, "optimizer"))
            self.averages = _all(arrays, "average")
            step, best, since_best = arrays["progress"]
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{path} is of another network ({error}): take another --out, or remove it") from None
        self.step, self.best, self.since_best = int(step), float(best), int(since_best)

    def average(self, decay: float) -> None:
        """Moves the averages on by one step; they follow closely while there are few steps to average."""
        keep = min(decay, (1 + self.step) / (10 + self.step))
        for average, variable in zip(self.averages, self._network.variables, strict=True):
            average += (1 - keep) * (keras.ops.convert_to_numpy(variable) - average)


def values_of(network: keras.Model) -> list[FloatArray]:
    """Copies of all its variables."""
    return [np.array(keras.ops.convert_to_numpy(variable), np.float32) for variable in network.variables]


def assign(variables: Sequence[Any], arrays: Sequence[Any]) -> None:
    """Gives `variables` the values `arrays`.

    Raises:
        ValueError: if they are not as many, or of other shapes.
    """
    if len(variables) != len(arrays):
        raise ValueError(f"{len(arrays)} arrays for {len(variables)} variables")
    for variable, array in zip(variables, arrays, strict=True):
        if tuple(variable.shape) != np.shape(array):
            raise ValueError(f"{variable.path} has the shape {tuple(variable.shape)}, not {np.shape(array)}")
        variable.assign(array)


def write_arrays(path: Path, **arrays: Any) -> None:
    """An .npz file, whole or not at all."""
    scratch = path.with_suffix(".part")
    with open(scratch, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(path)


def read_arrays(path: Path) -> dict[str, Any]:
    """What `write_arrays` wrote.

    Raises:
        CheckpointError: if it cannot be read.
    """
    try:
        with open(path, "rb") as file, np.load(file) as arrays:  # np.load would leave a damaged file open
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): is it whole?") from error


def write_weights(path: Path, weights: Sequence[npt.NDArray[Any]]) -> None:
    """Values of all variables of a network, in their order."""
    write_arrays(path, **_numbered("weight", weights))


def read_weights(path: Path) -> list[FloatArray]:
    """What `write_weights` wrote.

    Raises:
        CheckpointError: if it cannot be read.
    """
    return _all(read_arrays(path), "weight")


def _numbered(name: str, arrays: Sequence[Any]) -> dict[str, Any]:
    return {f"{name}{number}": keras.ops.convert_to_numpy(array) for number, array in enumerate(arrays)}


def _all(arrays: dict[str, Any], name: str) -> list[Any]:
    count = sum(key.rstrip("0123456789") == name for key in arrays)
    return [arrays[f"{name}{number}"] for number in range(count)]
