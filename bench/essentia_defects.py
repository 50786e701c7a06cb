"""Essentia's detectors of audio problems at their defaults, as a detector that bench.defects can ask.

Conventions. Each channel is looked at for itself; what two of them tell of the same moment is one event. Names are
those of our classes: a gap is a `dropout`, saturation `clipping`, a discontinuity `skip`, a cut start or end
`abrupt_edge`; other classes Essentia does not have. Where it gives places within a frame, the frame is added. Essentia
is no dependency of songscan: it is under the AGPL, and nothing but this file asks it.

    pip install essentia==2.1b6.dev1389
    python -m bench.defects SONGS --only=test_ --classes click clipping dropout --detector=bench.essentia_defects:beside
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from models.defects import Audio, Facts
from models.events import Event, merged

JOIN_S = 0.05  #: what is nearer is one event
EDGE_S = 0.05
Wave = npt.NDArray[np.float32]


class Essentia:
    """Seven algorithms of Essentia, new ones for each channel, since they remember."""

    name = "essentia"

    def __init__(self, standard: Any, version: str) -> None:
        self._standard = standard
        self.version = version

    def detect(self, audio: Audio, facts: Facts) -> list[Event]:
        """What they tell of all channels, in order of time."""
        samples = np.concatenate(list(audio.blocks(audio.sample_rate_hz)))
        told = [
            Event(name, max(0.0, start_s), max(0.0, start_s, end_s))
            for wave in samples.T
            for name, start_s, end_s in self._channel(np.ascontiguousarray(wave), audio.sample_rate_hz)
        ]
        return merged(told, JOIN_S)

    def _channel(self, wave: Wave, rate_hz: int) -> Iterator[tuple[str, float, float]]:
        yield from self._by_frames("click", self._standard.ClickDetector, wave, 512, sampleRate=rate_hz)
        yield from self._by_frames("dropout", self._standard.GapsDetector, wave, 2048, sampleRate=rate_hz)
        yield from self._by_frames("clipping", self._standard.SaturationDetector, wave, 512, sampleRate=rate_hz)
        for name, algorithm, options in (
            ("skip", self._standard.DiscontinuityDetector, {"frameSize": 512, "hopSize": 256}),
            ("noise_burst", self._standard.NoiseBurstDetector, {}),
        ):
            ask = algorithm(**options)
            for at, frame in self._frames(wave, 512):
                places = ask(frame)
                for place in places[0] if isinstance(places, tuple) else places:
                    yield name, (at + float(place)) / rate_hz, (at + float(place) + 1) / rate_hz
        with contextlib.suppress(RuntimeError):  # of a recording that is too short for it
            *_, starts, ends = self._standard.HumDetector(sampleRate=rate_hz)(wave)
            yield from (("hum", float(start), float(end)) for start, end in zip(starts, ends, strict=True))
        start_cut, stop_cut = self._standard.StartStopCut(sampleRate=rate_hz)(wave)
        duration_s = len(wave) / rate_hz
        yield from [("abrupt_edge", 0.0, EDGE_S)] * bool(start_cut)
        yield from [("abrupt_edge", duration_s - EDGE_S, duration_s)] * bool(stop_cut)

    def _by_frames(
        self, name: str, algorithm: Any, wave: Wave, size: int, **options: Any
    ) -> Iterator[tuple[str, float, float]]:
        """Of algorithms that are given frame after frame, and tell times of the recording."""
        ask = algorithm(frameSize=size, hopSize=size // 2, **options)
        for _, frame in self._frames(wave, size):
            for start, end in zip(*ask(frame), strict=True):
                yield name, float(start), float(end)

    def _frames(self, wave: Wave, size: int) -> Iterator[tuple[int, Wave]]:
        frames = self._standard.FrameGenerator(wave, frameSize=size, hopSize=size // 2, startFromZero=True)
        return ((i * size // 2, frame) for i, frame in enumerate(frames))


def beside() -> Essentia:
    """Raises SystemExit if Essentia is not installed."""
    try:
        import essentia
        import essentia.standard as standard
    except ImportError as error:
        raise SystemExit("Essentia is not installed, and is not needed but here: pip install essentia") from error
    essentia.log.warningActive = essentia.log.infoActive = False
    return Essentia(standard, str(essentia.__version__))
