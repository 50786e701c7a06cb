"""A model applied to a whole recording: windows in, device batches through, outputs stitched by their role.

Conventions. Blocks are float32 [frames, channels] at the model's rate and channels. Memory is a device batch, or as
many as the model has in flight, and what the caller keeps: scores and embeddings are collected, waveforms and masks
flow into sinks.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from models.card import ModelCard, ModelError
from models.model import Model
from models.windows import FloatArray, Grid, OverlapAdd, cut


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a model gave for one recording, by the names of its outputs.

    Args:
        card: the model's.
        windows: scores [windows, labels] and embeddings [windows, features]; window n starts at
            n * hop - lead-in.
        frames: framewise scores [frames, labels], on one time line.
        first_frame_s: where the first frame starts, seconds.
    """

    card: ModelCard
    windows: Mapping[str, FloatArray] = field(default_factory=dict)
    frames: Mapping[str, FloatArray] = field(default_factory=dict)
    first_frame_s: float = 0.0


def grid_of(card: ModelCard) -> Grid:
    """Where the windows of a model lie."""
    return Grid(
        window=card.window_samples,
        hop=card.hop_samples,
        lead_in=card.lead_in_samples,
        repeat_short=card.short == "repeat",
        drop_tail=card.tail == "drop",
    )


def apply(
    model: Model,
    blocks: Iterable[FloatArray],
    frames: int,
    flowing: Mapping[str, Callable[[FloatArray], object]] | None = None,
) -> Outputs:
    """The outputs of `model` for the recording that comes in `blocks`.

    Args:
        frames: the recording's length at the model's rate.
        flowing: by output, what takes its samples [frames, channels], block by block, `frames` in all, or its masks
            [mask frames, bins], one for each frame hop that is begun; an output of these roles without a sink is
            dropped.

    Raises:
        ModelError: as `Model.predict_each` does.
    """
    card, sinks = model.card, flowing or {}
    grid, stitching = grid_of(card), _Framewise(card, model.frames, frames)
    roles = {output.name: output.role for output in card.outputs}
    adders = {name: _adder(card, roles[name], frames) for name in sinks}
    collected: dict[str, list[FloatArray]] = {}
    with contextlib.closing(model.predict_each(_batches(cut(blocks, grid), card.device_batch))) as answers:
        for name, values in itertools.chain.from_iterable(given.items() for given in answers):
            if roles[name] == "frame_scores":
                stitching.add(name, values)
            elif roles[name] not in ("waveform", "mask"):
                collected.setdefault(name, []).append(values)
            elif name in sinks:
                for window in values:
                    sinks[name](adders[name].add(window))
    for name, adder in adders.items():
        sinks[name](adder.finish())
    return Outputs(
        card=card,
        windows={name: np.concatenate(parts) for name, parts in collected.items()},
        frames=stitching.result(),
        first_frame_s=stitching.first_s,
    )


def _adder(card: ModelCard, role: str, frames: int) -> OverlapAdd:
    """What puts the waveforms or masks of windows together."""
    grid = grid_of(card)
    if role == "waveform":
        return OverlapAdd(grid, frames)
    hop = card.frame_hop_samples or 1
    of_masks = Grid(window=grid.window // hop, hop=grid.hop // hop, lead_in=grid.lead_in // hop)
    return OverlapAdd(of_masks, -(-frames // hop))


def _batches(windows: Iterator[FloatArray], size: int) -> Iterator[FloatArray]:
    while batch := list(itertools.islice(windows, size)):
        yield np.stack(batch)


class _Framewise:
    """Stitches framewise outputs: frames of the lead-in are left out, overlapping ones cross-faded."""

    def __init__(self, card: ModelCard, per_window: int | None, frames: int) -> None:
        hop = card.frame_hop_samples or 1
        lead_in = -(-card.lead_in_samples // hop)
        first = lead_in * hop - card.lead_in_samples  # samples
        self.first_s = first / card.sample_rate_hz
        self._grid = Grid(window=per_window or 1, hop=card.hop_samples // hop or 1, lead_in=lead_in)
        covered = (grid_of(card).count(frames) - 1) * self._grid.hop + self._grid.window - lead_in
        self._rows = max(0, min(-(-(frames - first) // hop), covered))
        self._adders: dict[str, OverlapAdd] = {}
        self._parts: dict[str, list[FloatArray]] = {}

    def add(self, name: str, values: FloatArray) -> None:
        """Takes the frames of the next windows, [windows, frames, labels]."""
        if values.shape[1] != self._grid.window:
            raise ModelError(
                "wrong_frames",
                f"output {name!r} gave {values.shape[1]} frames for a window and {self._grid.window} for another",
                "The number of frames may depend on the length of the window only",
            )
        adder = self._adders.setdefault(name, OverlapAdd(self._grid, self._rows))
        self._parts.setdefault(name, []).extend(adder.add(window) for window in values)

    def result(self) -> dict[str, FloatArray]:
        """The stitched frames."""
        return {name: np.concatenate([*parts, self._adders[name].finish()]) for name, parts in self._parts.items()}
