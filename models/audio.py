"""Audio files to samples: the one door to decoding, encoding, resampling and downmixing.

Conventions. Samples are float32 [frames, channels], full scale +-1.0, at the file's own rate and channels; a frame is
one sample of each channel. Channels come in the order of WAVE_FORMAT_EXTENSIBLE: left, right, centre, LFE, back, side.
Encoder delay and padding are trimmed, so that lengths are exact where the format tells them. libsndfile reads what it
reads exactly and fast (PCM in WAV, RF64 and AIFF; FLAC), libav everything else, and whatever libsndfile gives up on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from models import mp3
from models.demuxed import decode_packets, end_ogg
from models.encode import encode
from models.flac import STRICT, decode_flac
from models.formats import (
    AudioError,
    AudioInfo,
    PathOrFd,
    audio_stream,
    libav_info,
    open_container,
    open_sndfile,
    opened,
    sndfile_info,
)
from models.measures.blocks import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, MOST_CHANNELS
from models.packets import Outlet, TimeLine, block_frames

__all__ = [
    "AudioError",
    "AudioInfo",
    "Decoded",
    "converted",
    "converted_frames",
    "decode",
    "downmix",
    "encode",
    "probe",
    "read",
    "resample",
]

FloatArray = npt.NDArray[np.float32]

MIN_DAMAGED_S = 1.0  #: a damaged file with less than this is refused
#: How long what precedes a lost packet, and what follows it, is false, seconds; of MP3 models.mp3 tells.
AROUND_S = {"aac": (0.0, 0.024), "vorbis": (0.024, 0.0), "opus": (0.02, 0.07)}
CLAIM_SLACK_S = 0.1  #: headers of lossy formats count delay and padding, or whole milliseconds


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What came out of a file."""

    info: AudioInfo
    frames: int  #: length of the time line, silence for damaged packets included
    decoded_frames: int  #: those that really decoded
    damaged_packets: int  #: packets that were refused or missing
    damaged_at_s: tuple[float, ...]  #: where, seconds from the first sample; the first 100
    #: damaged stretches (start, end), seconds, what was heard but is false too
    damaged: tuple[tuple[float, float], ...]
    decoded_fraction: float  #: decoded_frames against the header's claim, or against `frames` where it claims nothing


def probe(file: PathOrFd) -> AudioInfo:
    """What the header of `file` (a path or a file descriptor) says, without decoding.

    Raises:
        AudioError: if it is not audio.
        OSError: if it cannot be opened.
    """
    with opened(file) as name:
        sound = open_sndfile(name)
        if sound is not None:
            with sound:
                return sndfile_info(sound, name)
        with open_container(name) as container:
            return libav_info(container, audio_stream(container), name)


def decode(file: PathOrFd, sink: Callable[[FloatArray], object], *, max_samples: int | None = None) -> Decoded:
    """Decodes `file` into `sink`, block by block.

    Args:
        file: a path or an open file descriptor.
        sink: called with fresh blocks [frames, channels] of about a second.
        max_samples: limit on frames times channels.

    Raises:
        AudioError: `unsupported`, `non_finite`, `too_long`, `not_decodable`; `too_short` if there is no sample, or if
            the file is damaged and less than a second of it decodes; and what `probe` raises. The sink may have got
            blocks already.
        OSError: if it cannot be opened.
    """
    with opened(file) as name:
        sound = open_sndfile(name)
        outlet = None
        if sound is not None:
            with sound:
                info = _supported(sndfile_info(sound, name))
                outlet = Outlet(sink, info, max_samples)
                if _read_all(sound, outlet):
                    return _checked(outlet, TimeLine(outlet), outlet.frames)
        return _decode_libav(name, sink, max_samples, outlet)


def read(file: PathOrFd) -> tuple[FloatArray, Decoded]:
    """The samples [frames, channels] of a whole file, and what is known of them. Raises as `decode` does."""
    blocks: list[FloatArray] = []
    decoded = decode(file, blocks.append)
    return np.concatenate(blocks), decoded


