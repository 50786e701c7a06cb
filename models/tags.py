"""Title, artist and lyrics as a file's own tags tell them: ID3, Vorbis comments, MP4 atoms, ASF, APEv2, RIFF INFO.

Conventions. Text is as tagged, without zero bytes and outer white space, several values joined by `; `, and always
encodable as UTF-8. Tags are an extra: a broken one is no tag, and never a failure.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mutagen

MAX_CHARACTERS = 200_000  #: longer text is cut: nobody sings that much
_TITLE = {"tit2", "title", "©nam"}
_ARTIST = {"tpe1", "artist", "©art", "author"}
_LYRICS = {"uslt", "lyrics", "unsyncedlyrics", "©lyr", "wm/lyrics"}
#: What mutagen lets through when a tag is broken: it checks much, but parses bytes that anybody may have written.
_BROKEN = (
    mutagen.MutagenError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RecursionError,
    struct.error,
)


@dataclass(frozen=True)
class Tags:
    """What the tags tell."""

    title: str | None = None
    artist: str | None = None
    lyrics: str | None = None
    bits_per_sample: int | None = None  #: what the header of a lossless codec says
    length_s: float | None = None  #: what the header says


def read_tags(name: str, fallback: Mapping[str, str]) -> Tags:
    """The tags of the file `name`; what mutagen does not find is looked for in `fallback`, the decoder's metadata."""
    try:
        file = mutagen.File(name)
        found = {} if file is None else _texts(file.tags or {})
        info = None if file is None else file.info
    except _BROKEN:
        found, info = {}, None
    merged = {**{key.casefold(): _clean([value]) for key, value in fallback.items()}, **found}
    title, artist, lyrics = (_first(merged, kinds) for kinds in (_TITLE, _ARTIST, _LYRICS))
    # Not every format of mutagen's has both.
    bits, length_s = getattr(info, "bits_per_sample", None), getattr(info, "length", None)
    return Tags(title, artist, lyrics, bits, length_s)


def _texts(tags: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for key, value in tags.items():
        kind = str(key).split(":")[0].casefold()  # ID3 adds language and description: USLT::eng
        if kind in _TITLE | _ARTIST | _LYRICS:
            found[kind] = _clean(value if isinstance(value, list) else [value])
    return found


def _clean(values: list[Any]) -> str:
    text = "; ".join(str(value) for value in values).replace("\0", "").strip()[:MAX_CHARACTERS]
    return text.encode("utf-8", "replace").decode("utf-8")


def _first(tags: Mapping[str, str], kinds: set[str]) -> str | None:
    return next((text for kind, text in tags.items() if kind in kinds and text), None)
