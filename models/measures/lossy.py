"""Lossless container, lossy source: was this recording an MP3, AAC, Vorbis or Opus file before?

The evidence is the frame grid that such a codec leaves in the samples (`lossy_grids`), never the cut-off frequency:
dull, low-passed, resampled and old recordings have no grid and are not accused. Up to 32 short excerpts are kept,
evenly over the recording, in 2 MB whatever its length; ten steady and loud ones are searched, and the grids found in
them must lie at the same place before the answer is yes. A changed gain or start leaves a grid as it is.

"No" means "no trace found". What destroys the grid escapes: resampling or a change of speed after decoding,
reverberation and equalisers, noise above the codec's own, many cuts, another codec on top; at the highest bit rates
also quiet or dull music in 16 bits, where rounding covers what is left. Music mixed largely from lossy samples may be
found too.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from models.measures.blocks import Meter, Samples, measured
from models.measures.lossy_grids import EXCERPT_SAMPLES, GRIDS, Grid, offset_curve, peak_gap

LOWEST_CODEC_RATE_HZ = 32000  # below, MP3 and AAC work otherwise, and speech in 16 kHz has been through too much else
SHORTEST_S = 5.0
SEARCHED_EXCERPTS = 10
MOST_EXCERPTS = 32
SPACING_SAMPLES = 32768  # between excerpts at first; doubled whenever MOST_EXCERPTS are full

MOST_PER_EXCERPT = 8.0  # one excerpt alone cannot reach the threshold, however plain it looks
LEAST_EXCERPTS = 3
LIKELY_GAP = 3.0  # see bench/lossy_source.py


@dataclass(frozen=True, slots=True)
class LossyEvidence:
    """What the frame grids say.

    `score` runs from 0 (no trace) to 1 (unmistakable), 0.5 being the threshold of `lossy`. Both are None where it
    cannot be told: silence, less than 5 s, a rate below 32 kHz, or too little above the rounding of the format.
    """

    score: float | None
    lossy: bool | None
    words: str


class LossyMeter(Meter[LossyEvidence]):
    """Looks for the frame grid of a lossy codec; of more than two channels, in the first two.

    The result is the same to the bit however the recording is cut into blocks.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels, block_samples=SPACING_SAMPLES)
        self._excerpts: dict[int, Samples] = {}  # by number of the block that they begin
        self._stride = 1
        self._block = 0

    def _fold(self, planes: Samples) -> None:
        if self._block % self._stride == 0 and planes.shape[1] >= EXCERPT_SAMPLES:
            self._excerpts[self._block] = planes[:2, :EXCERPT_SAMPLES].copy()
        if len(self._excerpts) == MOST_EXCERPTS:
            self._stride *= 2
            self._excerpts = {block: kept for block, kept in self._excerpts.items() if block % self._stride == 0}
        self._block += 1

    def _conclude(self) -> LossyEvidence:
        if self.sample_rate_hz < LOWEST_CODEC_RATE_HZ:
            return LossyEvidence(None, None, f"cannot be told at {self.sample_rate_hz} Hz")
        if self.frames < SHORTEST_S * self.sample_rate_hz:
            return LossyEvidence(None, None, f"cannot be told of less than {SHORTEST_S:.0f} s")
        gaps = [(self._gap(grid), grid.name) for grid in GRIDS if _fits(grid, self.sample_rate_hz)]
        told = [(gap, name) for gap, name in gaps if gap is not None]
        if not told:
            return LossyEvidence(None, None, "cannot be told: too quiet, or mostly silence")
        return _evidence(*max(told))

    def _gap(self, grid: Grid) -> float | None:
        """Gap of the excerpts' curves together; None where too few are loud enough."""
        step = _format_step(self._excerpts)
        mixes = itertools.cycle((_middle, _left))  # codecs code left and right, or middle and side, as it suits them
        curves = [
            offset_curve(mix(self._excerpts[block]), block * SPACING_SAMPLES, grid, step)
            for block, mix in zip(_steadiest(self._excerpts), mixes, strict=False)
        ]
        usable = [np.minimum(curve, MOST_PER_EXCERPT) for curve in curves if curve is not None]
        return peak_gap(usable) if len(usable) >= LEAST_EXCERPTS else None


def lossy_source(samples: Samples, sample_rate_hz: int) -> LossyEvidence:
    """Looks for the frame grid of a lossy codec in a whole recording, float32 [frames] or [frames, channels].

    >>> lossy_source(np.zeros((441000, 2), np.float32), 44100).lossy is None
    True
    """
    return measured(LossyMeter, samples, sample_rate_hz)


def _fits(grid: Grid, sample_rate_hz: int) -> bool:
    lowest_hz, highest_hz = grid.rates_hz
    return lowest_hz <= sample_rate_hz <= highest_hz


def _evidence(gap: float, codec: str) -> LossyEvidence:
    lossy = gap >= LIKELY_GAP
    words = f"frames of {codec} show through" if lossy else "no trace of MP3, AAC, Vorbis or Opus frames"
    return LossyEvidence(1 - 0.5 ** (gap / LIKELY_GAP), lossy, words)


def _steadiest(excerpts: dict[int, Samples]) -> list[int]:
    """One excerpt of each tenth of the recording: where treble is loud throughout, zeros stand out from rounding."""
    groups = np.array_split(sorted(excerpts), SEARCHED_EXCERPTS)
    return [max(group.tolist(), key=lambda block: _treble(excerpts[block])) for group in groups if len(group)]


def _treble(excerpt: Samples) -> float:
    parts = np.array_split(np.diff(excerpt, axis=1), 8, axis=1)
    return min(float(np.square(part).mean()) for part in parts)


def _format_step(excerpts: dict[int, Samples]) -> float:
    """Smallest difference between samples: of 16 bits if all are whole multiples of it, else as fine as 24 bits."""
    whole = all(np.array_equal(scaled, np.rint(scaled)) for scaled in (kept * 2**15 for kept in excerpts.values()))
    return 2.0**-15 if whole else 2.0**-23


def _middle(excerpt: Samples) -> Samples:
    middle: Samples = excerpt.mean(axis=0)
    return middle


def _left(excerpt: Samples) -> Samples:
    left: Samples = excerpt[0]
    return left
