"""What separating costs: each separator that ships or was built here against the published Spleeter, in one run.

Conventions. Speeds are times real time of stereo at 44.1 kHz, seconds of audio by seconds of wall clock, of two
processes at once, one thread each, with TensorFlow as a scan starts it: decoding FLAC, separating, encoding both stems
as FLAC. Multiply-adds are those of convolutions and matrix products, per second of audio; Fourier transforms are not
counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.pipeline import ROOT
from models.audio import encode, read
from models.card import ModelCard, pretrained, read_card
from models.signature import waveform_input
from models.windows import FloatArray
from pipelines.machine import TENSORFLOW
from tests import signals

RATE_HZ = 44_100
TRACK_S = 120.0
WORKERS = 2
SPLEETER = "spleeter"  #: stands for a folder
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")

#: Takes samples [frames, 2] at RATE_HZ and gives the voice; and says how many seconds its network has taken so far.
Timed = tuple[Callable[[FloatArray], FloatArray], Callable[[], float]]


def measure(work_s: float = 60.0) -> list[dict[str, Any]]:
    """A row for Spleeter and for each model of the task `stems`; about `work_s` seconds of work for each."""
    folders = [str(folder) for folder in pretrained() if read_card(folder).task == "stems"]
    with tempfile.TemporaryDirectory(prefix="songscan-bench-") as scratch:
        track = signals.write(Path(scratch), "flac", signals.music(TRACK_S, RATE_HZ, 2, seed=1), RATE_HZ)
        # First and last, so that a machine that slows down meanwhile favours neither.
        first = _speed(SPLEETER, track, work_s / 2)
        rows = {folder: _speed(folder, track, work_s) for folder in folders}
        last = _speed(SPLEETER, track, work_s / 2)
    baseline = {name: (first[name] + last[name]) / 2 for name in first}
    return [_row(name, found, baseline["two_x"]) for name, found in [(SPLEETER, baseline), *rows.items()]]


def _row(name: str, found: dict[str, float], baseline_x: float) -> dict[str, Any]:
    """A line of the table."""
    return {
        "separator": name if name == SPLEETER else "/".join(Path(name).parts[-2:]),
        **found,
        "over_spleeter": found["two_x"] / baseline_x,
        "gmac_per_s": float(_run(f"print(b.multiply_adds_per_s({name!r}))").splitlines()[-1]) / 1e9,
    }


def _speed(name: str, track: Path, work_s: float) -> dict[str, float]:
    """Speed of all workers together, and the share of their time that is not their networks'."""
    code = f"import bench.separation as b; b.work({name!r}, {str(track)!r}, {work_s})"
    workers = [_started(code) for _ in range(WORKERS)]
    for worker in workers:  # all are warm before one begins
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n", f"a worker of {name} failed"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    found = [json.loads(worker.communicate()[0].splitlines()[-1]) for worker in workers]
    network, wall = (sum(its[key] for its in found) for key in ("network_s", "wall_s"))
    return {"two_x": sum(its["audio_s"] / its["wall_s"] for its in found), "outside_network": 1 - network / wall}


def _started(code: str) -> subprocess.Popen[str]:
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=_environment(), stdin=pipe, stdout=pipe, text=True)


def _run(code: str) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-c", f"import bench.separation as b; {code}"]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), check=True, capture_output=True, text=True)
    return done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, **TENSORFLOW, **ONE_THREAD, "TF_CPP_MIN_LOG_LEVEL": "3"}


# In a worker ----------------------------------------------------------------------------------------------------


def work(name: str, track: str, work_s: float) -> None:
    """Separates `track` over and over for `work_s` seconds, once told to begin, and prints what that took."""
    separate, network_s = _separator(name)
    samples, _ = read(track)
    separate(samples)
    print("ready", flush=True)
    sys.stdin.readline()
    before_s, started, heard_s = network_s(), time.perf_counter(), 0.0
    with tempfile.TemporaryDirectory(prefix="songscan-bench-") as folder:
        while time.perf_counter() - started < work_s:
            heard_s += _one(separate, track, Path(folder))
    wall_s = time.perf_counter() - started
    print(json.dumps({"audio_s": heard_s, "wall_s": wall_s, "network_s": network_s() - before_s}))