def _supported(info: AudioInfo) -> AudioInfo:
    """`info`, if its rate and channels are what the measures know. Raises AudioError `unsupported`."""
    if LOWEST_RATE_HZ <= info.sample_rate_hz <= HIGHEST_RATE_HZ and info.channels <= MOST_CHANNELS:
        return info
    taken = f"1 to {MOST_CHANNELS} at {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz are taken"
    what = f"{info.channels} channels at {info.sample_rate_hz} Hz; {taken}"
    raise AudioError("unsupported", what, "Mix or resample a copy of it for the catalogue. Or is its header damaged?")


def _read_all(sound: soundfile.SoundFile, outlet: Outlet) -> bool:
    """Whether libsndfile reads the file to the end that it claims itself."""
    frames = block_frames(sound.samplerate)
    try:
        while len(block := sound.read(frames, "float32", always_2d=True)):
            outlet.put(block)
    except soundfile.LibsndfileError:
        return False
    return bool(sound.format != "FLAC" or outlet.frames >= sound.frames)


def _decode_libav(
    name: str, sink: Callable[[FloatArray], object], max_samples: int | None, before: Outlet | None
) -> Decoded:
    with open_container(name) as container:
        stream = audio_stream(container)
        outlet = before or Outlet(sink, _supported(libav_info(container, stream, name)), max_samples)
        tick_s = float(stream.time_base)
        # Time stamps of Vorbis in Ogg jump by up to a block where long and short blocks meet.
        tolerance_s = 0.05 if outlet.info.codec == "vorbis" else 2 * tick_s
        gave_up_at = outlet.frames
        around = _around(outlet.info)
        line = TimeLine(outlet, skip_frames=gave_up_at, tolerance_s=tolerance_s, around=around)
        if outlet.info.container == "flac":
            claimed_s = outlet.info.claimed_duration_s
            claimed = None if claimed_s is None else round(claimed_s * outlet.info.sample_rate_hz)
            decode_flac(name, stream.codec_context, line, claimed)
        else:
            if outlet.info.codec == "flac":
                stream.codec_context.options = STRICT
            decode_packets(name, container, stream, line)
            if outlet.info.container == "ogg":
                end_ogg(name, stream.codec_context, line)
    if before is not None and not line.damaged_packets:
        line.damaged(at=gave_up_at)  # nothing else is amiss, but libsndfile met something
    return _checked(outlet, line, line.decoded_frames)


def _around(info: AudioInfo) -> tuple[int, int]:
    """Frames before a lost packet and behind it that are false too."""
    before_s, behind_s = AROUND_S.get(info.codec, (0.0, 0.0))
    behind = mp3.TAIL_FRAMES if info.codec == "mp3" else round(behind_s * info.sample_rate_hz)
    return round(before_s * info.sample_rate_hz), behind


def _checked(outlet: Outlet, line: TimeLine, decoded_frames: int) -> Decoded:
    outlet.check_finite()
    info, damaged_packets = outlet.info, line.damaged_packets
    claimed = outlet.frames if info.claimed_duration_s is None else info.claimed_duration_s * info.sample_rate_hz
    slack = 0.0 if info.lossless or damaged_packets else CLAIM_SLACK_S * info.sample_rate_hz
    whole = decoded_frames >= round(claimed - slack)
    fraction = 1.0 if whole else max(0.0, min(decoded_frames / claimed, 1.0))
    _check_length(info, decoded_frames, damaged_packets, fraction)
    return Decoded(
        info=info,
        frames=outlet.frames,
        decoded_frames=decoded_frames,
        damaged_packets=damaged_packets,
        damaged_at_s=tuple(line.damaged_at_s),
        damaged=tuple(
            (a / info.sample_rate_hz, b / info.sample_rate_hz) for a, b in line.stretches.within(outlet.frames)
        ),
        decoded_fraction=fraction,
    )


def _check_length(info: AudioInfo, decoded_frames: int, damaged_packets: int, fraction: float) -> None:
    decoded_s = decoded_frames / info.sample_rate_hz
    claim = "" if info.claimed_duration_s is None else f" of the {info.claimed_duration_s:.2f} s that the header claims"
    if decoded_frames == 0 and (damaged_packets or info.claimed_duration_s):
        what = f"nothing of this {info.codec} decodes{claim} ({damaged_packets} damaged packets)"
        raise AudioError("not_decodable", what, "Encrypted, or a copy that broke off? Copy it again.")
    if decoded_frames == 0:
        raise AudioError(
            "too_short", f"this {info.codec} holds no samples", "An export that was cancelled? Export it again."
        )
    if (damaged_packets or fraction < 1.0) and decoded_s < MIN_DAMAGED_S:
        what = f"only {decoded_s:.3f} s decode{claim} ({damaged_packets} damaged packets)"
        raise AudioError("too_short", what, f"A damaged file needs {MIN_DAMAGED_S:g} s to be of use: copy it again.")


