"""The musicnn networks as published: the package's own graph and checkpoint, fed by librosa as the package does.

The package itself does not run any more (TensorFlow has dropped the layers that it is written with), so its graph is
taken as it was stored beside the checkpoint. What follows is what its extractor does with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import librosa
import numpy as np
import tensorflow as tf

PACKAGE = Path(__file__).parents[2] / ".cache" / "musicnn"  #: where `make setup` has pip put it
FRAMES = 187
_LOGITS = "model/dense_1/BiasAdd"


class Original:
    """One network in a session of its own."""

    def __init__(self, name: str, threads: int | None = None) -> None:
        folder = PACKAGE / "musicnn" / name
        meta = tf.compat.v1.MetaGraphDef.FromString((folder / ".meta").read_bytes())
        for node in meta.graph_def.node:
            node.attr.pop("_output_shapes", None)  # some are wrong by today's rules
        inference = tf.compat.v1.graph_util.extract_sub_graph(meta.graph_def, [_LOGITS])
        self._graph = tf.Graph()
        with self._graph.as_default():
            tf.compat.v1.import_graph_def(inference, name="")
        config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads or 0)
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        self._restore(f"{folder}/")
        self._inputs = [node.name for node in inference.node if node.op == "Placeholder"]

    def _restore(self, checkpoint: str) -> None:
        reader = tf.compat.v1.train.NewCheckpointReader(checkpoint)
        there = {operation.name for operation in self._graph.get_operations()}
        with self._graph.as_default():
            assigned = [
                tf.compat.v1.assign(self._graph.get_tensor_by_name(f"{name}:0"), reader.get_tensor(name))
                for name in reader.get_variable_to_shape_map()
                if name in there
            ]
        self._session.run(assigned)

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        """Probabilities [patches, 50] for log-mel patches [patches, 187, 96]."""
        feeds: dict[Any, Any] = {}
        for name in self._inputs:
            tensor = self._graph.get_tensor_by_name(f"{name}:0")
            feeds[tensor] = False if tensor.dtype == tf.bool else patches
        return 1 / (1 + np.exp(-self._session.run(f"{_LOGITS}:0", feeds)))

    def close(self) -> None:
        self._session.close()


def patches(sound: np.ndarray, *, half: bool = False) -> np.ndarray:
    """The package's patches [patches, 187, 96] of mono samples at 16 kHz; `half`: mel powers in 16 bits, as there."""
    mel = librosa.feature.melspectrogram(y=sound, sr=16_000, hop_length=256, n_fft=512, n_mels=96).T
    if half:
        mel = mel.astype(np.float16)
    with np.errstate(over="ignore"):
        frames = np.log10(10000 * mel + 1)
    starts = range(0, len(frames) - FRAMES + 1, FRAMES)
    return np.stack([frames[start : start + FRAMES] for start in starts]).astype(np.float32)
