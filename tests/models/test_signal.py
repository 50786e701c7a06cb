"""Features against librosa (1e-3 of the maximum), against physics, and alone against beside others."""

import librosa
import numpy as np
import pytest
import tensorflow as tf

from models import signal
from tests import signals

RATE_HZ, FRAME, HOP = 16_000, 512, 256
SOUND = signals.music(2.0, RATE_HZ, 1)[:, 0]
MEL = librosa.filters.mel(sr=RATE_HZ, n_fft=FRAME, n_mels=64)


def close(ours, theirs, share=1e-3):
    np.testing.assert_allclose(ours, theirs, atol=share * np.abs(theirs).max(), rtol=0)


def ours(function, *arguments, **options):
    return function(tf.constant(SOUND[None]), *arguments, **options).numpy()[0].T


def test_stft_is_librosas():
    close(ours(signal.stft, FRAME, HOP), librosa.stft(SOUND, n_fft=FRAME, hop_length=HOP, center=False))


def test_centred_frames_are_librosas():
    centred = signal.stft(signal.centred(tf.constant(SOUND[None]), FRAME), FRAME, HOP).numpy()[0].T
    close(centred, librosa.stft(SOUND, n_fft=FRAME, hop_length=HOP))


def test_magnitude_with_a_longer_transform_is_librosas():
    found = signal.magnitude(signal.stft(tf.constant(SOUND[None]), FRAME, HOP, 1024)).numpy()[0].T
    later = np.pad(SOUND, ((1024 - FRAME) // 2, 1024))  # librosa's frames begin with half of the zeros
    theirs = np.abs(librosa.stft(later, n_fft=1024, win_length=FRAME, hop_length=HOP, center=False))
    assert found.shape[0] == 513
    close(found, theirs[:, : found.shape[1]])


def test_log_mel_is_librosas():
    theirs = librosa.power_to_db(
        librosa.feature.melspectrogram(y=SOUND, sr=RATE_HZ, n_fft=FRAME, hop_length=HOP, n_mels=64, center=False)
    )
    close(ours(signal.log_mel, MEL.T, FRAME, HOP), theirs)


def test_mfcc_is_librosas_but_for_the_first():
    log_mel = ours(signal.log_mel, MEL.T, FRAME, HOP)
    theirs = librosa.feature.mfcc(S=log_mel, n_mfcc=13)
    found = signal.mfcc(tf.constant(log_mel.T[None]), 13).numpy()[0].T
    close(found[1:], theirs[1:])
    close(found[0], np.sqrt(2) * theirs[0])


def test_a_tone_is_one_bin_of_known_height():
    tone = signals.tone(1000.0, 1.0, RATE_HZ, peak=0.5)
    spectrum = signal.magnitude(signal.stft(tf.constant(tone[None]), FRAME, HOP)).numpy()[0]
    assert (spectrum.argmax(axis=1) == 1000 * FRAME // RATE_HZ).all()
    np.testing.assert_allclose(spectrum.max(axis=1), 0.5 / 2 * FRAME / 2, rtol=1e-3)  # the Hann window's mean is 1/2


def test_gain_moves_decibels_by_itself():
    loud, quiet = (signal.log_mel(tf.constant(g * SOUND[None]), MEL.T, FRAME, HOP).numpy() for g in (1.0, 0.1))
    floor = loud.min()
    np.testing.assert_allclose((loud - quiet)[loud > floor + 25], 20, atol=0.05)


def test_neighbours_change_nothing():
    """Where Keras' MelSpectrogram takes its floor from the loudest example of the batch."""
    quiet = 1e-3 * SOUND
    alone = signal.log_mel(tf.constant(quiet[None]), MEL.T, FRAME, HOP).numpy()[0]
    beside = signal.log_mel(tf.constant(np.stack([quiet, SOUND])), MEL.T, FRAME, HOP).numpy()[0]
    np.testing.assert_array_equal(alone, beside)


def test_a_matrix_that_was_not_transposed_is_refused():
    with pytest.raises(ValueError, match="transpose"):
        signal.log_mel(tf.constant(SOUND[None]), MEL, FRAME, HOP)
