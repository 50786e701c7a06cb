"""Packets lost or damaged, channels at fault, samples misread."""

import numpy as np
import pytest

from models import audio
from models.degrade import degrade
from models.degrade.coded import compared, decoded, encoded
from models.degrade.conceal import faded, filled, looped, period
from models.degrade.event import rms
from models.degrade.static import misread
from tests import signals

RATE_HZ = 44100
MUSIC = signals.music(4.0, RATE_HZ)


def draw(name, strength, seed, samples=MUSIC, rate_hz=RATE_HZ):
    return degrade(samples, rate_hz, name, strength, np.random.default_rng(seed))


def test_concealment_is_whole_packets_on_their_grid():
    for seed in range(12):
        for event in draw("concealment", 0.5, seed).events:
            lost_s, packets = event.end_s - event.start_s, (0.01, 0.02, 0.03, 0.04, 0.06)
            assert any(
                abs(lost_s / p - round(lost_s / p)) < 0.01 and abs(event.start_s / p - round(event.start_s / p)) < 0.01
                for p in packets
            )


def test_the_period_of_a_tone_is_found_and_continued():
    tone = 0.5 * np.sin(2 * np.pi * 150 * np.arange(4410) / RATE_HZ)
    assert period(tone, RATE_HZ) % 294 == 0
    made = looped(tone, 294, 441)
    assert np.abs(made - 0.5 * np.sin(2 * np.pi * 150 * np.arange(4410, 4851) / RATE_HZ)).max() < 1e-6
    assert faded(np.array([0.0, 0.01, 0.035, 0.06, 0.2])).tolist() == pytest.approx([1, 1, 0.5, 0, 0])


def test_comfort_noise_has_the_level_before():
    before = np.random.default_rng(1).normal(0, 0.05, 4410)
    made = filled(before, before, 8820, 441, RATE_HZ, "comfort", np.random.default_rng(2))
    assert rms(made) == pytest.approx(0.05, rel=0.15)


@pytest.mark.parametrize("seed", range(8))
def test_the_undamaged_file_decodes_to_the_reference(seed, tmp_path):
    coded = encoded(MUSIC, RATE_HZ, tmp_path / "whole", np.random.default_rng([seed, 1]))
    once, told = decoded(coded.path, coded.rate_hz, RATE_HZ)
    assert told == ()
    assert compared(once, decoded(coded.path, coded.rate_hz, RATE_HZ)[0], RATE_HZ) is None
    lag = 1024 if coded.codec == "adts" else 0  # ADTS cannot tell the encoder's delay
    assert rms(once[lag : lag + 100_000] - MUSIC[:100_000]) < 0.5 * rms(MUSIC)


def test_codec_damage_is_found_where_it_was_done(tmp_path):
    told = 0
    for seed in range(6):
        found = draw("codec_damage", 0.9, seed)
        told += len(found.told)
        assert rms(found.samples) > 0.2 * rms(MUSIC)
        for event in found.events:
            if found.moved_from_s is None:
                part = slice(round(event.start_s * RATE_HZ), round(event.end_s * RATE_HZ))
                assert np.abs(found.samples[part] - found.reference[part]).max() > 0.02 * rms(found.reference)
    assert told > 0


def test_damage_at_a_known_byte_is_heard_at_its_time(tmp_path):
    path = tmp_path / "song.mp3"
    audio.encode(path, MUSIC, RATE_HZ, codec="mp3", bit_rate=128_000)
    clean = audio.read(path)[0]
    signals.scribbled(path, 0.5, 300)
    found = compared(clean, audio.read(path)[0], RATE_HZ)
    assert found is not None
    assert found.events[0].start_s == pytest.approx(2.0, abs=0.1)


def test_a_faulty_channel_leaves_the_others_alone():
    kinds = set()
    for seed in range(16):
        found = draw("channel_fault", 0.9, seed)
        (event,) = found.events
        assert (found.samples[:, 1 - event.channel] == MUSIC[:, 1 - event.channel]).all()
        at = round(event.start_s * RATE_HZ), round(event.end_s * RATE_HZ)
        part, was = (x[at[0] : at[1], event.channel].astype(float) for x in (found.samples, MUSIC))
        gain = float(part @ was / (was @ was))
        assert np.abs(part - gain * was).max() < 1e-6
        kinds.add("lost" if abs(gain) < 0.002 else "turned" if gain < 0 else "level")
    assert kinds == {"lost", "turned", "level"}


def test_misread_bytes_can_be_read_back():
    part, rng = MUSIC[:1000], np.random.default_rng(0)
    words = np.round(part * 32767).astype("<i2")
    swapped = (misread(part, "swapped", rng) * 32768).astype("<i2")
    assert (swapped.byteswap() == words).all()
    shifted = (misread(part, "shifted", rng) * 32768).astype("<i2").tobytes()
    assert shifted[:-1] == words.tobytes()[1:]
    for kind in ("white", "swapped", "shifted", "exclusive"):
        assert rms(misread(part, kind, rng)) > 0.3
