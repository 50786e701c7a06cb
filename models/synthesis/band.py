"""Parts to sound: each is played by fluidsynth on its own, levelled, and added up.

Conventions. Audio is float64 [frames, 2], left and right, 44.1 kHz. A part's loudness is its RMS while it plays, so
that `level_db` means the same for a triangle and an organ. Chance has no part in it: the same parts sound the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from models.synthesis.arrangement import Part
from models.synthesis.score import DRUM_CHANNEL, PEDAL
from models.synthesis.tools import package, program, run, sound_font

FloatArray = npt.NDArray[np.float64]

RATE_HZ = 44100
TICKS_PER_S = 1000  # 500 ticks in a beat of half a second
REFERENCE_DBFS = -23.0
GAIN = 0.5  #: fluidsynth's; far from clipping, and its output is float
PAN, REVERB, CHORUS = 10, 91, 93


def play(parts: Sequence[Part], duration_s: float) -> FloatArray:
    """The band's sound, [round(duration_s * 44100), 2]: silence if there are no parts.

    Raises:
        SynthesisError: if fluidsynth or its sound font is missing, or fails.
    """
    total = np.zeros((round(duration_s * RATE_HZ), 2))
    for part in parts:
        sound = play_part(part, duration_s)
        total += sound * 10 ** ((REFERENCE_DBFS + part.level_db - active_dbfs(sound)) / 20)
    return total


def play_part(part: Part, duration_s: float) -> FloatArray:
    """One part as fluidsynth gives it, [round(duration_s * 44100), 2]. Raises as `play` does."""
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder, "part.mid"), Path(folder, "part.wav")
        midi_file(part, duration_s).save(midi)
        options = ["-ni", "-q", "-T", "wav", "-O", "float", "-r", str(RATE_HZ), "-g", str(GAIN)]
        quick = ["-o", "synth.dynamic-sample-loading=1"]  # else all 140 MB of the font are read for one instrument
        run([program("fluidsynth"), *options, *quick, "-F", str(wav), str(sound_font()), str(midi)])
        return fitted(soundfile.read(wav, dtype="float64", always_2d=True)[0], round(duration_s * RATE_HZ))


def fitted(samples: FloatArray, frames: int) -> FloatArray:
    """`samples` cut or followed by silence, so that there are `frames`."""
    return np.pad(samples[:frames], ((0, max(frames - len(samples), 0)), (0, 0)))


def active_dbfs(samples: FloatArray) -> float:
    """The level of a sound while it is there: the RMS of those blocks of 50 ms within 30 dB of the loudest.

    Silence has the reference level, so that levelling leaves it alone.
    """
    block = RATE_HZ // 20
    whole = samples[: len(samples) // block * block]
    power = np.mean(whole.reshape(-1, block * whole.shape[1]) ** 2, axis=1)  # [blocks]
    if not power.size or power.max() < 1e-12:
        return REFERENCE_DBFS
    return float(10 * np.log10(np.mean(power[power > power.max() * 1e-3])))


def midi_file(part: Part, duration_s: float) -> Any:
    """A mido.MidiFile of one part, one tick a millisecond, that lasts `duration_s`."""
    mido = package("mido")
    midi = mido.MidiFile(ticks_per_beat=TICKS_PER_S // 2)
    track = mido.MidiTrack()
    midi.tracks.append(track)
    now = 0
    for tick, _, kind, values in sorted(_events(part), key=lambda event: event[:2]):
        tick = min(tick, round(duration_s * TICKS_PER_S))
        track.append(mido.Message(kind, channel=DRUM_CHANNEL if part.drums else 0, time=tick - now, **values))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=max(round(duration_s * TICKS_PER_S) - now, 0)))
    return midi


def _events(part: Part) -> Iterator[tuple[int, int, str, dict[str, int]]]:
    """Tick, rank among those of the same tick (what is let go comes first), kind and values."""
    yield 0, 0, "program_change", {"program": part.program}
    for control, value in ((PAN, round(64 + 63 * part.pan)), (REVERB, part.reverb), (CHORUS, part.chorus)):
        yield 0, 0, "control_change", {"control": control, "value": value}
    for down_s, up_s in part.pedal_s:
        yield round(down_s * TICKS_PER_S), 2, "control_change", {"control": PEDAL, "value": 127}
        yield round(up_s * TICKS_PER_S), 1, "control_change", {"control": PEDAL, "value": 0}
    for note in part.notes:
        midi = int(np.clip(note.midi, 0, 127))
        yield round(note.start_s * TICKS_PER_S), 3, "note_on", {"note": midi, "velocity": note.velocity}
        yield round(note.end_s * TICKS_PER_S), 1, "note_off", {"note": midi, "velocity": 0}
