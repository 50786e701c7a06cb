"""librosa and NumPy within tf.data; an error names its file."""

import librosa
import numpy as np
import pytest
import tensorflow as tf

from models import datasets
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


SHAPES = {"embedding": tf.TensorSpec([2, 3], tf.float32), "label": tf.TensorSpec([], tf.int64)}


def test_records_come_back_as_they_were(tmp_path):
    examples = [{"embedding": np.full((2, 3), n, np.float32) / 7, "label": n} for n in range(5)]
    for part in range(2):
        assert datasets.write_records(tmp_path / f"{part}.tfrecord", examples[part::2]) == (3, 2)[part]
    read = list(datasets.read_records([tmp_path / "0.tfrecord", tmp_path / "1.tfrecord"], SHAPES))
    assert [int(each["label"]) for each in read] == [0, 2, 4, 1, 3]
    np.testing.assert_array_equal(read[1]["embedding"], examples[2]["embedding"])


def test_a_feature_that_is_missing_is_named(tmp_path):
    datasets.write_records(tmp_path / "x.tfrecord", [{"label": 1}])
    with pytest.raises(tf.errors.InvalidArgumentError, match="embedding"):
        list(datasets.read_records([tmp_path / "x.tfrecord"], SHAPES))


def test_a_file_that_is_cut_off_is_told(tmp_path):
    path = tmp_path / "x.tfrecord"
    datasets.write_records(path, [{"embedding": np.zeros((2, 3)), "label": n} for n in range(100)])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises((tf.errors.DataLossError, tf.errors.OutOfRangeError)):
        list(datasets.read_records([path], SHAPES))


def test_an_example_that_fails_leaves_no_file(tmp_path):
    def examples():
        yield {"label": 1}
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        datasets.write_records(tmp_path / "x.tfrecord", examples())
    assert not (tmp_path / "x.tfrecord").exists()
