"""Damage in an MP3 stream that a decoder does not notice, told by its bits: granule by granule, many at once.

Conventions. A lane is one channel of one granule. Huffman codes soon fall into step again after an error, often without
using a bit too many. But then they tell other values than an encoder writes: that takes the smallest table that holds
a region's largest value, ends big values with one that is big, ends with something that is not zero, leaves no bytes
out between two frames but stuffing, and turns to short blocks and back in order. Each of these is a habit, held against
the whole file: what is so in more than HABIT of the frames is no evidence. Signs, gains and scale factors have no such
habits: where nothing else is hit, their damage is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from models.mp3_side import BoolArray, Form, IntArray, Side, read_side, scale_factor_bits
from models.mp3_tables import FIRST_BITS, LEAST, QUAD_BITS, REST_BITS, pair_tables, quad_tables

HABIT = 0.2
EXACT = 0.4  #: the same of bits left over
_CHUNK = 512  #: frames that are looked at together
_BEFORE = 24  #: frames before them, whose bytes they may draw on
_STUFFED = 8  #: bytes between two frames' main data that can be told from filling

#: Kinds of evidence, as bits.
LENGTH, TABLE, TAIL, ZEROS, BLOCKS, RESERVOIR, GAP = KINDS = tuple(1 << i for i in range(7))


def damaged_granules(frames: Iterable[bytes], form: Form) -> BoolArray:
    """[frames, granules], which granules of an MP3 stream nobody encoded.

    Args:
        frames: all packets of the file in order, what is no frame included.
        form: of most of them; others are not looked at.
    """
    pieces = [_evidence(frames, before, form) for frames, before in _chunks(frames)]
    if not pieces:
        return np.zeros((0, form.granules), bool)
    kinds = np.concatenate(pieces)
    found = np.zeros(kinds.shape, bool)
    for kind in KINDS:
        told = kinds & kind != 0
        found |= told & (told.any(axis=(1, 2)).mean() <= (EXACT if kind == LENGTH else HABIT))
    return np.asarray(found.any(axis=2))


def _chunks(frames: Iterable[bytes]) -> Iterator[tuple[list[bytes], int]]:
    """Frames with those before them, and how many these are."""
    held: list[bytes] = []
    before = 0
    for frame in frames:
        held.append(frame)
        if len(held) - before == _CHUNK:
            yield held, before
            held = held[-_BEFORE:]
            before = len(held)
    if len(held) > before:
        yield held, before


def _evidence(frames: list[bytes], before: int, form: Form) -> IntArray:
    """[frames, granules, channels], what is said against each lane, of the frames behind the first `before`."""
    side = read_side(frames, form)
    offsets, stream = _main_data(frames, side)
    kinds = _huffman(side, offsets, stream) | _reservoir(side, offsets, stream) | _block_order(side)
    return np.asarray(kinds[before:])


def _main_data(frames: list[bytes], side: Side) -> tuple[IntArray, npt.NDArray[np.uint8]]:
    """Where the payload of each frame begins in all payloads joined, [frames + 1], and these."""
    payloads = [
        frame[at:] if good else b"" for frame, at, good in zip(frames, side.payload_from, side.valid, strict=True)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(payload) for payload in payloads])])
    return offsets, np.frombuffer(b"".join(payloads), np.uint8)


def _reservoir(side: Side, offsets: IntArray, stream: npt.NDArray[np.uint8]) -> IntArray:
    """[frames, 1, 1], whether main data begins in what belongs to the frame before, or leaves some of it out."""
    begins = offsets[:-1] - side.main_data_begin
    ends = begins + -(-side.bits.sum(axis=(1, 2)) // 8)
    chained = side.valid[1:] & side.valid[:-1]
    kinds = np.zeros(len(begins), np.int64)
    kinds[1:] |= RESERVOIR * (chained & (begins[1:] < ends[:-1]))
    kinds |= RESERVOIR * (side.valid & (ends > offsets[1:]))
    gaps = np.flatnonzero(chained & (begins[1:] >= ends[:-1] + _STUFFED) & (side.main_data_begin[1:] > 0)) + 1
    for at in gaps.tolist():
        left_out = stream[max(ends[at - 1], 0) : begins[at]].tobytes()
        kinds[at] |= GAP * (not _is_stuffing(left_out))
    return np.asarray(kinds[:, None, None])


def _is_stuffing(content: bytes) -> bool:
    """Whether encoders fill with this: their name, and one or two bytes over and over."""
    rest = content[content.find(b"LAME") + 9 :] if b"LAME" in content else content
    return len(rest) < _STUFFED or len(set(rest)) <= 2 + len(rest) // 32


def _block_order(side: Side) -> IntArray:
    """[frames, granules, channels], whether a granule's window does not go on from the one before."""
    shape = side.block_type.shape
    types = side.block_type.reshape(-1, shape[2])
    opened = (types == 1) | (types == 2)  # what follows must be short, or stop
    wrong = np.zeros(types.shape, bool)
    wrong[1:] = opened[:-1] != ((types[1:] == 2) | (types[1:] == 3))
    chained = np.repeat(np.concatenate([[False], side.valid[1:] & side.valid[:-1]]), shape[1])
    return np.asarray(BLOCKS * (wrong & chained[:, None]).reshape(shape), np.int64)


