"""The labels of the musicnn networks, in the order of their outputs, each with its group.

Conventions. Groups are genre, mood, voice, instrument and era; a label that is none of them (`beat`, `cover`) has the
group `sound`. No label tells of a scene. `no vocals` and its like are voice: they speak about it.
"""

from __future__ import annotations


def _listed(text: str) -> list[str]:
    return text.split(", ")


_GROUPS = {
    "genre": _listed(
        "rock, pop, alternative, indie, electronic, dance, alternative rock, jazz, metal, chillout, classic rock, "
        "soul, indie rock, electronica, folk, punk, blues, hard rock, ambient, experimental, Hip-Hop, country, easy "
        "listening, funk, electro, heavy metal, Progressive rock, rnb, indie pop, House, classical, techno, indian, "
        "opera, classic, new age, choral"
    ),
    "mood": _listed("beautiful, Mellow, chill, party, sexy, catchy, sad, happy, slow, fast, loud, quiet, soft, weird"),
    "voice": _listed(
        "female vocalists, male vocalists, instrumental, female vocalist, vocal, female, male, singing, vocals, no "
        "vocals, woman, male vocal, no vocal, man, choir, voice, male voice, female vocal, no voice, female voice"
    ),
    "instrument": _listed(
        "acoustic, guitar, strings, drums, piano, violin, synth, harpsichord, flute, sitar, harp, cello"
    ),
    "era": _listed("00s, 80s, 90s, oldies, 70s, 60s"),
    "sound": _listed("beat, beats, solo"),
}
GROUP_OF = {label: group for group, labels in _GROUPS.items() for label in labels}

MSD = _listed(
    "rock, pop, alternative, indie, electronic, female vocalists, dance, 00s, alternative rock, jazz, beautiful, "
    "metal, chillout, male vocalists, classic rock, soul, indie rock, Mellow, electronica, 80s, folk, 90s, chill, "
    "instrumental, punk, oldies, blues, hard rock, ambient, acoustic, experimental, female vocalist, guitar, "
    "Hip-Hop, 70s, party, country, easy listening, sexy, catchy, funk, electro, heavy metal, Progressive rock, "
    "60s, rnb, indie pop, sad, House, happy"
)
MTT = _listed(
    "guitar, classical, slow, techno, strings, drums, electronic, rock, fast, piano, ambient, beat, violin, "
    "vocal, synth, female, indian, opera, male, singing, vocals, no vocals, harpsichord, loud, quiet, flute, "
    "woman, male vocal, no vocal, pop, soft, sitar, solo, man, classic, choir, voice, new age, dance, male voice, "
    "female vocal, beats, harp, cello, no voice, weird, country, metal, female voice, choral"
)
