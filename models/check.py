"""A SavedModel run against its card on made recordings, so that what does not fit shows before a scan meets it.

Conventions. Recordings are float32 [frames, channels] at the card's rate and channels, full scale +-1.0, and the same
on every machine. A check yields findings: ok; info (good to know); warn (a scan runs, but something is amiss); fail (a
scan must not rely on the model). Differences are absolute for scores and waveforms, and relative to the largest value
for embeddings, whose scale is anybody's choice. The model is loaded and called by models/saved.py and models/apply.py,
as in a scan.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from models.apply import apply, grid_of
from models.card import ModelCard, ModelError, Output
from models.defects import check_measures
from models.model import Model
from models.windows import FloatArray

SILENCE, LONGEST = "digital silence", "a few windows and a bit"
SAME = 1e-5  #: two runs may differ by so much: not every device adds up in the same order
NEIGHBOUR_TOLERANCE = 1e-4  #: and so much among other neighbours, where a library may choose another algorithm
SILENCE_PEAK = 1e-4  #: -80 dBFS; waveforms made from silence should stay below
LEAST_RESPONSE = 1e-3  #: by which some score should differ between silence, tones and noise
SIGMOID_OF_SCORES = (0.5, 0.7311)  #: what a sigmoid makes of numbers that are 0..1 already

Heard = Mapping[str, FloatArray]  #: what a model gave for one recording, by output: [windows, frames or samples, ...]


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    status: str  #: ok, info, warn, fail
    words: str
    remedy: str = ""


def check(model: Model) -> Iterator[Finding]:
    """What is right and wrong with `model`; takes about as long as the model takes for four device batches."""
    yield Finding("ok", f"it loads, and its signature {model.card.signature!r} fits the card")
    yield from _labels(model.card)
    yield from _frames(model)
    heard: dict[str, Heard] = {}
    for name, recording in recordings(model.card).items():
        try:
            heard[name] = hear(model, recording)
        except ModelError as error:
            yield Finding("fail", f"{name}: {error.message}", error.advice)
            continue
        yield from _counts(model, name, recording, heard[name])
    yield from _silence(model.card, heard)
    yield from _response(model.card, list(heard.values()))
    try:
        yield from _repetition(model, heard)
        yield from _neighbours(model)
    except ModelError as error:
        yield Finding("fail", f"a device batch of noise: {error.message}", error.advice)


def recordings(card: ModelCard) -> dict[str, FloatArray]:
    """What the model is made to hear, by name: [frames, channels] each.

    Level and contents differ over one window; length differs in noise.
    """
    window, random = card.window_samples, np.random.default_rng(0)

    def noise(frames: int) -> FloatArray:
        return random.uniform(-1, 1, (frames, card.channels)).astype(np.float32)

    silence = np.zeros((window, card.channels), np.float32)
    tone = silence + np.sin(2 * np.pi / 20 * np.arange(window)).astype(np.float32)[:, None]
    click = silence.copy()
    click[window // 2] = 1
    return {
        SILENCE: silence,
        "a tone at -60 dBFS": tone / np.float32(1000),
        "a tone at full scale": tone,
        "noise at full scale": noise(window),
        "a click": click,
        "a third of a window": noise(-(-window // 3)) / 10,
        "exactly a window": noise(window) / 10,
        LONGEST: noise(window + 3 * card.hop_samples + card.hop_samples // 3 + 1) / 10,
    }


def hear(model: Model, recording: FloatArray) -> Heard:
    """All outputs of `model` for `recording`.

    Raises:
        ModelError: as `models.apply.apply` does.
    """
    parts: dict[str, list[FloatArray]] = {output.name: [] for output in _outputs(model.card, "waveform", "mask")}
    sinks = {name: blocks.append for name, blocks in parts.items()}
    given = apply(model, [recording], len(recording), sinks)
    flowed = {name: np.concatenate(blocks) for name, blocks in parts.items()}
    return {**given.windows, **given.frames, **flowed}


def _outputs(card: ModelCard, *roles: str) -> list[Output]:
    return [output for output in card.outputs if output.role in roles]


# Without a recording ---------------------------------------------------------------------------------------------


def _labels(card: ModelCard) -> Iterator[Finding]:
    without = sum(label.threshold is None for label in card.labels)
    if without:
        words = f"{without} of {len(card.labels)} labels have no threshold: they get scores, but are never `present`"
        yield Finding("info", words)
    try:
        check_measures(card)
    except ModelError as error:
        yield Finding("fail", error.message, error.advice)


def _frames(model: Model) -> Iterator[Finding]:
    """Whether all frames that a window gives begin within it; that there are enough of them, loading has seen."""
    frames, hop, window = model.frames or 0, model.card.frame_hop_samples or 1, model.card.window_samples
    if (frames - 1) * hop > window:
        words = f"{frames} frames every {hop} samples begin after the end of their window of {window} samples"
        yield Finding("fail", words, f"Correct frame_hop_samples: {window / frames:.4g} samples a frame would fit")


# Recordings -----------------------------------------------------------------------------------------------------


def _counts(model: Model, name: str, recording: FloatArray, heard: Heard) -> Iterator[Finding]:
    """Whether a recording gave as many windows, frames and samples as the card says."""
    wrong, told = [], []
    for output in _outputs(model.card, *_ROWS):
        values = heard[output.name]
        wanted = _rows(model, output, len(recording))
        if len(values) != wanted:
            wrong.append(f"{output.name} has {_count(output, len(values))}, by the card there are {wanted}")
        told.append(f"{output.name}: {_count(output, len(values))}, {_range(output, values)}")
    status, remedy = ("fail", "Correct window_samples, hop_samples or frame_hop_samples") if wrong else ("ok", "")
    words = f"{name}, {len(recording) / model.card.sample_rate_hz:.3g} s: {'; '.join(wrong or told)}"
    yield Finding(status, words, remedy)


_ROWS = {"scores": "window", "embedding": "window", "frame_scores": "frame", "waveform": "sample", "mask": "mask frame"}


def _count(output: Output, rows: int) -> str:
    return f"{rows:,} {_ROWS[output.role]}{'' if rows == 1 else 's'}"


def _rows(model: Model, output: Output, frames: int) -> int:
    """How many windows, frames or samples there must be for a recording of so many frames of audio."""
    card, windows = model.card, grid_of(model.card).count(frames)
    if output.role == "waveform":
        return frames
    hop = card.frame_hop_samples or 1
    if output.role == "mask":
        return -(-frames // hop)
    if output.role != "frame_scores":
        return windows
    given = (windows - 1) * (card.hop_samples // hop) + (model.frames or 0)
    return sum(0 <= number * hop - card.lead_in_samples < frames for number in range(given))


def _range(output: Output, values: FloatArray) -> str:
    if output.role == "waveform":
        return f"peak {_dbfs(values)}"
    return f"{values.min(initial=np.inf):.3g} to {values.max(initial=-np.inf):.3g}"


def _dbfs(samples: FloatArray) -> str:
    peak = float(np.abs(samples).max(initial=0))
    return f"{20 * np.log10(peak):.1f} dBFS" if peak else "-inf dBFS"


def _silence(card: ModelCard, heard: Mapping[str, Heard]) -> Iterator[Finding]:
    """Whether waveforms made of silence are silent."""
    for output in _outputs(card, "waveform") if SILENCE in heard else []:
        samples = heard[SILENCE][output.name]
        words = f"digital silence in, {output.name} {_dbfs(samples)} out"
        if np.abs(samples).max(initial=0) <= SILENCE_PEAK:
            yield Finding("ok", words)
        else:
            remedy = "Pauses would hum or hiss: a bias in the last layer, or a normalisation that lifts silence?"
            yield Finding("warn", words, remedy)


def _response(card: ModelCard, heard: list[Heard]) -> Iterator[Finding]:
    """Whether scores and masks depend on what is heard, and use their range."""
    for output in _outputs(card, "scores", "frame_scores", "mask") if len(heard) > 1 else []:
        values = np.concatenate([each[output.name] for each in heard])
        low, high = float(values.min()), float(values.max())
        if np.ptp(values, axis=0).max() < LEAST_RESPONSE:
            words = f"{output.name} hardly changes between silence, tones and noise: {low:.5g} to {high:.5g}"
            remedy = "Does the model hear its input? Look at scale (32768 for 16-bit samples) and at its weights"
            yield Finding("warn", words, remedy)
        elif output.activation == "sigmoid" and SIGMOID_OF_SCORES[0] <= low and high <= SIGMOID_OF_SCORES[1]:
            words = f"{output.name} stays between {low:.3g} and {high:.3g}, as the sigmoid of a sigmoid does"
            yield Finding("warn", words, "If the model has its own sigmoid, set the activation to none in the card")


# The same again -------------------------------------------------------------------------------------------------


def _repetition(model: Model, heard: Mapping[str, Heard]) -> Iterator[Finding]:
    """Whether a recording gives the same twice."""
    if LONGEST not in heard:
        return
    again = hear(model, recordings(model.card)[LONGEST])
    off, name = _largest_difference(model.card, heard[LONGEST], again)
    if off <= SAME:
        yield Finding("ok", f"the same recording twice: {'equal to the bit' if off == 0 else f'within {off:.2g}'}")
    else:
        words = f"the same recording twice: output {name!r} differs by {off:.2g}, at most {SAME:g} is rounding"
        remedy = "Does it draw random numbers, as dropout in training mode does, or keep a state? Export for inference"
        yield Finding("fail", words, remedy)


def _neighbours(model: Model) -> Iterator[Finding]:
    """Whether a window gives the same alone as in a full device batch, and how fast that batch is."""
    size = model.card.device_batch
    batch = _uneven_batch(model.card)
    together = model.predict(batch)
    took_s = min(_took_s(model, batch) for _ in range(2))
    differences = []
    for place in sorted({0, size // 2, size - 1}):
        alone = model.predict(batch[place : place + 1])
        there = {name: values[place : place + 1] for name, values in together.items()}
        differences.append(_largest_difference(model.card, there, alone))
    yield _told_of_neighbours(size, *max(differences))
    heard_s = size * model.card.hop_s
    words = f"a device batch of {size} windows, {heard_s:.3g} s, takes {took_s:.2g} s here"
    yield Finding("info", f"{words}: {heard_s / took_s:,.0f} times real time")


def _took_s(model: Model, batch: FloatArray) -> float:
    started = time.perf_counter()
    model.predict(batch)
    return time.perf_counter() - started


def _uneven_batch(card: ModelCard) -> FloatArray:
    """A device batch of windows that differ much: [device_batch, window, channels].

    Noise from 0 to -100 dBFS, so that a floor 80 dB below the loudest, which is customary, shows if that is the loudest
    of the batch; and with an offset of half its peak, so that means over the batch show.
    """
    shape = (card.device_batch, card.window_samples, card.channels)
    levels = np.geomspace(1, 1e-5, card.device_batch, dtype=np.float32)
    noise: FloatArray = np.random.default_rng(1).random(shape, np.float32)
    return noise * levels[:, None, None]


def _told_of_neighbours(size: int, off: float, name: str) -> Finding:
    if size == 1:
        return Finding("info", "windows go to the device one by one (device_batch is 1), so none has neighbours")
    words = f"a window alone and in a device batch of {size}"
    if off <= NEIGHBOUR_TOLERANCE:
        return Finding("ok", f"{words}: {'equal to the bit' if off == 0 else f'within {off:.2g}'}")
    return Finding(
        "fail",
        f"{words}: output {name!r} differs by {off:.2g}, at most {NEIGHBOUR_TOLERANCE:g} is rounding",
        "A window's result must not depend on its neighbours. Is a mean or a maximum taken over the batch, or batch "
        "normalisation in training mode? Compute it within each window, or set device_batch to 1",
    )


def _largest_difference(card: ModelCard, first: Heard, second: Heard) -> tuple[float, str]:
    """How far two results are apart, and the output where they are so most."""
    return max((_difference(output, first[output.name], second[output.name]), output.name)
               for output in card.outputs if output.name in first)  # fmt: skip


def _difference(output: Output, first: FloatArray, second: FloatArray) -> float:
    if first.shape != second.shape:
        return float("inf")
    off = float(np.abs(first - second).max(initial=0))
    if output.role != "embedding" or off == 0:
        return off
    return off / float(np.abs(first).max(initial=0) or 1)
