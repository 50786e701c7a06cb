"""Lyrics of a track, as plain or LRC text: from the manifest, or from the file that the catalogue names."""

from __future__ import annotations

import os

import charset_normalizer

from transforms import gcs
from transforms.errors import TrackError
from transforms.folder import local_path
from transforms.records import Track
from transforms.source import Source

_MOST_BYTES = 1 << 20  # the longest opera is a tenth of it


def find_lyrics(track: Track) -> str | None:
    """The lyrics that the catalogue gives for `track`; None if it gives none, or if they can no longer be read.

    The text's encoding is guessed: LRC files in GB 18030, Big5 and Shift JIS are as common as those in UTF-8.
    """
    if track.lyrics or not track.lyrics_uri:
        return track.lyrics
    try:
        data = _first_bytes(track.lyrics_uri)
    except (OSError, TrackError):
        return None  # the sound is what is scanned; a sidecar that vanished must not cost the track
    best = charset_normalizer.from_bytes(data).best()
    return str(best) if best else data.decode("utf-8", errors="replace")


def _first_bytes(uri: str) -> bytes:
    if uri.startswith("gs://"):
        return gcs.read_bytes(uri, most_bytes=_MOST_BYTES)
    with Source(local_path(uri)) as source:  # which refuses a FIFO that bears the name of lyrics, and waits for nobody
        return os.pread(source.fd, _MOST_BYTES, 0)
