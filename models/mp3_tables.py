"""The tables of MPEG audio layer III that tell how many bits a granule uses (ISO/IEC 11172-3, annex B, and 13818-3).

Conventions. Codes of a Huffman table are complete and in order, so that their lengths tell them: 0...0 comes first.
A word is a code: the two values it stands for and its length, each a digit to the base of 20; signs and linbits follow
it in the stream. Quadruples (table A) are a word of the four values' bits and the length. Bands are of long blocks.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

FIRST_BITS, REST_BITS = 10, 9  #: a code of up to 19 bits is looked up in two steps
QUAD_BITS = 6
LINBITS = (*[0] * 16, 1, 2, 3, 4, 6, 8, 10, 13, 4, 5, 6, 7, 8, 9, 11, 13)
#: What the largest value of a region is at least, if its table is the smallest that holds it.
LEAST = np.array([0, 1, 2, 2, 0, 3, 3, 4, 4, 4, 6, 6, 6, 8, 0, 8, 8, *[15] * 15])  # LAME joins regions under table 16
#: Bits of scale factors by scalefac_compress (MPEG-1), for the lower bands and the upper ones.
SLEN = np.array([[0, 0, 0, 0, 3, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4], [0, 1, 2, 3, 0, 1, 2, 3, 1, 2, 3, 1, 2, 3, 2, 3]])
#: Numbers of scale factors (MPEG-2): [kind][long, short, mixed][part].
LSF_COUNTS = np.array(
    [
        [[6, 5, 5, 5], [9, 9, 9, 9], [6, 9, 9, 9]],
        [[6, 5, 7, 3], [9, 9, 12, 6], [6, 9, 12, 6]],
        [[11, 10, 0, 0], [18, 18, 0, 0], [15, 18, 0, 0]],
        [[7, 7, 7, 0], [12, 12, 12, 0], [6, 15, 12, 0]],
        [[6, 6, 6, 3], [12, 9, 9, 6], [6, 12, 9, 6]],
        [[8, 8, 5, 0], [15, 12, 9, 0], [6, 18, 9, 0]],
    ]
)
_16_TO_24 = [6, 6, 6, 6, 6, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 38, 46, 52, 60, 68, 58, 54]
#: Widths of the scale factor bands by sampling rate, Hz.
BANDS = {
    44100: [4, 4, 4, 4, 4, 4, 6, 6, 8, 8, 10, 12, 16, 20, 24, 28, 34, 42, 50, 54, 76, 158],
    48000: [4, 4, 4, 4, 4, 4, 6, 6, 6, 8, 10, 12, 16, 18, 22, 28, 34, 40, 46, 54, 54, 192],
    32000: [4, 4, 4, 4, 4, 4, 6, 6, 8, 10, 12, 16, 20, 24, 30, 38, 46, 56, 68, 84, 102, 26],
    22050: _16_TO_24,
    24000: [6, 6, 6, 6, 6, 6, 8, 10, 12, 14, 16, 18, 22, 26, 32, 38, 46, 54, 62, 70, 76, 36],
    16000: _16_TO_24,
    11025: _16_TO_24,
    12000: _16_TO_24,
    8000: [12, 12, 12, 12, 12, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 76, 90, 2, 2, 2, 2, 2],
}
_QUADS = "b6 f6 d6 e6 76 56 95 65 35 a5 c5 24 14 44 84 01"
_WORDS = {
    1: """
        113 013 102 001
    """,
    2: """
        226 026 125 215 205 113 013 103 001
    """,
    3: """
        226 026 125 215 205 103 112 012 002
    """,
    5: """
        338 238 327 316 137 037 307 227 126 216 026 206 113 013 103 001
    """,
    6: """
        337 037 236 326 306 135 315 225 025 124 214 204 013 112 103 003
    """,
    7: """
        55a 45a 54a 53a 359 449 259 529 158 518 059 349 508 439 339 248 428 147 417 407 048 238 328 038 137 317 307
        227 126 215 026 206 114 013 103 001
    """,
    8: """
        55b 54b 45a 539 35a 44a 259 529 059 158 518 349 439 509 339 248 428 148 417 048 408 238 328 138 318 038 308
        226 026 206 124 214 112 013 103 002
    """,
    9: """
        559 459 358 538 549 059 448 258 528 158 517 347 437 508 048 247 427 337 407 146 416 236 326 135 315 036 306
        225 025 124 214 204 113 013 103 003
    """,
    10: """
        77b 67b 76b 57b 75b 66b 47a 74a 56a 65a 37a 73a 46a 55b 54b 63a 279 729 64a 07a 709 629 45a 35a 069 53a 44a
        178 718 369 269 25a 52a 159 519 34a 43a 168 618 608 059 509 249 429 339 049 148 418 408 238 328 038 137 317
        307 227 126 216 026 206 114 013 103 001
    """,
    11: """
        77a 67a 76a 75a 66a 47a 74a 57b 55b 56a 65a 379 739 469 45a 54a 35a 53a 278 728 649 079 717 178 708 368 638
        608 449 259 529 059 158 627 268 068 167 617 518 348 508 439 339 248 428 148 418 048 408 237 327 136 316 037
        307 226 215 124 025 205 113 013 103 002
    """,
    12: """
        77a 67a 769 579 759 669 479 749 659 568 378 739 559 278 728 468 648 178 718 079 709 368 638 458 548 448 069
        059 267 627 617 168 608 358 538 258 528 157 517 347 437 508 048 247 427 147 336 416 236 326 407 037 306 135
        315 225 124 214 025 205 004 113 013 103
    """,
    13: """
        fej fcj fdi edh ffg efg dfg eeg cfg deg bfg fbg ceg dcg afh e9h ecf ddf fag cdg bef ebf 9ff f9f eaf bdf dbf
        8ff f8f ccf aeg 9eg 8ef 7fg 7eg f7e dae adf bcf cbf f6f 6fe e8e 5fe 9de d9e f5e e7e ace bbe 4fe f4e caf e6f
        f3e 3fd 8de d8e 2fd f2d 6ee 9ce 0fd c9e 5ee abd 7de d7e 4ed c8e d6e 3ed b9d 9be aae 1fc f1c f0c bad e5d e4d
        8cd 6dd e3d e2c 2ed 0ed 1ec e1c e0d 5dd d5d 7cd c7d 4dd 8bd b8d d4d 9ad a9d 6cd c6c 3dc d3d 7bd 2dc d2c 1dc
        b7c 5cd c5d 99d 7ad c3c a7d 97d 4bc d1b 0dc d0c 8ac a8c 4cc c4c 6bc b6c 3cb 2cb c2b 5bb b5c 89c 1cb c1b 98c
        0cc c0b b4c 6ac a6c 79c 3bb b3b 88c 5ac 2bb a5c 69c a4b 78c 87c 94b 77c 76c b2a 1ba b1a 0bb b0b 96b 4ab 3ab
        a3b 59b 95b 2aa a2a 1aa a1a 0ab 68b a0a 86b 49b 93a 39b 58b 85b 67b 29a 92a 57b 75b 38a 83a 66b 47b 74b 56b
        65b 73b 199 919 09a 90a 48a 84a 72a 46b 64b 289 829 189 37a 27a 179 719 55a 07a 70a 36a 63a 45a 54a 26a 62a
        35a 818 089 809 169 619 069 609 53a 44a 259 529 059 158 518 349 439 509 249 429 339 148 417 048 408 238 328
        137 317 037 307 227 126 216 026 206 114 014 103 001
    """,
    15: """
        ffd efd fed dfd eec fdd cfd fcd ded edd bfd fbc ced ecd ddc afc fac bec ebc cdc dcc 9fc f9c eac bdc dbc 8fc
        f8c ccc 9ec e9c 7fc f7c adc dac bcc 6fc aed 0fd cbb f6b 8ec e8c 5fc 9dc f5b 7eb e7b acb cab bbb d9c 8dc 4fb
        f4b 3fb f3b d8b e6b 2fb f2b 6ec f0c 1fb f1b 9cb c9b 5eb abb bab e5b 7db d7b 4eb e4b 8cb c8b 3eb 6db d6b e3b
        9bb b9b 2eb aab e2b 1eb e1b 0ec e0c 5db d5b 7cb c7b 4db 8bb d4a b8b 9ab a9b 6cb c6b 3db d3a d2a 2db 0db 1da
        7ba b7a d1a 5cb d0b c5a 8aa a8a 4ca c4a 6ba b6a 99b 0cb 3ca c3a 7aa a7a a6a c0b 0bb c29 2ca 5ba b5a 1ca 89a
        98a c1a 4ba b4a 6aa 3ba 79a b39 97a 88a 2ba 5aa b29 a5a 1ba b19 b0a 69a 96a 4aa a4a 78a 87a 3aa a39 599 959
        2a9 a29 1a9 a19 0aa a0a 689 869 499 949 399 939 77a 09a 589 859 299 679 769 929 918 199 909 489 849 579 759
        389 839 669 479 288 828 188 818 749 089 809 569 659 379 739 469 278 728 648 178 558 718 079 709 368 638 458
        548 268 628 168 069 609 358 617 538 448 257 527 157 517 058 508 347 437 247 427 337 416 147 047 236 326 407
        037 136 316 306 225 125 215 025 205 113 014 104 003
    """,
    16: """
        efb feb dfb fdb cfb fcb bfb fbb afa fab 9fb f9b f8b 8fa 7fa f7a 6fa f6a ff8 5fa f5a 4f9 f49 f39 f09 3fa ceg
        ech ddh def e9f eag d9g eee edf ebf bee cde dcf dbf aee cce adf daf 7ef acf cae c9f 7df 5ee bdd f28 2f9 0f9
        1f8 f18 9ed bce cbe 8ee e8e 9de e7e bbe 8de d8e 6ee e6d 9cd abe bae e5e d7e 4ed e4e 8ce c8d 3ed 6dd d6e 9be
        b9e aae e1d d4d b8e a9e 7bd b7e d0e e3c 0ed e0d 5dd d5d 7cd c7d 4dd 8bd 9ad 6cd c6d 3dd 5cd c5d 0dc 8ad a8d
        99d 4cd b6d 7ad 3cc 5bd 89d 1cc c0c 98d 79d e2b 2ec 1ec d3c 2dc d2c d1c 3bc 97d 88d 1db c4c 6bc c3c a7c 2cb
        c2c b5c c1c 0cc 4bc b4c 6ac a6c b3b 5ac a5c 2bb b2b 1bb b1b 0bc b0c 69c 96c 4ac a4c 78c 87c a3b 3ac 59c 2ab
        95c 68c a1b 86c 77c 94b 49c 57c 67b a2a 1aa 0ab a0b 39b 93b 58b 85b 29a 92a 76b 09b 19a 91a 90b 48b 84b 75b
        38b 83b 66b 28b 82a 47b 74b 18a 81a 80a 08b 56b 37a 73a 65b 46b 27a 72a 64b 55b 07a 179 719 70a 36a 63a 45a
        54a 26a 629 169 619 06a 60a 539 35a 44a 259 529 518 159 059 349 439 509 249 429 339 148 418 049 409 238 328
        137 317 038 308 227 126 216 026 206 114 014 103 001
    """,
    24: """
        ef8 fe8 df8 fd8 cf8 fc8 bf8 fb8 fa7 af8 9f8 f97 f87 8f8 7f8 f77 6f7 f67 5f7 f57 4f7 f47 3f7 f37 2f7 f27 f17
        1f8 f08 0f9 eeb deb edb ceb ecb ddb beb ebb cdb dcb aeb eab bdb dbb ccb 9eb e9b adb dab bcb cbb 8eb e8b 9db
        d9b 7eb e7b acb ff4 cab bbb 8db d8b 0ec e0c 0db e6a 6eb 9cb c9a 5ea baa e5a abb 7db d7a e4a 8ca c8a 4eb 2eb
        3ea 6da d6a e3a 9ba b9a aaa e2a 1ea e1a 5da d5a 7ca c7a 4da 8ba b8a d4a 9aa a9a 6ca c6a 3da d3a 2da d2a 1da
        7ba b7a d1a 5ca c5a 8aa a8a 99a 4ca c4a 6ba b6a d0b 0cb 3ca c3a 7aa a7a 2ca c2a 5ba b5a 1ca 89a 98a c1a 4ba
        c0b 0bb 3ba b0b 0ab 1aa b49 6aa a6a 79a 97a a0b 09b 90a b39 889 2ba 5aa b29 a5a 1ba b1a 69a 969 a49 4aa 78a
        879 3a9 a39 599 959 2a9 a29 a19 689 869 779 499 949 399 939 589 859 299 679 769 929 199 919 489 849 579 759
        389 839 669 289 829 189 479 749 819 08a 80a 569 659 179 07a 70a 738 379 279 728 468 648 558 718 368 638 458
        548 268 628 168 618 069 609 358 538 448 258 528 158 059 509 517 348 438 247 427 337 147 417 048 408 237 327
        136 316 037 307 226 125 215 026 206 114 014 104 004
    """,
}
_SAME = {14: 0, 4: 0, 0: 0} | dict.fromkeys(range(17, 24), 16) | dict.fromkeys(range(25, 32), 24)


@functools.cache
def pair_tables() -> tuple[IntArray, IntArray]:
    """Look-ups of pairs: by table and FIRST_BITS of the stream, and by REST_BITS more.

    An entry is the bits used, signs and linbits included, and above its 6 lowest bits the larger value of the pair; a
    negative one is -1 minus the number of the look-up that goes on. Unused tables use no bits.
    """
    first = np.zeros((32, 1 << FIRST_BITS), np.int64)
    rest: list[IntArray] = []
    for table in range(32):
        words = _WORDS.get(_SAME.get(table, table))
        code = 0
        for x, y, length in ((int(c, 20) for c in word) for word in (words or "").split()):
            used = length + (x > 0) + (y > 0) + LINBITS[table] * ((x == 15) + (y == 15))
            _enter(first[table], rest, code, length, max(x, y) << 6 | used)
            code += 1 << (FIRST_BITS + REST_BITS - length)
    return first.ravel(), np.concatenate(rest)


def _enter(first: IntArray, rest: list[IntArray], code: int, length: int, entry: int) -> None:
    """Puts a code, aligned to the left, into the look-ups of its table."""
    head, tail = code >> REST_BITS, code & ((1 << REST_BITS) - 1)
    if length <= FIRST_BITS:
        first[head : head + (1 << (FIRST_BITS - length))] = entry
        return
    if first[head] >= 0:
        rest.append(np.zeros(1 << REST_BITS, np.int64))
        first[head] = -len(rest)
    rest[-first[head] - 1][tail : tail + (1 << (FIRST_BITS + REST_BITS - length))] = entry


@functools.cache
def quad_tables() -> IntArray:
    """Look-up of quadruples by table (A, B) and QUAD_BITS of the stream: as of pairs, 1 for what is not all zero."""
    tables = np.zeros((2, 1 << QUAD_BITS), np.int64)
    code = 0
    for values, length in ((int(c, 20) for c in word) for word in _QUADS.split()):
        tables[0, code : code + (1 << (QUAD_BITS - length))] = (values > 0) << 6 | (length + values.bit_count())
        code += 1 << (QUAD_BITS - length)
    for values in range(16):
        at = (15 - values) << (QUAD_BITS - 4)
        tables[1, at : at + (1 << (QUAD_BITS - 4))] = (values > 0) << 6 | (4 + values.bit_count())
    return tables.ravel()
