"""How well `models.measures.lossy` tells lossy sources from lossless ones: python -m bench.lossy_source MIDI_FOLDER.

Songs are rendered from MIDI with fluidsynth and a General MIDI sound font (so that they surely never were lossy), with
instruments drawn anew per song, 30 s each. Positives pass through an encoder and its decoder, negatives through what
makes honest music look suspicious. Both lose a random number of samples at the start and are stored in 16 bits unless
their name says otherwise. Thresholds were set on the songs of `TUNED_ON`, which are never measured here.
Samples are float32 [frames, 2]; bit rates in kbit/s (Vorbis: quality 0..1 of libsndfile).
"""

import io
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import scipy.signal
import soundfile
import soxr
from numpy.typing import NDArray

from models.measures.lossy import LossyEvidence, lossy_source

Samples = NDArray[np.float32]
Rendering = tuple[Samples, int]

RATE_HZ = 44100
SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
TUNED_ON = ("020", "594", "734", "157", "080", "824", "442", "721", "531", "036", "556", "433", "609", "234")
POSITIVES: dict[str, tuple[float, ...]] = {
    "mp3": (96, 128, 160, 192, 256, 320),
    "aac": (96, 128, 192, 256, 320),
    "vorbis": (0.1, 0.4, 0.6, 0.9),
    "opus": (96, 128, 192, 256, 320),
}
_MUXERS = {"mp3": ("libmp3lame", "mp3"), "aac": ("aac", "adts"), "opus": ("libopus", "ogg")}


def through_codec(samples: Samples, rate_hz: int, codec: str, setting: float) -> Samples:
    """`samples` encoded and decoded again, encoder delay and all; `setting` is kbit/s, for Vorbis its quality."""
    stored = io.BytesIO()
    if codec == "vorbis":
        with soundfile.SoundFile(
            stored, "w", rate_hz, samples.shape[1], "VORBIS", format="OGG", compression_level=1 - setting
        ) as file:
            for start in range(0, len(samples), rate_hz):  # libsndfile overflows its stack on long writes
                file.write(samples[start : start + rate_hz])
        stored.seek(0)
        read: Samples = soundfile.read(stored, dtype="float32", always_2d=True)[0]
        return read
    _encode(stored, samples, rate_hz, codec, setting)
    stored.seek(0)
    resampler = av.AudioResampler(format="flt")
    with av.open(stored) as container:
        frames = [f.to_ndarray() for packet in container.decode(audio=0) for f in resampler.resample(packet)]
    decoded: Samples = np.concatenate(frames, axis=1).reshape(-1, samples.shape[1])
    return decoded


def _encode(stored: io.BytesIO, samples: Samples, rate_hz: int, codec: str, kbit_s: float) -> None:
    encoder, muxer = _MUXERS[codec]
    layout = "stereo" if samples.shape[1] == 2 else "mono"
    with av.open(stored, "w", format=muxer) as container:
        stream = container.add_stream(encoder, rate=rate_hz, layout=layout)
        stream.bit_rate = round(kbit_s * 1000)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), "flt", layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def in_16_bits(samples: Samples) -> Samples:
    """Rounded as a 16-bit file rounds."""
    rounded: Samples = (np.clip(np.rint(samples * 2.0**15), -(2**15), 2**15 - 1) / 2**15).astype(np.float32)
    return rounded


def _reprogrammed(midi: bytes, programs: list[int]) -> bytes:
    """The MIDI file with its program changes replaced, in turn, by `programs`."""
    new, chunk, changes = bytearray(midi), 14, 0
    while chunk + 8 <= len(new):
        at, status = chunk + 8, 0
        chunk = at + struct.unpack(">I", new[chunk + 4 : at])[0]
        while at < chunk:
            _, at = _variable_length(new, at)
            if new[at] & 0x80:
                status, at = new[at], at + 1
            if status in (0xF0, 0xF7, 0xFF):
                length, at = _variable_length(new, at + (status == 0xFF))
                at += length
                continue
            if status >> 4 == 0xC:
                new[at], changes = programs[changes % len(programs)], changes + 1
            at += 1 if status >> 4 in (0xC, 0xD) else 2
    return bytes(new)


