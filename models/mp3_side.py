"""What the frames of an MP3 say of themselves: headers and side information, many frames at once.

Conventions. Fields are those of ISO/IEC 11172-3, 2.4.1.7, in arrays [frames] or [frames, granules, channels]. Main data
of a frame begins `main_data_begin` bytes before its own place, in what earlier frames left over (the reservoir).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.mp3_tables import BANDS, LSF_COUNTS, SLEN

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

HEAD_BYTES = 4 + 2 + 32 + 2  #: header, checksum and side information, and some that are never there
_RATES_HZ = (44100, 48000, 32000)


@dataclass(frozen=True)
class Form:
    """What all frames of a file have in common."""

    lsf: bool  #: MPEG-2 or 2.5: one granule in a frame
    channels: int
    rate_hz: int

    @property
    def granules(self) -> int:
        """In a frame."""
        return 1 if self.lsf else 2

    @property
    def side_bytes(self) -> int:
        """Of the side information."""
        return {(False, 1): 17, (False, 2): 32, (True, 1): 9, (True, 2): 17}[self.lsf, self.channels]


@dataclass(frozen=True)
class Side:
    """Side information of frames of one form; fields are [frames, granules, channels] if not told otherwise."""

    form: Form
    valid: BoolArray  #: [frames], whether it is a frame of that form at all
    main_data_begin: IntArray  #: [frames]
    payload_from: IntArray  #: [frames], where the payload begins in the frame, bytes
    intensity: BoolArray  #: [frames], whether the second channel is of intensity stereo
    scfsi: IntArray  #: [frames, channels]
    bits: IntArray  #: part2_3_length
    big_values: IntArray
    scalefac_compress: IntArray
    block_type: IntArray  #: 0 long, 1 start, 2 short, 3 stop
    mixed: IntArray
    tables: IntArray  #: [frames, granules, channels, 3]
    bounds: IntArray  #: [frames, granules, channels, 2], pairs before the second region, and before the third
    count1_table: IntArray


def form_of(head: bytes) -> Form | None:
    """The form that a frame's first bytes tell; None if they are none of layer III."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or head[1] & 6 != 2 or head[2] >> 2 & 3 == 3:
        return None
    version = head[1] >> 3 & 3  # 3: MPEG-1, 2: MPEG-2, 0: 2.5
    if version == 1:
        return None
    rate_hz = _RATES_HZ[head[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    return Form(version != 3, 1 if head[3] >> 6 == 3 else 2, rate_hz)


def read_side(frames: Sequence[bytes], form: Form) -> Side:
    """The side information of `frames`, each from its header on."""
    heads = b"".join(frame[:HEAD_BYTES].ljust(HEAD_BYTES, b"\0") for frame in frames)
    head = np.frombuffer(heads, np.uint8).reshape(-1, HEAD_BYTES)
    valid = np.array([form_of(frame) == form for frame in frames], bool)
    protected = head[:, 1] & 1 == 0
    side = np.where(protected[:, None], head[:, 6:], head[:, 4 : HEAD_BYTES - 2])
    return _Reader(np.unpackbits(side, axis=1), form).read(valid, head[:, 3], 4 + 2 * protected + form.side_bytes)


class _Reader:
    """Reads fields of all frames, one after the other."""

    def __init__(self, bits: npt.NDArray[np.uint8], form: Form) -> None:
        self.bits = bits
        self.form = form
        self.at = 0

    def take(self, count: int) -> IntArray:
        """The next field of `count` bits, [frames]."""
        weights = 1 << np.arange(count - 1, -1, -1)
        field = self.bits[:, self.at : self.at + count] @ weights
        self.at += count
        return np.asarray(field, np.int64)

    def read(self, valid: BoolArray, mode: npt.NDArray[np.uint8], payload_from: IntArray) -> Side:
        form = self.form
        main_data_begin = self.take(8 if form.lsf else 9)
        self.at += form.channels if form.lsf else {1: 5, 2: 3}[form.channels]  # private bits
        scfsi = [self.take(4) if not form.lsf else np.zeros(len(valid), np.int64) for _ in range(form.channels)]
        granules = [[self._granule() for _ in range(form.channels)] for _ in range(form.granules)]
        fields = {
            name: np.stack([np.stack([one[name] for one in row], 1) for row in granules], 1) for name in granules[0][0]
        }
        intensity = (mode >> 6 == 1) & (mode >> 4 & 1 == 1)
        payload = np.asarray(payload_from, np.int64)
        return Side(form, valid, main_data_begin, payload, intensity, np.stack(scfsi, 1), **fields)

    def _granule(self) -> dict[str, IntArray]:
        bits, big_values, _, compress = self.take(12), self.take(9), self.take(8), self.take(9 if self.form.lsf else 4)
        switched = self.take(1) == 1
        long, start = self._long(), self.at
        self.at = start - 22
        short = self._short()
        self.at = start
        if not self.form.lsf:
            self.at += 1  # preflag
        self.at += 1  # scalefac_scale
        granule = {
            name: np.where(switched[:, *[None] * (long[name].ndim - 1)], short[name], long[name]) for name in long
        }
        granule |= {"bits": bits, "big_values": big_values, "scalefac_compress": compress, "count1_table": self.take(1)}
        return granule

    def _long(self) -> dict[str, IntArray]:
        tables = np.stack([self.take(5) for _ in range(3)], 1)
        first, second = self.take(4) + 1, self.take(3) + 1
        ends = np.concatenate([[0], np.cumsum(BANDS[self.form.rate_hz])]) // 2  # pairs
        bounds = np.stack([ends[np.minimum(first, 22)], ends[np.minimum(first + second, 22)]], 1)
        none = np.zeros(len(tables), np.int64)
        return {"block_type": none, "mixed": none, "tables": tables, "bounds": bounds}

    def _short(self) -> dict[str, IntArray]:
        block_type, mixed = self.take(2), self.take(1)
        tables = np.stack([self.take(5), self.take(5), np.zeros(len(mixed), np.int64)], 1)
        self.at += 9  # subblock_gain
        slow = self.form.rate_hz == 8000
        stop = (54 if self.form.lsf else 36) // 2 * (2 if slow else 1)
        first = np.where(block_type == 2, 36 if slow else 18, stop)
        return {
            "block_type": block_type,
            "mixed": mixed,
            "tables": tables,
            "bounds": np.stack([first, np.full_like(first, 288)], 1),
        }


def scale_factor_bits(side: Side) -> IntArray:
    """[frames, granules, channels], the bits before the Huffman codes."""
    short, mixed = side.block_type == 2, side.mixed == 1
    if side.form.lsf:
        return _lsf_bits(side, np.where(short, np.where(mixed, 2, 1), 0))
    low, high = SLEN[0][side.scalefac_compress], SLEN[1][side.scalefac_compress]
    copied = side.scfsi[:, None, :, None] >> np.array([3, 2, 1, 0]) & 1  # [frames, 1, channels, 4]
    copied = copied * np.array([0, 1])[:, None, None]  # the first granule has them all
    slens = np.stack([low, low, high, high], -1)
    long = ((1 - copied) * slens * np.array([6, 5, 5, 5])).sum(-1)
    return np.asarray(np.where(short, np.where(mixed, 17, 18) * low + 18 * high, long))


def _lsf_bits(side: Side, blocks: IntArray) -> IntArray:
    compress = side.scalefac_compress
    second = side.intensity[:, None, None] & (np.arange(side.form.channels) == 1)
    half = compress >> 1
    kinds = [  # condition, kind, divisors of the four lengths
        (~second & (compress < 400), 0, compress, (5, 4, 4)),
        (~second & (compress >= 400) & (compress < 500), 1, compress - 400, (5, 4, 0)),
        (~second & (compress >= 500), 2, compress - 500, (3, 0, 0)),
        (second & (half < 180), 3, half, (6, 6, 0)),
        (second & (half >= 180) & (half < 244), 4, half - 180, (4, 4, 0)),
        (second & (half >= 244), 5, half - 244, (3, 0, 0)),
    ]
    total = np.zeros_like(compress)
    for where, kind, value, divisors in kinds:
        lengths = []
        for divisor in reversed(divisors):
            lengths.append(value % divisor if divisor else np.zeros_like(value))
            value = value // divisor if divisor else value
        slens = np.stack([value, *reversed(lengths)], -1)
        total += where * (slens * LSF_COUNTS[kind][blocks]).sum(-1)
    return total
