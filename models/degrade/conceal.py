"""Packet loss concealment: packets that were lost on the way, and what receivers put in their place.

Conventions. Packets last 10, 20, 30, 40 or 60 ms and lie on a grid; a loss is 1, 2 or 5 packets in a row (faint,
middle, strong; one more or less), 20 to 80 ms as a rule. Methods: `repeat`: the packet before, each time 3 dB softer
(GSM 06.11 in outline); `pitch`: the last periods of the waveform again, softer by a fifth each 10 ms after the first
10, silent after 60 ms (ITU-T G.711 Appendix I); `comfort`: noise with the spectrum and the level of what came before;
`between`: what came before fades into what comes after, each repeated. Joints overlap by up to 4 ms, always inside the
lost packets: what arrived is untouched.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.degrade.event import Degraded, FloatArray, Rng, between, columns, events_of, heard_start, some_channel

Wave = npt.NDArray[np.float64]

PACKETS_S = (0.01, 0.02, 0.02, 0.03, 0.04, 0.06)
LOST = (1, 2, 5)
LOSSES_PER_S = (0.05, 0.15, 0.4)  #: on average, beyond the first
MOST_LOSSES = 10
LONGEST_S = 0.4
OVERLAP_S = 0.004
METHODS = ("repeat", "pitch", "pitch", "comfort", "between")


def concealment(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """Losses of packets of one length, concealed by one method, in all channels or one."""
    out = samples.copy()
    channel = some_channel(samples.shape[1], rng, 0.1)
    packet = round(float(rng.choice(PACKETS_S)) * rate_hz)
    method = str(rng.choice(METHODS))
    spans: list[tuple[int, int]] = []
    history = round(0.1 * rate_hz)
    for _ in range(min(1 + int(rng.poisson(between(strength, *LOSSES_PER_S) * len(samples) / rate_hz)), MOST_LOSSES)):
        lost = packet * max(int(round(between(strength, *LOST)) + rng.integers(-1, 2)), 1)
        lost = max(min(lost, round(LONGEST_S * rate_hz) // packet * packet), packet)
        start = -(-heard_start(samples, lost, rng, channel, history + packet) // packet) * packet
        if any(start < b + 2 * history and a < start + lost + 2 * history for a, b in spans):
            continue
        for column in range(samples.shape[1])[columns(channel)]:
            before = samples[start - history : start, column].astype(np.float64)
            after = samples[start + lost : start + lost + history, column].astype(np.float64)
            out[start : start + lost, column] = filled(before, after, lost, packet, rate_hz, method, rng)
        spans.append((start, start + lost))
    return Degraded(samples=out, events=events_of("concealment", sorted(spans), rate_hz, channel), reference=samples)


def filled(before: Wave, after: Wave, lost: int, packet: int, rate_hz: int, method: str, rng: Rng) -> Wave:
    """What stands for `lost` samples between `before` and `after`, one channel: [lost], within full scale."""
    t = np.arange(lost)
    if method == "repeat":
        made = looped(before, min(packet, len(before)), lost) * 10 ** (-3 * (t // packet) / 20)
    elif method == "pitch":
        made = looped(before, period(before, rate_hz), lost) * faded(t / rate_hz)
    elif method == "comfort":
        made = comfort(before, lost, rng)
    else:
        weight = (t + 1) / (lost + 1)
        back = looped(after[::-1], period(after, rate_hz), lost)[::-1]
        made = (1 - weight) * looped(before, period(before, rate_hz), lost) + weight * back
    return np.clip(_joined(made, before, after, min(round(OVERLAP_S * rate_hz), lost // 4)), -1, 1)


def looped(before: Wave, length: int, lost: int) -> Wave:
    """The last `length` samples over and over."""
    return before[len(before) - length + np.arange(lost) % length]


def faded(seconds: Wave) -> Wave:
    """The gain of G.711 Appendix I: 1 for 10 ms, then down by a fifth each 10 ms, 0 from 60 ms on."""
    return np.asarray(np.clip(1 - 20 * (seconds - 0.01), 0, 1))


def period(wave: Wave, rate_hz: int) -> int:
    """The lag of 5 to 15 ms at which the last 20 ms are most like what came before (normalised cross-correlation)."""
    shortest, longest, size = (round(seconds * rate_hz) for seconds in (0.005, 0.015, 0.02))
    size = min(size, len(wave) - longest)
    last = wave[-size:]
    likeness = []
    for lag in range(shortest, longest + 1):
        earlier = wave[len(wave) - size - lag : len(wave) - lag]
        likeness.append(float(last @ earlier) / np.sqrt(float(earlier @ earlier) + 1e-12))
    return shortest + int(np.argmax(likeness))


def comfort(before: Wave, lost: int, rng: Rng) -> Wave:
    """Noise whose spectrum, and so its level, is that of the samples before."""
    shape = np.abs(np.fft.rfft(before * np.hanning(len(before)))) / np.sqrt(np.mean(np.hanning(len(before)) ** 2))
    size = max(lost, len(before))
    gains = np.interp(np.linspace(0, 1, size // 2 + 1), np.linspace(0, 1, len(shape)), shape) / np.sqrt(len(before))
    return np.asarray(np.fft.irfft(np.fft.rfft(rng.normal(0, 1, size)) * gains, size)[:lost])


def _joined(made: Wave, before: Wave, after: Wave, overlap: int) -> Wave:
    """`made` that grows out of the mirrored end before it, and into the mirrored beginning behind it."""
    if overlap < 2:
        return made
    out = made.copy()
    rise = np.arange(1, overlap + 1) / (overlap + 1)
    out[:overlap] = (1 - rise) * before[::-1][:overlap] + rise * made[:overlap]
    out[-overlap:] = rise * after[:overlap][::-1] + (1 - rise) * out[-overlap:]
    return out
