"""Writing audio block by block: the same file as at once, and a full disk is heard of wherever it strikes."""

import contextlib
import resource

import numpy as np
import pytest

from models import audio
from models.encode import ENCODERS, Encoder, encode
from models.formats import AudioError

RATE_HZ = 48_000  # which every codec takes
#: The others give the same to the bit; Vorbis extends the sound before its start by what the first write holds.
STEADY = [codec for codec in ENCODERS if codec != "vorbis"]
SOUND = np.random.default_rng(0).normal(0, 0.1, (20_000, 2)).astype(np.float32)


def write_in_blocks(path, codec, sizes=(1, 7, 4096, 10_000)):
    with Encoder(path, RATE_HZ, 2, codec=codec) as encoder:
        start = 0
        for size in (*sizes, len(SOUND)):
            encoder.write(SOUND[start : start + size])
            start += size


@contextlib.contextmanager
def disk_of(size_bytes):
    """Files cannot grow beyond so much: to writers, a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("codec", STEADY)
def test_blocks_make_the_same_sound_as_one_write(tmp_path, codec):
    encode(tmp_path / "whole", SOUND, RATE_HZ, codec=codec)
    write_in_blocks(tmp_path / "blocks", codec)
    whole, blocks = (audio.read(tmp_path / name)[0] for name in ("whole", "blocks"))
    np.testing.assert_array_equal(blocks, whole)
    assert len(whole) == pytest.approx(len(SOUND), abs=2500)


@pytest.mark.parametrize("codec", ENCODERS)
def test_a_full_disk_is_heard_of_wherever_it_strikes(tmp_path, codec):
    write_in_blocks(tmp_path / "whole", codec)
    size_bytes = (tmp_path / "whole").stat().st_size
    for room in (0, 10, 100, size_bytes // 2, size_bytes - 3000, size_bytes - 1):
        with disk_of(room), pytest.raises(OSError, match="File too large"):
            write_in_blocks(tmp_path / "cut", codec)
    with disk_of(size_bytes + 4096):
        write_in_blocks(tmp_path / "fits", codec)


@pytest.mark.parametrize("codec", ["flac", "mp3"])
def test_a_writer_that_fails_passes_its_error_on(tmp_path, codec):
    def fail():
        with Encoder(tmp_path / "a", RATE_HZ, 2, codec=codec) as encoder:
            encoder.write(SOUND)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()


def test_what_a_codec_refuses_is_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(AudioError, match="flac cannot hold 1 channels at 700000 Hz"):
        encode(tmp_path / "a", SOUND[:, :1], 700_000, codec="flac")
    with pytest.raises(AudioError, match="mp3 cannot hold 6 channels"):
        encode(tmp_path / "a", np.tile(SOUND, 3), RATE_HZ, codec="mp3")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        Encoder(tmp_path / "none" / "a", RATE_HZ, 2, codec="flac")
