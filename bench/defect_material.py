"""Clean music to put defects into: MIDI files rendered by fluidsynth, no two songs by the same band.

Conventions. Files are FLAC of 16 bits, 44.1 kHz, stereo, named SPLIT_SONG.flac after the MIDI file, so that no song is
in two splits: the first two thirds of the songs, in order of name, are `train`, the next sixth `validation`, the rest
`test`. Songs begin with a note (some after a moment of silence) and end by ringing out: nothing is cut off. Levels
reach from -23 to -11 dBFS, some songs are compressed, and no sample is at full scale. The same seed makes the same
files.

    python -m bench.defect_material MIDI_FOLDER OUT --songs=60 --seconds=60
    python -m bench.defect_material MIDI_FOLDER OTHER --first=620 --songs=170 --seed=7 --split=test --whole
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import numpy.typing as npt
import soundfile

from models.encode import encode
from models.synthesis.arrangement import FAMILIES, LEAD_FAMILIES, Part, arrange
from models.synthesis.band import GAIN, RATE_HZ, TICKS_PER_S, fitted, midi_file
from models.synthesis.effects import compressed, reverberated, room, tilted
from models.synthesis.score import DRUM_CHANNEL, Score, altered, busy_start, excerpt, read_score
from models.synthesis.tools import program, run, sound_font

FloatArray = npt.NDArray[np.float64]

RING_S = 4.0  #: the last notes end so long before the file does
FADE_S = 1.5  #: what still sounds then is faded out
LOUDEST_DB = 3.0  #: of a part's level
VOLUME = 7  #: the controller
PEAK = 10 ** (-0.5 / 20)


def split_of(index: int, songs: int) -> str:
    """Where the song `index` of `songs` belongs.

    >>> [split_of(index, 60) for index in (0, 39, 40, 49, 50, 59)]
    ['train', 'train', 'validation', 'validation', 'test', 'test']
    """
    return "train" if 3 * index < 2 * songs else "validation" if 6 * index < 5 * songs else "test"


def band_of(score: Score, rng: np.random.Generator) -> tuple[Part, ...]:
    """The accompaniment as songscan arranges it, and the melody on an instrument drawn by chance."""
    family = str(rng.choice(LEAD_FAMILIES))
    program = int(rng.choice(FAMILIES[family]))
    lead = Part(
        name="melody",
        program=program,
        notes=tuple(replace(note, velocity=int(rng.integers(70, 120))) for note in score.melody),
        level_db=float(rng.uniform(-4, 3)),
        pan=float(rng.uniform(-0.4, 0.4)),
        reverb=int(rng.integers(20, 100)),
    )
    return (*arrange(score, rng), lead)


def render(midi: Path, seconds: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """One song, [round(seconds * 44100), 2]."""
    whole = altered(read_score(midi), int(rng.integers(-4, 5)), float(rng.uniform(0.9, 1.1)))
    played_s = seconds - RING_S
    score = excerpt(whole, busy_start(whole, played_s, rng), played_s)
    return mastered(played(band_of(score, rng), seconds), rng)


def render_whole(midi: Path, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """All of a song as its file has it, by other instruments, at another level, not mastered: quick."""
    song = mido.MidiFile(midi)
    for track in song.tracks:
        program = int(rng.choice(FAMILIES[str(rng.choice(LEAD_FAMILIES))]))
        channels = {message.channel for message in track if message.type == "note_on"}
        for message in track:
            if message.type == "program_change":
                message.program = program
        changes = [mido.Message("program_change", channel=channel, program=program) for channel in sorted(channels)]
        track[0:0] = [change for change in changes if change.channel != DRUM_CHANNEL]
    sound = synthesised(song)
    sound = sound * min(10 ** (rng.uniform(-23, -11) / 20) / max(float(np.sqrt(np.mean(sound**2))), 1e-6), 8.0)
    sound *= min(1.0, PEAK / max(float(np.abs(sound).max()), 1e-6))
    return faded(sound)


def played(parts: Sequence[Part], seconds: float) -> FloatArray:
    """All parts by one fluidsynth, which takes a third of the time of one for each part."""
    whole = mido.MidiFile(ticks_per_beat=TICKS_PER_S // 2)
    free = iter(channel for channel in range(16) if channel != DRUM_CHANNEL)
    for part in parts:
        channel = DRUM_CHANNEL if part.drums else next(free)
        volume = round(127 * 10 ** ((part.level_db - LOUDEST_DB) / 40))  # General MIDI: 40 log10(volume / 127) dB
        (track,) = midi_file(part, seconds).tracks
        track.insert(0, mido.Message("control_change", control=VOLUME, value=min(volume, 127)))
        for message in track:
            if not message.is_meta:
                message.channel = channel
        whole.tracks.append(track)
    return fitted(synthesised(whole), round(seconds * RATE_HZ))


def synthesised(song: mido.MidiFile) -> FloatArray:
    """What fluidsynth makes of it, [frames, 2]."""
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder, "song.mid"), Path(folder, "song.wav")
        song.save(midi)
        options = ["-ni", "-q", "-T", "wav", "-O", "float", "-r", str(RATE_HZ), "-g", str(GAIN)]
        quick = ["-o", "synth.dynamic-sample-loading=1"]
        run([program("fluidsynth"), *options, *quick, "-F", str(wav), str(sound_font()), str(midi)])
        sound: FloatArray = soundfile.read(wav, dtype="float64", always_2d=True)[0]
        return sound


def mastered(sound: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Colour, room, compression and level drawn by chance; the last moment faded, nothing above -0.5 dBFS."""
    sound = tilted(sound, float(rng.uniform(-1.0, 1.0)))
    if rng.random() < 0.5:
        response = room(float(rng.uniform(0.2, 2.0)), float(rng.uniform(0.2, 0.8)), rng)
        sound = reverberated(sound, response, float(rng.uniform(-24, -8)))[: len(sound)]
    if rng.random() < 0.5:
        sound = compressed(sound, float(rng.uniform(-30, -18)), float(rng.uniform(2, 6)))
    level = 10 ** (rng.uniform(-23, -11) / 20)
    sound = sound * (level / max(float(np.sqrt(np.mean(sound**2))), 1e-6))
    if rng.random() < 0.5:  # a recording has a floor
        sound = sound + rng.normal(0.0, 10 ** (rng.uniform(-90, -72) / 20), sound.shape)
    sound = sound * min(1.0, PEAK / max(float(np.abs(sound).max()), 1e-6))
    lead = int(rng.choice([0, 0, 0.3]) * RATE_HZ)
    return faded(np.concatenate([np.zeros((lead, 2)), sound])[: len(sound)])


