"""librosa and NumPy within tf.data; an error names its file."""

import librosa
import numpy as np
import pytest
import tensorflow as tf

from models.datasets import map_files
from tests import signals


def level(name):
    sound, _ = librosa.load(name, sr=8000)
    return np.abs(sound).max(), librosa.feature.rms(y=sound)[0]


SIGNATURE = [tf.TensorSpec([], tf.float32), tf.TensorSpec([None], tf.float32)]


@pytest.fixture
def names(tmp_path):
    peaks = (0.1, 0.2, 0.4)
    return [
        str(signals.write(tmp_path, "wav16", signals.tone(peak=p), 48_000, stem=f"träck {n}"))
        for n, p in enumerate(peaks)
    ]


def test_what_the_function_gives_comes_in_the_order_of_the_names(names):
    dataset = map_files(names, level, SIGNATURE, parallel_calls=3)
    assert [spec.shape.as_list() for spec in dataset.element_spec] == [[], [None]]
    peaks = [float(peak) for peak, _ in dataset]
    np.testing.assert_allclose(peaks, [0.1, 0.2, 0.4], rtol=0.01)


def test_one_array_is_not_wrapped_and_datasets_of_names_do(names):
    dataset = map_files(tf.data.Dataset.from_tensor_slices(names), lambda name: level(name)[1], SIGNATURE[1:])
    assert all(rms.shape.rank == 1 for rms in dataset)


def test_an_error_names_the_file_and_says_what_happened(names, tmp_path):
    def fragile(name):
        if "1" in name.rpartition("/")[2]:
            raise ValueError("two channels are too many")
        return np.zeros(3)

    dataset = map_files(names, fragile, SIGNATURE[1:])
    with pytest.raises(tf.errors.OpError) as error:
        list(dataset)
    assert "träck 1.wav" in error.value.message
    assert "two channels are too many" in error.value.message


def test_a_file_that_librosa_cannot_read_is_named(tmp_path):
    (tmp_path / "text.wav").write_text("no sound in here")
    with pytest.raises(tf.errors.OpError, match=r"text\.wav"):
        list(map_files([str(tmp_path / "text.wav")], level, SIGNATURE))


def test_a_shape_that_does_not_fit_is_named(names):
    with pytest.raises(tf.errors.OpError, match=r"träck 0\.wav.*the shape \[4\], the signature says \[3\]"):
        list(map_files(names[:1], lambda _: np.zeros(4), [tf.TensorSpec([3], tf.float32)]))
