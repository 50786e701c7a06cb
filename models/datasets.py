"""tf.data over audio files, and over TFRecord files of features.

Conventions. A dataset of file names goes in; what comes out has the shapes and types that are said for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Signature = Sequence[tf.TensorSpec]


def map_files(
    names: Any, function: Callable[[str], Any], signature: Signature, *, parallel_calls: int | None = None
) -> Any:
    """A tf.data.Dataset of what `function`, plain Python (librosa, NumPy, ...), gives for each file name.

    Args:
        names: dataset of scalar strings, or a sequence of names.
        function: a file name to an array, or to a tuple of them.
        signature: a tf.TensorSpec for each array; sizes that differ from file to file are None.
        parallel_calls: so many at a time, in the order of the names; as many as tf.data finds good if None. The
            interpreter's lock is let go by decoders, NumPy and soxr, not by plain Python.

    Raises, while the dataset is read:
        tf.errors.UnknownError: with the file's name and the words of the error; also if an array does not fit its
            TensorSpec.
    """

    def called(name: Any) -> list[Any]:
        path = name.numpy().decode("utf-8", "surrogateescape")
        try:
            arrays = function(path)
            parts = arrays if isinstance(arrays, tuple) else (arrays,)
            return [_fitting(part, spec) for part, spec in zip(parts, signature, strict=True)]
        except Exception as error:  # not swallowed: whoever reads the dataset gets it, with the file's name
            raise RuntimeError(f"{path!r}: {type(error).__name__}: {error}") from error

    def mapped(name: Any) -> Any:
        tensors = tf.py_function(called, [name], [spec.dtype for spec in signature])
        for tensor, spec in zip(tensors, signature, strict=True):
            tensor.set_shape(spec.shape)
        return tensors[0] if len(signature) == 1 else tuple(tensors)

    dataset = names if isinstance(names, tf.data.Dataset) else tf.data.Dataset.from_tensor_slices(list(names))
    return dataset.map(mapped, num_parallel_calls=parallel_calls or tf.data.AUTOTUNE, deterministic=True)


def _fitting(part: Any, spec: tf.TensorSpec) -> np.ndarray[Any, Any]:
    array = np.asarray(part, spec.dtype.as_numpy_dtype)
    if not spec.shape.is_compatible_with(array.shape):
        raise ValueError(f"the function gave the shape {list(array.shape)}, the signature says {spec.shape.as_list()}")
    return array


def write_records(path: str | os.PathLike[str], examples: Iterable[Mapping[str, npt.ArrayLike]]) -> int:
    """Writes `examples`, arrays of numbers by name, as a TFRecord file of tf.Example, GZIP; how many they were.

    Whole numbers are stored as int64, others as float32, flat: `read_records` is told the shapes.
    """
    count, scratch = 0, f"{os.fspath(path)}.part"
    with tf.io.TFRecordWriter(scratch, "GZIP") as writer:
        for example in examples:
            features = {name: _feature(np.asarray(values)) for name, values in example.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
            count += 1
    os.replace(scratch, path)
    return count


def read_records(paths: Sequence[str | os.PathLike[str]], shapes: Mapping[str, tf.TensorSpec]) -> Any:
    """A tf.data.Dataset of dicts of tensors, by name, from TFRecord files that `write_records` (or anybody) made.

    Args:
        shapes: what is read: float32 or int64, of a shape that is known.

    Raises, while the dataset is read:
        tf.errors.DataLossError: if a file is cut off.
        tf.errors.InvalidArgumentError: if an example lacks a feature, or has it in another size.
    """
    parts = {name: tf.io.FixedLenFeature(spec.shape, spec.dtype) for name, spec in shapes.items()}
    names = [os.fspath(path) for path in paths]
    records = tf.data.TFRecordDataset(names, "GZIP", num_parallel_reads=None)
    return records.map(lambda record: tf.io.parse_single_example(record, parts), num_parallel_calls=tf.data.AUTOTUNE)


def _feature(values: npt.NDArray[Any]) -> Any:
    if np.issubdtype(values.dtype, np.integer):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values.ravel()))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values.ravel().astype(np.float32)))