# Huffman codes --------------------------------------------------------------------------------------------------


def _huffman(side: Side, offsets: IntArray, stream: npt.NDArray[np.uint8]) -> IntArray:
    """Evidence from the codes of each lane."""
    shape = side.bits.shape
    bits = side.bits.reshape(len(side.valid), -1)
    starts = 8 * (offsets[:-1] - side.main_data_begin)[:, None] + np.cumsum(bits, axis=1) - bits
    ends = (starts + bits).ravel()
    known = (side.valid[:, None] & (starts >= 0)).ravel() & (ends <= 8 * len(stream)) & (side.big_values.ravel() <= 288)
    kinds = np.zeros(ends.shape, np.int64)
    lanes = np.flatnonzero(known)
    lanes = lanes[np.argsort(-side.big_values.ravel()[lanes], kind="stable")]
    if len(lanes):
        begins = (starts.ravel() + scale_factor_bits(side).ravel())[lanes]
        walk = _Lanes(_windows(stream), begins, ends[lanes])
        walk.pairs(side.big_values.ravel()[lanes], side.tables.reshape(-1, 3)[lanes], side.bounds.reshape(-1, 2)[lanes])
        walk.quads(side.big_values.ravel()[lanes], side.count1_table.ravel()[lanes])
        kinds[lanes] = walk.evidence(side.tables.reshape(-1, 3)[lanes])
    return kinds.reshape(shape)


def _windows(stream: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """The 64 bits from each byte on."""
    padded = np.pad(stream, (0, 16)).astype(np.uint64)
    windows = np.zeros(len(stream) + 8, np.uint64)
    for i in range(8):
        windows |= padded[i : i + len(windows)] << np.uint64(56 - 8 * i)
    return windows


class _Lanes:
    """Walks through the codes of many lanes, one code of each at a time; lanes with most pairs come first."""

    def __init__(self, windows: npt.NDArray[np.uint64], begins: IntArray, ends: IntArray) -> None:
        self.windows = windows
        self.at = begins.copy()  #: bits
        self.ends = ends
        self.largest = np.zeros((len(begins), 3), np.int64)  #: of each region
        self.used = np.zeros((len(begins), 3), bool)  #: regions
        self.last_big = np.full(len(begins), -1)  #: the last pair with a value above 1
        self.last_line = np.zeros(len(begins), np.int64)  #: behind the last pair or quadruple that is not zero
        self.line = np.zeros(len(begins), np.int64)  #: behind the last one
        self.pair_count = np.zeros(len(begins), np.int64)

    def _peek(self, at: IntArray, bits: int) -> IntArray:
        byte = np.minimum(at >> 3, len(self.windows) - 1)
        window = self.windows[byte] << (at & 7).astype(np.uint64)
        return np.asarray(window >> np.uint64(64 - bits), np.int64)

    def pairs(self, counts: IntArray, tables: IntArray, bounds: IntArray) -> None:
        """The big values."""
        self.pair_count = counts
        first, rest = pair_tables()
        largest, flat_tables = self.largest.ravel(), tables.ravel()
        used = self.used.ravel()
        for pair in range(int(counts[0])):
            active = int(np.searchsorted(-counts, -pair))  # counts fall: those above `pair`
            region = 3 * np.arange(active) + (pair >= bounds[:active, 0]) + (pair >= bounds[:active, 1])
            code = self._peek(self.at[:active], FIRST_BITS + REST_BITS)
            entry = first[(flat_tables[region] << FIRST_BITS) + (code >> REST_BITS)]
            longer = np.flatnonzero(entry < 0)
            entry[longer] = rest[((-entry[longer] - 1) << REST_BITS) + (code[longer] & ((1 << REST_BITS) - 1))]
            self.at[:active] += entry & 63
            value = entry >> 6
            largest[region] = np.maximum(largest[region], value)
            used[region] = True
            self.last_big[:active][value > 1] = pair
            self.last_line[:active][value > 0] = 2 * pair + 2
        self.line = 2 * counts

    def quads(self, counts: IntArray, tables: IntArray) -> None:
        """The small values after them, up to the end of the bits or of the lines."""
        quads = quad_tables()
        going = np.flatnonzero((self.at < self.ends) & (self.line <= 572))
        while len(going):
            code = self._peek(self.at[going], QUAD_BITS)
            entry = quads[(tables[going] << QUAD_BITS) + code]
            self.at[going] += entry & 63
            self.line[going] += 4
            told = going[entry > 63]
            self.last_line[told] = self.line[told]
            going = going[(self.at[going] < self.ends[going]) & (self.line[going] <= 572)]

    def evidence(self, tables: IntArray) -> IntArray:
        """What is said against each lane, as bits."""
        kinds = LENGTH * (self.at != self.ends)
        kinds |= TABLE * (self.used & (self.largest < LEAST[tables])).any(axis=1)
        kinds |= TAIL * ((self.pair_count > 0) & (self.last_big < self.pair_count - 2))
        kinds |= ZEROS * (self.last_line < self.line)
        return np.asarray(kinds)