def _one(separate: Callable[[FloatArray], FloatArray], track: str, folder: Path) -> float:
    """A file to its stems; its length, seconds."""
    samples, decoded = read(track)
    voice = separate(samples)
    encode(folder / "vocals.flac", voice, RATE_HZ, codec="flac")
    encode(folder / "accompaniment.flac", samples - voice, RATE_HZ, codec="flac")
    return len(samples) / decoded.info.sample_rate_hz


def _separator(name: str) -> Timed:
    clock = Clock()
    if name == SPLEETER:
        from bench import spleeter

        networks = clock.around(spleeter.networks())
        return lambda samples: spleeter.separate(networks, samples), lambda: clock.taken_s
    from models.masking import separate_array
    from models.saved import LoadedModel

    model = LoadedModel(Path(name))
    model._function = clock.around(model._function)  # the network alone: what feeds it is drawn as it goes
    return lambda samples: separate_array(model, samples, RATE_HZ), lambda: clock.taken_s


class Clock:
    """Adds up the seconds that calls take."""

    def __init__(self) -> None:
        self.taken_s = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, timed."""

        def timed(*given: Any, **named: Any) -> Any:
            started = time.perf_counter()
            result = function(*given, **named)
            self.taken_s += time.perf_counter() - started
            return result

        return timed


# Counting -------------------------------------------------------------------------------------------------------


def multiply_adds_per_s(name: str) -> float:
    """Of a separator, per second of audio (of both channels)."""
    import tensorflow as tf

    if name == SPLEETER:
        from bench import spleeter

        spec = tf.TensorSpec([1, spleeter.FRAMES, spleeter.BINS, 2], tf.float32)
        return multiply_adds(spleeter.networks(), spec) * spleeter.RATE_HZ / (spleeter.FRAMES * spleeter.HOP)
    card = read_card(Path(name))
    loaded = tf.saved_model.load(name)  # must live as long as its signature
    function = loaded.signatures[card.signature]
    given = waveform_input(card)
    specs = {its.name: its for its in _specs(function, card)}
    windows = specs[given.name].shape[given.layout.index("b")] if "b" in given.layout else 1
    return multiply_adds(function, **specs) / windows / card.hop_s


def _specs(function: Any, card: ModelCard) -> Iterator[Any]:
    """The inputs of a signature, what is open in their shapes filled in: one window."""
    import tensorflow as tf

    sizes = {"b": 1, "t": card.window_samples, "c": card.channels, "1": 1}
    for given in card.inputs:
        spec = function.structured_input_signature[1][given.name]
        axes = given.layout if given.role == "waveform" else "1" * (spec.shape.rank or 0)
        shape = [size or sizes[axis] for axis, size in zip(axes, spec.shape.as_list(), strict=True)]
        yield tf.TensorSpec(shape, spec.dtype, name=given.name)


def multiply_adds(function: Any, *specs: Any, **named: Any) -> int:
    """Of the convolutions and matrix products in `function` for inputs of these shapes; loops count as one turn.

    Raises:
        ValueError: if the shape of one of them is not known before it runs.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    called = tf.function(lambda *args, **more: function(*args, **more), autograph=False)
    flat = convert_variables_to_constants_v2(called.get_concrete_function(*specs, **named))  # functions inlined
    return sum(_of_operation(operation) for operation in flat.graph.get_operations())


def _of_operation(operation: Any) -> int:
    kind, shapes = operation.type, [list(tensor.shape) for tensor in operation.inputs if tensor.shape.rank is not None]
    if kind not in ("Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "MatMul", "BatchMatMul", "BatchMatMulV2"):
        return 0
    if kind == "Conv2DBackpropInput":  # transposed: each element read meets the whole filter of its channel
        sizes = [*shapes[2], *shapes[1][:3]]
    elif kind == "Conv2D":
        sizes = [*operation.outputs[0].shape, *shapes[1][:3]]
    elif kind == "DepthwiseConv2dNative":
        sizes = [*operation.outputs[0].shape, *shapes[1][:2]]
    else:
        turned = operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
        sizes = [*operation.outputs[0].shape, shapes[0][-2 if turned else -1]]
    if any(size is None for size in sizes):
        raise ValueError(f"{operation.name} ({kind}): sizes {sizes} are not all known")
    return int(np.prod(sizes, dtype=np.int64))
