"""The published musicnn networks (MSD and MTT) as SavedModels of ours: waveform in, tags and an embedding out.

Conventions. Pons and Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", ISMIR 2019;
the checkpoints come from PyPI's musicnn 0.1.0 (ISC licence). A patch is 187 frames of 96 mel bands: librosa's mel
matrix over power spectra of 512 samples every 256 at 16 kHz, as log10(10000 x + 1). librosa centres frames, so a patch
reaches 256 samples to either side of its 186 hops: 48,128 samples every 47,872.

Here the layers are in another order than in the publication: the maximum over frequency is taken before bias,
rectifier and batch normalisation, all of which are monotonic (rising, or falling where the normalisation's scale is
negative: there kernel and maximum change their sign). And filters that weight decay has brought to nothing (weights
below 1e-29; 398 of the first 561 of MSD, 164 of MTT) are not computed: they give the same for any input. The result is
the same to rounding.

Known difference from the package: it keeps mel powers in 16-bit floats, which overflow above 6.5 once they are
multiplied by 10,000; loud music then gives NaN there. Here they stay in 32 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from librosa.filters import mel as librosa_mel

from models import musicnn_labels, signal
from models.card import Input, Label, Licences, Metric, ModelCard, ModelError, Output
from models.saved import save

RATE_HZ, FRAME, HOP, BANDS, FRAMES = 16_000, 512, 256, 96, 187
LEAD_IN = FRAME // 2
WINDOW = (FRAMES - 1) * HOP + FRAME  # 48,128 samples
DEAD = 1e-20  #: of a filter's largest weight; there is none between 1e-29 and 1e-15
EPSILON = 1e-3  #: of batch normalisation, as the publication's TensorFlow had it
NETWORKS = ("MSD_musicnn", "MTT_musicnn")

Weights = Mapping[str, np.ndarray[Any, Any]]


def read_weights(checkpoint: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The variables of a checkpoint of the package, a folder; those of the optimiser left out.

    Raises:
        ModelError: if there is none, or it is damaged.
    """
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(f"{checkpoint}/")  # its files have no name, only suffixes
        names = [name for name in reader.get_variable_to_shape_map() if "Adam" not in name]
        return {name: reader.get_tensor(name) for name in names}
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        words = str(error).splitlines()[0]
        advice = "Install the package without its dependencies: pip install --no-deps --target FOLDER musicnn==0.1.0"
        raise ModelError("no_checkpoint", f"{checkpoint} holds no checkpoint of musicnn ({words})", advice) from error


def network(weights: Weights) -> keras.Model:
    """Patches [batch, 187, 96] of log-mel to `probabilities` [batch, 50] and `embedding` [batch, 200]."""
    patches = keras.Input((FRAMES, BANDS))
    image = _normalised(weights, "", patches)[..., None]  # [batch, 187, 96, 1]
    padded = ops.pad(image, ((0, 0), (3, 3), (0, 0), (0, 0)))
    front = ops.concatenate(
        [
            *(_pooled_conv(weights, number, padded, "valid") for number in (0, 1)),  # timbre
            *(_pooled_conv(weights, number, image, "same") for number in (2, 3, 4)),  # rhythm
        ],
        axis=2,
    )  # [batch, 187, 561]
    middle = [front]
    for number in (5, 6, 7):
        new = _conv_over_time(weights, number, middle[-1])  # [batch, 187, 64]
        middle.append(new if number == 5 else new + middle[-1])
    embedding = _dense_end(weights, ops.concatenate(middle, axis=2))
    logits = _dense(weights, "_1", embedding)
    return keras.Model(patches, {"probabilities": ops.sigmoid(logits), "embedding": embedding})


def _pooled_conv(weights: Weights, number: int, image: Any, padding: str) -> Any:
    """Convolution, bias, rectifier and normalisation, the maximum over frequency: [batch, frames, filters]."""
    name = f"_{number}" if number else ""
    scale, offset = _affine(weights, f"_{number + 1}")
    sign = np.where(scale < 0, -1, 1).astype(np.float32)
    kernel = weights[f"conv2d{name}/kernel"] * sign
    live = np.abs(kernel).max(axis=(0, 1, 2)) > DEAD
    layer = layers.Conv2D(int(live.sum()), kernel.shape[:2], padding=padding, use_bias=False)
    convolved = _fixed(layer, image, kernel[..., live])
    highest = layers.MaxPooling2D((1, convolved.shape[2]))(convolved)[:, :, 0, :]  # [batch, frames, live filters]
    among_all = ops.matmul(highest, np.eye(len(live), dtype=np.float32)[live])  # [batch, frames, filters]
    return ops.relu(among_all * sign + weights[f"conv2d{name}/bias"]) * scale + offset


def _conv_over_time(weights: Weights, number: int, features: Any) -> Any:
    """Seven frames of all features, same length: [batch, frames, 64]."""
    kernel = weights[f"conv2d_{number}/kernel"][:, :, 0, :]  # [7, features, 64]
    convolved = _fixed(layers.Conv1D(kernel.shape[-1], 7, padding="same", use_bias=False), features, kernel)
    scale, offset = _affine(weights, f"_{number + 1}")
    return ops.relu(convolved + weights[f"conv2d_{number}/bias"]) * scale + offset


def _dense_end(weights: Weights, features: Any) -> Any:
    """Maximum and mean over time, and the layer before the last: [batch, 200]."""
    pooled = ops.stack([ops.max(features, axis=1), ops.mean(features, axis=1)], axis=2)  # [batch, 753, 2]
    flat = ops.reshape(pooled, (-1, pooled.shape[1] * 2))
    hidden = ops.relu(_dense(weights, "", _normalised(weights, "_9", flat)))
    return _normalised(weights, "_10", hidden)