# Rate and channels ----------------------------------------------------------------------------------------------


def resample(samples: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """`samples` [frames] or [frames, channels] at another rate, by soxr HQ; frames become round(frames * to / from).

    >>> resample(np.zeros((44100, 2), np.float32), 44100, 16000).shape
    (16000, 2)
    """
    if from_hz == to_hz:
        return samples
    resampled: FloatArray = soxr.resample(samples, from_hz, to_hz, quality="HQ")
    return resampled


def converted(blocks: Iterable[FloatArray], from_hz: int, to_hz: int, channels: int) -> Iterator[FloatArray]:
    """A recording in blocks [frames, 1..8], mixed down to `channels` and brought to another rate, in blocks again.

    To the last bit what `resample` gives for the whole of it: `converted_frames` frames.
    """
    stream = None
    for block in blocks:
        mixed = downmix(block, channels)
        if from_hz == to_hz:
            yield mixed
            continue
        stream = stream or soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="HQ")
        yield stream.resample_chunk(np.ascontiguousarray(mixed)).reshape(-1, channels)
    if stream is not None:
        yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).reshape(-1, channels)


def converted_frames(frames: int, from_hz: int, to_hz: int) -> int:
    """How many frames `frames` become at another rate.

    >>> converted_frames(44101, 44100, 16000)
    16000
    """
    return round(frames * to_hz / from_hz)


_HALF = np.sqrt(0.5)  #: -3 dB
#: Gains to left and right by number of channels, each taken to have this layout (ITU-R BS.775-3, table 2; the LFE is
#: left out; a back centre goes to both sides as the surrounds do, split by -3 dB).
_TO_STEREO: dict[int, tuple[list[float], list[float]]] = {
    1: ([1.0], [1.0]),  # mono
    2: ([1.0, 0.0], [0.0, 1.0]),  # L R
    3: ([1.0, 0.0, _HALF], [0.0, 1.0, _HALF]),  # L R C
    4: ([1.0, 0.0, _HALF, 0.0], [0.0, 1.0, 0.0, _HALF]),  # L R Lb Rb
    5: ([1.0, 0.0, _HALF, _HALF, 0.0], [0.0, 1.0, _HALF, 0.0, _HALF]),  # L R C Lb Rb
    6: ([1.0, 0.0, _HALF, 0.0, _HALF, 0.0], [0.0, 1.0, _HALF, 0.0, 0.0, _HALF]),  # L R C LFE Lb Rb
    7: ([1.0, 0.0, _HALF, 0.0, 0.5, _HALF, 0.0], [0.0, 1.0, _HALF, 0.0, 0.5, 0.0, _HALF]),  # L R C LFE Cb Ls Rs
    8: (
        [1.0, 0.0, _HALF, 0.0, _HALF, 0.0, _HALF, 0.0],
        [0.0, 1.0, _HALF, 0.0, 0.0, _HALF, 0.0, _HALF],
    ),  # + Lb Rb Ls Rs
}


def downmix(samples: FloatArray, channels: int) -> FloatArray:
    """`samples` [frames, 1..8] as mono or stereo, [frames, channels]; as they are if they are that already.

    Stereo follows ITU-R BS.775-3, table 2, and may exceed full scale. Mono is the mean of that left and right, which is
    3 dB below the table's mono: so two equal channels give what they hold, as every other library does it.

    Raises:
        ValueError: if neither mono nor stereo is asked for, or there are more than 8 channels.

    >>> downmix(np.array([[0.5, 0.25]], np.float32), 1)
    array([[0.375]], dtype=float32)
    """
    count = samples.shape[1]
    if count == channels:
        return samples
    if channels not in (1, 2) or count not in _TO_STEREO:
        raise ValueError(f"cannot mix {count} channels to {channels}: 1..8 go to 1 or 2")
    gains = np.array(_TO_STEREO[count], np.float32).T  # [count, 2]
    return samples @ (gains if channels == 2 else gains.mean(axis=1, keepdims=True))
