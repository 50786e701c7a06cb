"""Manifests: what they give, and how they are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.catalogue import list_catalogue
from transforms.errors import MisuseError
from transforms.listing import AUDIO, UNREADABLE, Entry

ROWS = [
    {
        "track_id": "../../x",
        "uri": "a.mp3",
        "title": 'T, "1"',
        "artist": "雨",
        "lyrics": "one\ntwo",
        "lyrics_uri": "l.lrc",
    },
    {
        "track_id": "line\nbreak 😀",
        "uri": "sub/../sub/b",
        "title": None,
        "artist": None,
        "lyrics": None,
        "lyrics_uri": None,
    },
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "a.mp3").write_bytes(b"123")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_bytes(b"1")
    return tmp_path


def write_csv(path: Path, separator: str = ",") -> None:
    def quoted(value: str | None) -> str:
        return '"' + value.replace('"', '""') + '"' if value else ""

    lines = [separator.join(ROWS[0]), *(separator.join(map(quoted, row.values())) for row in ROWS)]
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")


def write_json(path: Path) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n\n" for row in ROWS), encoding="utf-8")


def entries(path: Path) -> list[Entry]:
    return list(list_catalogue(str(path)).entries)


@pytest.mark.parametrize("kind", ["csv", "semicolons.CSV", "jsonl", "ndjson", "parquet"])
def test_every_kind_of_manifest_says_the_same(home, kind):
    path = home / f"m.{kind}"
    if kind.lower().endswith("csv"):
        write_csv(path, ";" if "semi" in kind else ",")
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist([{**row, "other": 1.5} for row in ROWS]), path)
    else:
        write_json(path)
    first, second = entries(path)
    assert (first.track_id, first.uri, first.size_bytes, first.kind) == ("../../x", str(home / "a.mp3"), 3, AUDIO)
    assert (first.title, first.artist, first.lyrics) == ('T, "1"', "雨", "one\ntwo")
    assert first.lyrics_uri == str(home / "l.lrc")
    assert first.revision == f"3-{(home / 'a.mp3').stat().st_mtime_ns}"
    assert (second.track_id, second.uri, second.kind) == ("line\nbreak 😀", str(home / "sub" / "b"), AUDIO)
    assert second.title is None
    assert not list_catalogue(str(path)).covers(str(home / "c.mp3"))  # what a manifest does not name is not gone


def test_a_file_that_is_missing_or_a_folder_is_unreadable_and_no_more(home):
    path = home / "m.csv"
    path.write_text("uri,track_id\nnone.mp3,1\nsub,2\nfile:///none/%E9,3\n/a b.mp3,4\n")
    found = {entry.track_id: entry for entry in entries(path)}
    assert {entry.kind for entry in found.values()} == {UNREADABLE}
    problems = {name: (e.problem.reason, e.problem.transient) for name, e in found.items() if e.problem}
    assert problems["1"] == problems["3"] == problems["4"] == ("gone", True)
    assert problems["2"] == ("not_a_file", False)
    assert found["3"].uri == "file:///none/%E9"
    assert found["1"].revision == "gone"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", b"track_id,title\n1,a\n", r"m.csv', line 1: uri missing among 'track_id', 'title'"),
        ("m.csv", b"", "track_id and uri missing among"),
        ("m.csv", b"track_id,uri\n", "holds no files"),
        ("m.csv", b"track_id,uri\n1,a\n,b\n", "line 3: track_id is empty"),
        ("m.csv", b"track_id,uri\n1,a\n2\n", "line 3: uri is empty"),
        ("m.csv", b"track_id,uri\n1,a,b\n", "line 2: 3 values for 2 columns"),
        ("m.csv", b"track_id,uri\n1,a\n2,b\n1,c\n2,d\n", r"'1' \(lines 2 and 4\), '2' \(lines 3 and 5\)"),
        ("m.csv", b"track_id,uri\n1,caf\xe9.mp3\n", r"line 2: b'1,caf\\xe9.mp3.n' is not UTF-8"),
        ("m.csv", b'track_id,uri\n1,"a\n', "line 2: unexpected end of data"),
        ("m.csv", b"track_id,uri\n1,https://a/b.mp3\n", "uri 'https://a/b.mp3' cannot be read"),
        ("m.jsonl", b'{"track_id": "1", "uri": "a"}\n{"track_id": \n', "line 2: '{\"track_id\":' is not JSON"),
        ("m.jsonl", b'["1", "a"]\n', "line 1: .* is not a JSON object"),
        ("m.jsonl", b'{"track_id": 1}\n', "line 1: uri missing"),
        ("m.jsonl", b'{"track_id": 1.5, "uri": "a"}\n', "track_id is 1.5, not text"),
        ("m.jsonl", b'{"track_id": "\\ud800", "uri": "a"}\n', "half a character"),
        ("m.parquet", b"PAR1 not", "is not Parquet"),
    ],
)
def test_a_wrong_manifest_is_refused_by_file_line_and_value(home, name, content, message):
    (home / name).write_bytes(content)
    with pytest.raises(MisuseError, match=message):
        entries(home / name)


def test_whole_numbers_are_ids_and_a_missing_manifest_is_told(home):
    (home / "m.jsonl").write_text('{"track_id": 17, "uri": "a.mp3"}\n')
    assert [entry.track_id for entry in entries(home / "m.jsonl")] == ["17"]
    with pytest.raises(MisuseError, match="does not exist"):
        entries(home / "none.csv")