def _dense(weights: Weights, name: str, features: Any) -> Any:
    kernel = weights[f"dense{name}/kernel"]
    return _fixed(layers.Dense(kernel.shape[1]), features, kernel, weights[f"dense{name}/bias"])


def _normalised(weights: Weights, name: str, features: Any) -> Any:
    scale, offset = _affine(weights, name)
    return features * scale + offset


def _affine(weights: Weights, name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Batch normalisation as scale and offset."""
    gamma, beta, mean, variance = (
        weights[f"batch_normalization{name}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    return scale, beta - mean * scale


def _fixed(layer: keras.Layer, features: Any, *weights: np.ndarray[Any, Any]) -> Any:
    result = layer(features)
    layer.set_weights(weights)
    return result


class Musicnn(tf.Module):
    """The network with its features: samples in [-1, 1], [batch, 48128], to a dict of its outputs."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.network = network(weights)
        self.mel = librosa_mel(sr=RATE_HZ, n_fft=FRAME, n_mels=BANDS).T

    @tf.function(input_signature=[tf.TensorSpec([None, WINDOW], tf.float32, name="waveform")])
    def __call__(self, waveform: Any) -> Any:
        """The outputs for a batch of windows."""
        power = signal.power(signal.stft(waveform, FRAME, HOP))
        mel = signal.mel(power, self.mel)
        return self.network(tf.math.log(10_000.0 * mel + 1.0) / np.log(10.0).astype(np.float32))


def build(package: Path, root: Path) -> list[Path]:
    """Builds both networks into `root` from the folder where pip has put the package; the models' folders.

    Raises:
        ModelError: if the package is not there, or not whole.
    """
    built = []
    for name in NETWORKS:
        card = musicnn_card(name)
        built.append(root / card.name / card.version)
        save(Musicnn(read_weights(package / "musicnn" / name)), card, built[-1])
    return built


# Cards ----------------------------------------------------------------------------------------------------------

_TRAINED_ON = {
    "MSD_musicnn": "Million Song Dataset with the 50 commonest tags of Last.fm (for research, audio not public)",
    "MTT_musicnn": "MagnaTagATune with its 50 commonest tags (CC BY-NC-SA 3.0)",
}
_LABELS = {"MSD_musicnn": musicnn_labels.MSD, "MTT_musicnn": musicnn_labels.MTT}
_TEST_SETS = {"MSD_musicnn": "test split of MSD", "MTT_musicnn": "test split of MagnaTagATune"}
_ROC_PR = {"MSD_musicnn": (0.8802, 0.2891), "MTT_musicnn": (0.9067, 0.3831)}  # experiment.result beside the checkpoints
_MEASURED_BY = "python -m bench.tags_truth MIR1K_FOLDER"
_WOMAN = "MIR-1K, clips of abjones and amy: 132 of a woman against 43 of a man"
_VOICE = "MIR-1K, clips of abjones and amy: 175 with their voice against the same without"
_MEASURED = {
    "MSD_musicnn": (
        ("female vocalists", 0.987, _WOMAN),
        ("male vocalists", 0.762, _WOMAN),
        ("instrumental", 0.933, _VOICE),
    ),
    "MTT_musicnn": (
        ("female", 0.916, _WOMAN),
        ("male", 0.931, _WOMAN),
        ("vocal", 0.912, _VOICE),
        ("no vocals", 0.929, _VOICE),
    ),
}


def musicnn_card(name: str) -> ModelCard:
    """The card of one of NETWORKS."""
    pr_auc = _ROC_PR[name][1]
    threshold = round(pr_auc / 2, 2)
    return ModelCard(
        name=name.split("_")[1] + "-" + name.split("_")[0].lower(),
        version="1",
        task="tags",
        summary=f"musicnn (Pons and Serra, 2019) trained on the {_TRAINED_ON[name]}",
        licences=Licences(code="ISC", weights="ISC", training_data=_TRAINED_ON[name], research_only=False),
        inputs=(Input(name="waveform", layout="bt"),),
        outputs=(
            Output(name="probabilities", role="scores", layout="bl"),
            Output(name="embedding", role="embedding", layout="be"),
        ),
        sample_rate_hz=RATE_HZ,
        channels=1,
        window_samples=WINDOW,
        hop_samples=FRAMES * HOP,
        lead_in_samples=LEAD_IN,
        short="repeat",  # as in its training
        tail="drop",  # as the package does
        labels=tuple(
            Label(name=label, group=musicnn_labels.GROUP_OF[label], threshold=threshold) for label in _LABELS[name]
        ),
        thresholds_chosen=(
            f"One for all labels, {threshold}: calibrated scores have their best F1 at a threshold of half that F1 "
            f"(Lipton et al., 2014, arXiv 1402.1892); the published mean PR-AUC, {pr_auc}, stands in for it. "
            "Not tuned label by label: no data with these labels is at hand."
        ),
        metrics=_metrics(name),
    )


def _metrics(name: str) -> tuple[Metric, ...]:
    """As published, and as measured here on other music."""
    published = f"musicnn 0.1.0, {name}/experiment.result"
    kinds = ("mean ROC-AUC of 50 labels", "mean PR-AUC of 50 labels")
    return (
        *(
            Metric(name=kind, value=area, data=_TEST_SETS[name], source=published)
            for kind, area in zip(kinds, _ROC_PR[name], strict=True)
        ),
        *(
            Metric(name=f"ROC-AUC of {label!r}", value=area, data=data, source=_MEASURED_BY)
            for label, area, data in _MEASURED[name]
        ),
    )
