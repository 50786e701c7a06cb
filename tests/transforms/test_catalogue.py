"""Folders, globs and single files, with hostile names and entries."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from transforms import folder, sniff
from transforms.catalogue import Verdicts, list_catalogue, local_path
from transforms.errors import MisuseError
from transforms.listing import AUDIO, NOT_AUDIO, UNREADABLE, Entry, Listing

WAV = b"RIFF\x24\0\0\0WAVEfmt "


def put(root: Path, *names: str, content: bytes = b"x") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def listed(input: object, verdicts: Verdicts | None = None) -> dict[str, Entry]:
    entries = list(list_catalogue(str(input), verdicts).entries)
    found = {entry.track_id: entry for entry in entries}
    assert len(found) == len(entries)
    return found


def kinds(input: object) -> dict[str, str]:
    return {track_id: entry.kind for track_id, entry in listed(input).items()}


# Folders --------------------------------------------------------------------------------------------------------


def test_a_folder_is_listed_sorted_with_its_facts(tmp_path):
    put(tmp_path, "b/2.mp3", "b/1.flac", "a.mp3", "a.flac", "c/d/e.ogg", content=b"12345")
    os.utime(tmp_path / "a.mp3", ns=(0, 1_700_000_000_123_456_789))
    found = listed(tmp_path)
    assert list(found) == ["a.flac", "a.mp3", "b/1.flac", "b/2.mp3", "c/d/e.ogg"]
    entry = found["a.mp3"]
    assert (entry.uri, entry.size_bytes, entry.kind) == (str(tmp_path / "a.mp3"), 5, AUDIO)
    assert (entry.modified, entry.revision) == (1_700_000_000_123_456, "5-1700000000123456789")


def test_extension_or_first_bytes_say_audio_and_the_second_run_opens_nothing(tmp_path, monkeypatch):
    put(tmp_path, "wav", "x.dat", content=WAV)
    put(tmp_path, "cover.jpg", "readme", ".mp3x")
    put(tmp_path, "empty", content=b"")
    put(tmp_path, "wrong.MP3")
    opened: list[str] = []
    read_head = sniff.read_head
    monkeypatch.setattr(sniff, "read_head", lambda path: opened.append(path) or read_head(path))
    verdicts = Verdicts()
    first = listed(tmp_path, verdicts)
    assert {name for name, entry in first.items() if entry.kind == AUDIO} == {"wav", "x.dat", "wrong.MP3"}
    assert sorted(map(os.path.basename, opened)) == ["cover.jpg", "readme", "wav", "x.dat"]
    path = str(tmp_path / "state" / "not_audio.parquet")
    verdicts.save(path)
    opened.clear()
    shutil.move(path, tmp_path.parent / "verdicts.parquet")
    (tmp_path / "state").rmdir()
    assert listed(tmp_path, Verdicts.load(str(tmp_path.parent / "verdicts.parquet"))) == first
    assert opened == []
    put(tmp_path, "readme", content=WAV)  # a new revision is looked at
    assert listed(tmp_path, verdicts)["readme"].kind == AUDIO
    assert len(opened) == 1
    assert Verdicts.load(str(tmp_path / "none.parquet")).get("a", "b") is None


def test_names_are_normalised_and_twins_stay_apart(tmp_path):
    put(tmp_path, "Caf\u00e9/a.mp3", "Cafe\u0301/a.mp3", "e\u0301.mp3", "雨\n'\"😀.mp3", "x" * 246 + ".mp3")
    found = listed(tmp_path)
    twin = next(name for name in found if "~" in name)
    assert set(found) == {"Caf\u00e9/a.mp3", twin, "\u00e9.mp3", "雨\n'\"😀.mp3", "x" * 246 + ".mp3"}
    assert twin.startswith("Caf\u00e9~")
    assert len(twin) == len("Caf\u00e9~12345678/a.mp3")
    assert "Cafe\u0301" in found[twin].uri
    for entry in found.values():
        assert os.path.exists(local_path(entry.uri))


def test_a_name_that_is_not_utf8_has_an_id_and_a_uri_that_leads_back(tmp_path):
    put(tmp_path, "caf\udce9.mp3", "caf\\xe9.mp3", "a%20b.mp3")
    found = listed(tmp_path)
    assert "caf\\xe9.mp3" in found
    assert "a%20b.mp3" in found
    (odd,) = set(found) - {"caf\\xe9.mp3", "a%20b.mp3"}
    assert odd.startswith("caf\\xe9.mp3~")
    assert found[odd].uri.startswith("file:///")
    assert os.fsencode(local_path(found[odd].uri)).endswith(b"caf\xe9.mp3")
    assert list_catalogue(str(tmp_path)).file()  # Arrow takes them all


def test_hidden_names_are_passed_over_but_not_dotted_titles(tmp_path):
    put(tmp_path, ".a.mp3", "._b.mp3", "@eaDir/c.mp3", ".Trash/d.mp3", "...And Justice for All/1.mp3", ".5/e.mp3")
    listing = list_catalogue(str(tmp_path))
    assert [entry.track_id for entry in listing.entries] == ["...And Justice for All/1.mp3", ".5/e.mp3"]
    assert listing.notes.passed_over.total() == 4
    put(tmp_path, *(f"._{n}.mp3" for n in range(30)))
    again = list_catalogue(str(tmp_path))
    assert len(list(again.entries)) == 2
    assert again.notes.passed_over.total() == 34
    assert len(again.notes.passed_over) == 11


def test_sidecars_give_lyrics_and_are_not_opened(tmp_path, monkeypatch):
    put(tmp_path, "a.mp3", "a.txt", "a.LRC", "b.mp3", "b.txt", "c.mp3", "d/c.lrc")
    monkeypatch.setattr(
        sniff, "read_head", lambda path: b"" if path.endswith(("a.txt", "c.lrc")) else pytest.fail(path)
    )
    found = listed(tmp_path)
    assert [Path(found[name].lyrics_uri or "").name for name in ("a.mp3", "b.mp3", "c.mp3")] == ["a.LRC", "b.txt", ""]
    assert {found[name].kind for name in ("a.txt", "a.LRC", "b.txt", "d/c.lrc")} == {NOT_AUDIO}


def test_links_are_followed_and_loops_are_not(tmp_path):
    root, outside = tmp_path / "music", tmp_path / "outside"
    put(root, "a/1.mp3")
    put(outside, "2.mp3", "sub/3.mp3")
    (root / "a" / "loop").symlink_to(root)
    (root / "a" / "up").symlink_to("..")
    (root / "out").symlink_to(outside)
    (root / "out2").symlink_to(outside)
    (outside / "sub" / "back").symlink_to(outside)
    (root / "link.mp3").symlink_to(outside / "2.mp3")
    listing = list_catalogue(str(root))
    assert [entry.track_id for entry in listing.entries] == ["link.mp3", "a/1.mp3", "out/2.mp3", "out/sub/3.mp3"]
    assert len(listing.notes.messages) == 4


def test_what_cannot_be_read_as_a_file_has_a_problem_if_its_name_says_audio(tmp_path, monkeypatch):
    put(tmp_path, "ok.mp3", "locked.mp3")
    (tmp_path / "link.mp3").symlink_to(tmp_path / "nowhere.mp3")
    (tmp_path / "self.mp3").symlink_to(tmp_path / "self.mp3")
    (tmp_path / "link.txt").symlink_to(tmp_path / "nowhere.txt")
    os.mkfifo(tmp_path / "fifo.wav")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s.ogg"))  # an absolute path may be too long for a socket
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and access(path, mode))
    found = listed(tmp_path)
    told = {
        name: (e.problem.reason, e.problem.transient) for name, e in found.items() if e.kind == UNREADABLE and e.problem
    }
    assert told == {
        "link.mp3": ("dangling_link", True),
        "self.mp3": ("dangling_link", True),
        "fifo.wav": ("not_a_file", False),
        "s.ogg": ("not_a_file", False),
        "locked.mp3": ("no_permission", True),
    }
    assert {found[name].kind for name in ("link.txt", "fifo")} == {NOT_AUDIO}
    assert found == listed(tmp_path)  # their revisions stay
    assert list_catalogue(str(tmp_path)).file()


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    put(tmp_path, "a/1.mp3", "b/2.mp3")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/a/"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = list_catalogue(str(tmp_path))
    assert [entry.track_id for entry in listing.entries] == ["b/2.mp3"]
    assert not listing.notes.complete
    assert "/a/' cannot be read: Permission denied" in listing.notes.messages[0]


# Globs and single files -----------------------------------------------------------------------------------------


def test_globs(tmp_path):
    put(tmp_path, "1.mp3", "a/2.mp3", "a/b/3.mp3", "a/b/3.lrc", "a/b/4.flac", "[x]/5.mp3")
    assert list(listed(f"{tmp_path}/*.mp3")) == ["1.mp3"]
    assert list(listed(f"{tmp_path}/**/*.mp3")) == ["1.mp3", "[x]/5.mp3", "a/2.mp3", "a/b/3.mp3"]
    assert list(listed(f"{tmp_path}/a/?/[34].*")) == ["b/3.lrc", "b/3.mp3", "b/4.flac"]
    assert list(listed(f"{tmp_path}/a/**")) == ["2.mp3", "b/3.lrc", "b/3.mp3", "b/4.flac"]
    assert list(listed(f"{tmp_path}/[x]")) == ["5.mp3"]  # exists, so it is no glob
    assert list(listed(f"{tmp_path}/a/b/[!4].mp3")) == ["3.mp3"]
    assert listed(f"{tmp_path}/a/b/*.mp3")["3.mp3"].lyrics_uri == str(tmp_path / "a/b/3.lrc")


def test_which_uris_a_catalogue_covers(tmp_path):
    put(tmp_path, "a/1.mp3", "a/1.flac")
    root = str(tmp_path)
    for input, path, expected in [
        (root, f"{root}/gone.mp3", True),
        (root, f"{root}2/gone.mp3", False),
        (root, folder.uri_of(f"{root}/\udce9.mp3"), True),
        (f"{root}/**/*.mp3", f"{root}/b/gone.mp3", True),
        (f"{root}/**/*.mp3", f"{root}/b/gone.flac", False),
        (f"{root}/a/1.mp3", f"{root}/a/1.flac", False),
    ]:
        assert list_catalogue(input).covers(path) is expected


def test_a_single_file_and_a_file_uri(tmp_path):
    put(tmp_path, "a.mp3", "a.pdf", "caf\udce9.mp3")
    assert kinds(tmp_path / "a.mp3") == {"a.mp3": AUDIO}
    assert kinds(tmp_path / "a.pdf") == {"a.pdf": NOT_AUDIO}
    assert kinds(folder.uri_of(str(tmp_path / "caf\udce9.mp3"))) == {"caf\\xe9.mp3": AUDIO}


@pytest.mark.parametrize(
    ("input", "message"),
    [("none", "does not exist"), ("*.mp3", "holds no files"), ("none/*.mp3", "does not exist"), ("", "holds no files")],
)
def test_nothing_to_scan_is_misuse(tmp_path, input, message):
    with pytest.raises(MisuseError, match=message):
        listed(f"{tmp_path}/{input}")


def test_a_listing_is_a_file_of_batches_and_goes_with_it(tmp_path):
    put(tmp_path, *(f"{n}.mp3" for n in range(7)))
    listing: Listing = list_catalogue(str(tmp_path))
    assert [len(batch) for batch in listing.batches(3)] == [3, 3, 1]
    listing = list_catalogue(str(tmp_path))
    path = listing.file()
    assert listing.file() == path
    del listing
    assert not os.path.exists(path)


# First bytes ----------------------------------------------------------------------------------------------------

MP3_128_44K = bytes.fromhex("fffb9064")  # 417 bytes a frame
ADTS = bytes.fromhex("fff1508002fffc")  # 23 bytes a frame


@pytest.mark.parametrize(
    "head",
    [
        WAV,
        b"RF64\xff\xff\xff\xffWAVEds64",
        b"FORM\0\0\0\x40AIFFCOMM",
        b"fLaC\0\0\0\x22",
        b"OggS\0\x02",
        b"\0\0\0\x20ftypM4A ",
        b"\0\0\0\x18ftypisom",
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm",
        b"ID3\x04\0\0\0\0\x01\x10",
        (MP3_128_44K + bytes(413)) * 2,
        MP3_128_44K + bytes(413),
        (ADTS + bytes(16)) * 2,
    ],
)
def test_first_bytes_of_audio(head):
    assert sniff.is_audio(head)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"RIFF\0\0\0\0AVI LIST",
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        b"\x89PNG\r\n\x1a\n",
        b"%PDF-1.7",
        b"MThd\0\0\0\6",
        b"\0\0\0\x18ftypheic",
        b"ID3 tags are described below",
        "Lyrics in UTF-16, by a text editor of old".encode("utf-16") * 100,
        b"\xff" * 8192,
        MP3_128_44K + bytes(8000),
        ADTS + bytes(8000),
    ],
)
def test_first_bytes_of_something_else(head):
    assert not sniff.is_audio(head)


def test_chance_does_not_look_like_audio():
    import random

    chance = random.Random(1)
    heads = (b"\xff" + chance.randbytes(sniff.HEAD_BYTES) for _ in range(2000))
    assert sum(map(sniff.is_audio, heads)) <= 2
