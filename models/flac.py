"""Damaged FLAC, frame by frame: libav passes frames with wrong checksums on as noise, and its parser joins frames.

Conventions. Every frame begins with a header that has a checksum of 8 bits and tells its number or its first sample,
and ends with a checksum of 16 bits over all of it (RFC 9639, section 9). So what decodes here is what was encoded, and
stands where it stood. Positions and lengths are in frames of samples, one of each channel, unless bytes are named.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av

from models.packets import MAX_GAP_S, TimeLine

STRICT = {"err_detect": "crccheck+explode"}  #: libav's decoder refuses frames whose checksum is wrong
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_HEADER_BYTES = 16  #: the longest header
_READ_BYTES = 1 << 20
_MAX_FRAME_BYTES = 1 << 22  #: 65535 samples of 8 channels of 32 bits, and some
_MAX_ENDS = 4  #: so many places with a right checksum are tried as the end of a frame


@dataclass(frozen=True)
class _Start:
    """Where a frame seems to begin."""

    at_byte: int  #: in the file
    variable: bool  #: whether `number` counts samples instead of frames
    number: int
    content: bytes  #: up to where the next frame seems to begin
    beyond: bytes  #: up to the one after that


def decode_flac(name: str, context: Any, line: TimeLine, total_frames: int | None) -> None:
    """Decodes the FLAC file `name` into `line`: silence for frames that are damaged or missing.

    Args:
        context: libav's codec context of the stream; it tells what the decoder must know of the header.
        total_frames: the length that the header claims.
    """
    decoder = _decoder(context)
    origin = None if total_frames is None else 0  # without a length it may be cut out of a broadcast
    block = _block_frames(context)
    good_bytes = end_byte = 0
    with open(name, "rb") as file:
        for start in _starts(file):
            decoded = _decoded(decoder, start)
            if decoded is None:
                continue
            frame, size_bytes = decoded
            block = block or frame.samples
            at = start.number if start.variable else start.number * block
            origin = at - line.position if origin is None else origin
            missing = at - origin - line.position
            if missing < 0:
                continue  # a second copy of what is there
            if missing:
                line.damaged()
            if missing <= MAX_GAP_S * line.rate_hz:
                line.silence(missing)
            else:
                origin = at - line.position
            line.add(frame, True)
            good_bytes += size_bytes
            end_byte = start.at_byte + size_bytes
        rest_bytes = file.seek(0, 2) - end_byte
    # What broke off is no part of the time line; what is there, but damaged, is.
    lost = -(-rest_bytes * line.decoded_frames // good_bytes) if good_bytes else 0
    _end(line, (total_frames or 0) - line.position, -(-lost // max(block, 1)) * block)


def _end(line: TimeLine, missing: int, lost: int) -> None:
    """Ends the time line; where the header claims `missing` frames more, `lost` of them at most become silence."""
    if missing > 0:
        line.damaged()
        line.silence(min(missing, lost))
    line.finish(None)


def _block_frames(context: Any) -> int:
    """How long a frame is where frames are numbered; 0 where the header does not tell."""
    shortest, longest = struct.unpack(">HH", context.extradata[:4])
    return longest if shortest == longest else 0


def _decoder(context: Any) -> Any:
    decoder = av.CodecContext.create("flac", "r")
    decoder.extradata = context.extradata
    decoder.sample_rate = context.sample_rate
    decoder.thread_count = 1
    decoder.options = STRICT
    return decoder


def _decoded(decoder: Any, start: _Start) -> tuple[Any, int] | None:
    """The frame that begins at `start` and its size in bytes; None if it is damaged."""
    frame = _decode(decoder, start.content)
    if frame is not None:
        return frame, len(start.content)
    # The next header may be damaged, or a chance pattern inside this frame: the checksum tells where the frame ends.
    for size in _ends(start.beyond):
        frame = _decode(decoder, start.beyond[:size])
        if frame is not None:
            return frame, size
    return None


def _decode(decoder: Any, content: bytes) -> Any:
    packet = av.Packet(content)
    packet.time_base = Fraction(1, decoder.sample_rate)
    try:
        frames = decoder.decode(packet)
    except av.error.MemoryError:
        raise
    except av.FFmpegError:
        return None
    return frames[0] if len(frames) == 1 else None


def _starts(file: BinaryIO) -> Iterator[_Start]:
    """All places where a frame seems to begin."""
    buffer, at_byte, more = b"", 0, b"."
    while more:
        more = file.read(_READ_BYTES)
        buffer += more
        heads = [(m.start(), head) for m in _SYNC.finditer(buffer) if (head := _header(buffer, m.start()))]
        stops = [at for at, _ in heads] + [len(buffer)] * 2
        done = len(heads) if not more else max(len(heads) - 2, 0)  # the last two may go on in what is not read yet
        for i, (at, head) in enumerate(heads[:done]):
            yield _Start(at_byte + at, *head, buffer[at : stops[i + 1]], buffer[at : stops[i + 2]])
        keep = max(stops[done] if heads else 0, len(buffer) - _MAX_FRAME_BYTES)
        buffer, at_byte = buffer[keep:], at_byte + keep


def _header(buffer: bytes, at: int) -> tuple[bool, int] | None:
    """Whether the frame header counts samples, and the count; None if it is no header."""
    head = buffer[at : at + _HEADER_BYTES]
    if len(head) < 6:
        return None
    sizes, rates, channels, bits = head[2] >> 4, head[2] & 15, head[3] >> 4, head[3] >> 1 & 7
    if not sizes or rates == 15 or channels > 10 or bits == 3 or head[3] & 1:
        return None
    ones = 8 - (head[4] ^ 255).bit_length()  # as in UTF-8: none, or the number of bytes
    if ones in (1, 8):
        return None
    tail = head[5 : 4 + max(ones, 1)]
    if any(byte >> 6 != 2 for byte in tail):
        return None
    number = head[4] & (0x7F >> ones)
    for byte in tail:
        number = number << 6 | byte & 63
    size = 4 + max(ones, 1) + {6: 1, 7: 2}.get(sizes, 0) + {12: 1, 13: 2, 14: 2}.get(rates, 0)
    if len(head) <= size or _crc(_CRC8, 8, head[: size + 1]):
        return None
    return bool(head[1] & 1), number


# Checksums ------------------------------------------------------------------------------------------------------


def _table(polynomial: int, bits: int) -> list[int]:
    """What each byte adds to a checksum of `bits` bits."""
    table = []
    for crc in range(256):
        crc <<= bits - 8
        for _ in range(8):
            crc = crc << 1 ^ (polynomial if crc >> (bits - 1) & 1 else 0)
        table.append(crc & ((1 << bits) - 1))
    return table


_CRC8 = _table(0x07, 8)
_CRC16 = _table(0x8005, 16)


def _crc(table: list[int], bits: int, content: bytes) -> int:
    """0 if the checksum at the end of `content` is right."""
    crc = 0
    for byte in content:
        crc = (crc << 8 & ((1 << bits) - 1)) ^ table[crc >> (bits - 8) ^ byte]
    return crc


def _ends(content: bytes) -> list[int]:
    """The first sizes in bytes with which the beginning of `content` has a right checksum of 16 bits."""
    crc, ends = 0, []
    for at, byte in enumerate(content):
        crc = (crc << 8 & 0xFFFF) ^ _CRC16[crc >> 8 ^ byte]
        if not crc and at > 8:
            ends.append(at + 1)
            if len(ends) == _MAX_ENDS:
                break
    return ends