def faded(sound: FloatArray) -> npt.NDArray[np.float32]:
    """Its last FADE_S faded out."""
    fade = round(FADE_S * RATE_HZ)
    sound[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade))[:, None] ** 2
    return sound.astype(np.float32)


def main(arguments: Sequence[str] | None = None) -> None:
    """Renders what is not there yet, the splits in turn, so that all can be begun with early."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("midi", type=Path, help="folder of MIDI files with a track MELODY")
    parser.add_argument("out", type=Path)
    parser.add_argument("--songs", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--first", type=int, default=0, help="so many songs are passed over")
    parser.add_argument(
        "--whole", action="store_true", help="songs as they are and as long, not arranged, not mastered"
    )
    parser.add_argument("--split", help="that all songs belong to")
    options = parser.parse_args(arguments)
    files = sorted(options.midi.glob("*.mid"))[options.first :][: options.songs]
    options.out.mkdir(parents=True, exist_ok=True)
    order = sorted(range(len(files)), key=lambda index: (index % 10, index))
    for index in order:
        target = options.out / f"{options.split or split_of(index, len(files))}_{files[index].stem}.flac"
        if target.exists():
            continue
        rng = np.random.default_rng([options.seed, index])
        sound = render_whole(files[index], rng) if options.whole else render(files[index], options.seconds, rng)
        scratch = target.with_suffix(".part")
        encode(scratch, sound, RATE_HZ, codec="flac")
        scratch.rename(target)
        print(target, flush=True)


if __name__ == "__main__":
    main()