def _variable_length(midi: bytearray, at: int) -> tuple[int, int]:
    value = 0
    while True:
        value, at = value << 7 | midi[at] & 0x7F, at + 1
        if not midi[at - 1] & 0x80:
            return value, at


def rendered(midi: Path, duration_s: float = 30.0) -> Samples:
    """`duration_s` from the 20th second on of a MIDI file, instruments and level drawn by its name.

    Raises:
        SystemExit: if fluidsynth or the sound font is missing.
    """
    if not shutil.which("fluidsynth") or not SOUND_FONT.exists():
        raise SystemExit(f"fluidsynth or {SOUND_FONT} is missing: apt-get install fluidsynth fluid-soundfont-gm")
    rng = random.Random(midi.stem)
    programs = [rng.randrange(104) for _ in range(3)] if rng.random() < 2 / 3 else [0, 0, 0]
    with tempfile.TemporaryDirectory() as folder:
        song, wav = Path(folder, "song.mid"), Path(folder, "song.wav")
        song.write_bytes(_reprogrammed(midi.read_bytes(), programs))
        command = f"fluidsynth -ni -O float -r {RATE_HZ} -F {wav} {SOUND_FONT} {song}".split()
        subprocess.run(command, check=True, capture_output=True)
        start = 20 * RATE_HZ
        samples = soundfile.read(wav, round(duration_s * RATE_HZ), start, dtype="float32", always_2d=True)[0]
    scaled: Samples = (samples * (rng.uniform(0.35, 0.95) / np.abs(samples).max())).astype(np.float32)
    return scaled


def _filtered(numerator: Any, denominator: Any, samples: NDArray[Any]) -> Samples:
    filtered: Samples = scipy.signal.lfilter(numerator, denominator, samples, axis=0).astype(np.float32)
    return filtered


def _steep(cutoff_hz: float) -> Callable[[Samples, np.random.Generator], Rendering]:
    taps = scipy.signal.firwin(511, cutoff_hz, fs=RATE_HZ)
    return lambda samples, rng: (scipy.signal.oaconvolve(samples, taps[:, None], axes=0).astype(np.float32), RATE_HZ)


def _gentle(samples: Samples, rng: np.random.Generator) -> Rendering:
    numerator, denominator = scipy.signal.butter(2, 9000, fs=RATE_HZ)
    return _filtered(numerator, denominator, samples), RATE_HZ


def _resampled(samples: Samples, by_way_of_hz: int, to_hz: int) -> Rendering:
    return soxr.resample(soxr.resample(samples, RATE_HZ, by_way_of_hz), by_way_of_hz, to_hz), to_hz


def _dithered(samples: Samples, rng: np.random.Generator) -> Rendering:
    triangular = (rng.random(samples.shape) - rng.random(samples.shape)).astype(np.float32)
    return samples + triangular / np.float32(2**15), RATE_HZ


def _gated(samples: Samples, rng: np.random.Generator) -> Rendering:
    level = scipy.ndimage.maximum_filter1d(np.abs(samples).max(axis=1), 2000)
    return samples * (level > np.median(level))[:, None], RATE_HZ


def _faded(samples: Samples, rng: np.random.Generator) -> Rendering:
    gain = np.logspace(0, -4, len(samples)).astype(np.float32)
    return samples * gain[:, None], RATE_HZ


def _taped(samples: Samples, rng: np.random.Generator) -> Rendering:
    noise = _filtered([0.2], [1, -0.8], rng.normal(0, 0.003, samples.shape))
    return samples + noise, RATE_HZ


def _synthesiser(samples: Samples, rng: np.random.Generator) -> Rendering:
    """Pulses and triangles of constant pitch, some in whole numbers of samples: as periodic as music can be."""
    t = np.arange(len(samples))
    voices = [np.sign(np.sin(2 * np.pi * t / period)) for period in (*rng.integers(20, 400, 3), 128.0, 100.3)]
    steps = 0.5 + 0.5 * (t // 11025 % 2)
    mixed: Samples = np.stack([sum(voices[:3]) * steps, sum(voices[2:]) * steps], axis=1).astype(np.float32)
    return mixed / np.float32(10), RATE_HZ


NEGATIVES: dict[str, Callable[[Samples, np.random.Generator], Rendering]] = {
    "as rendered": lambda samples, rng: (samples, RATE_HZ),
    "low-passed 11 kHz": _steep(11000),
    "low-passed 15 kHz": _steep(15000),
    "low-passed 16 kHz": _steep(16000),
    "low-passed 18 kHz": _steep(18000),
    "dull (gentle, 9 kHz)": _gentle,
    "from 32 kHz": lambda samples, rng: _resampled(samples, 32000, RATE_HZ),
    "at 32 kHz": lambda samples, rng: _resampled(samples, 32000, 32000),
    "upsampled to 48 kHz": lambda samples, rng: _resampled(samples, 48000, 48000),
    "upsampled to 96 kHz": lambda samples, rng: _resampled(samples, 96000, 96000),
    "dithered": _dithered,
    "quiet (-30 dB)": lambda samples, rng: (samples * np.float32(0.0316), RATE_HZ),
    "faded": _faded,
    "gated": _gated,
    "tape noise": _taped,
    "clipped": lambda samples, rng: (np.clip(4 * samples, -0.9, 0.9), RATE_HZ),
    "mono": lambda samples, rng: (samples.mean(axis=1, keepdims=True).repeat(2, axis=1), RATE_HZ),
    "periodic synthesiser": _synthesiser,
}


def cases(song: Samples, rng: np.random.Generator) -> Iterator[tuple[str, bool, Samples, int]]:
    """Everything made of one song: (name, whether lossy, samples, rate in Hz)."""
    for name, change in NEGATIVES.items():
        changed, rate_hz = change(song, rng)
        yield name, False, in_16_bits(changed[rng.integers(5000) :]), rate_hz
    for codec, settings in POSITIVES.items():
        rate_hz = 48000 if codec == "opus" else RATE_HZ
        source = _resampled(song, 48000, 48000)[0] if codec == "opus" else song
        for setting in settings:
            decoded = through_codec(source, rate_hz, codec, setting)[rng.integers(5000) :]
            yield f"{codec} {setting:g}", True, in_16_bits(decoded), rate_hz
            if setting in (192, 0.6):
                yield f"{codec} {setting:g}, float", True, decoded, rate_hz
                yield f"{codec} {setting:g}, -20 dB", True, in_16_bits(decoded * np.float32(0.1)), rate_hz


def measure(midi_dir: str | Path, songs: int = 40) -> dict[str, Any]:
    """Prints and returns how often each kind was called lossy, and the precision over all.

    Returns:
        {"kinds": {name: (called lossy, told, all, highest score)}, "precision", "false_positive_rate"}.

    Raises:
        SystemExit: if fluidsynth or its sound font is missing.
    """
    candidates = [path for path in sorted(Path(midi_dir).rglob("*.mid")) if path.stem not in TUNED_ON]
    chosen = random.Random(2).sample(candidates, min(songs, len(candidates)))
    answers: dict[tuple[str, bool], list[LossyEvidence]] = {}
    for midi in chosen:
        for name, lossy, samples, rate_hz in cases(
            rendered(midi), np.random.default_rng(zlib.crc32(midi.name.encode()))
        ):
            answers.setdefault((name, lossy), []).append(lossy_source(samples, rate_hz))
    return _summary(answers)


def _summary(answers: dict[tuple[str, bool], list[LossyEvidence]]) -> dict[str, Any]:
    kinds, called, told = {}, Counter[bool](), Counter[bool]()
    for (name, lossy), found in answers.items():
        scores = [evidence.score for evidence in found if evidence.score is not None]
        yes = sum(evidence.lossy is True for evidence in found)
        kinds[name] = (yes, len(scores), len(found), round(max(scores, default=0.0), 3))
        called[lossy] += yes
        told[lossy] += len(scores)
        kind = "lossy" if lossy else "lossless"
        print(f"{name:24} {kind:8} called lossy {yes:3} of {len(found):3}, highest score {kinds[name][3]}")
    summary = {
        "kinds": kinds,
        "precision": called[True] / max(1, called.total()),
        "false_positive_rate": called[False] / max(1, told[False]),
        "recall": called[True] / max(1, told[True]),
    }
    print({name: value for name, value in summary.items() if name != "kinds"})
    return summary


if __name__ == "__main__":
    measure(sys.argv[1], *map(int, sys.argv[2:3]))
