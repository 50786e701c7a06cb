import io

import pytest
from rich.console import Console

from pipelines.report import show
from tests.transforms.outputs import failure, opening, put, row, write
from transforms import records
from transforms.errors import MisuseError
from transforms.records import Quality, Run, ScorePart, TrackFacts, Work
from transforms.schemas import to_arrow

HOSTILE = [
    "../../x",
    "[bold red]x[/bold red]",
    "[/]",
    "line\nbreak\r\tand tab",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202eright to left\u2066",
    "名曲 🎵 " + "é" * 120,
    "x" * 250,
    'quote\'s "and" \\ % {} $1',
    "عربى שלום",
]


def page(output, track=None, **settings):
    console = Console(file=io.StringIO(), width=80, **settings)
    show(str(output), track, console)
    return console.file.getvalue()


def squeezed(text):
    return "".join(text.split())


def parts(*names):
    return [ScorePart(part=name, points=10.0, words=f"{name} in words") for name in names]


FLAC = {"container": "flac", "codec": "flac", "lossless": True, "sample_rate_hz": 44100, "channels": 2}


@pytest.fixture
def output(tmp_path):
    found = {
        "clipped.flac": {"score": 40.0, "score_parts": parts("clipping", "damage"), "integrated_lufs": -6.5},
        "hum.flac": {"score": 70.0, "hum_hz": 50.0, "hum_dbfs": -41.2, "integrated_lufs": -14.5},
        "twin.flac": {"score": 80.0, "false_stereo": True, "missing_channels": [1], "integrated_lufs": -15.5},
        "good.flac": {"score": 100.0, "integrated_lufs": -14.5},
    }
    for number, (track, columns) in enumerate(found.items()):
        facts = {**FLAC, "duration_s": 1800.0, "size_bytes": 2**20, "uri": f"/m/{track}"}
        write(tmp_path, f"p{number}", opening(track, f"sha256:{number}", number, **facts, **columns))
    write(tmp_path, "copy", [row(TrackFacts, "copy.flac", "sha256:3", **FLAC, duration_s=1800.0)])
    gone = [
        row(TrackFacts, "gone.flac", "t", state="removed"),
        row(TrackFacts, "was.flac", "u", state="moved", moved_to="is.flac"),
    ]
    write(tmp_path, "gone", gone)
    words = {"stage": "decode", "reason": "not_audio", "error": "first bytes are <!DOCTYPE", "advice": "leave it out"}
    write(tmp_path, "bad", [*failure("broken.mp3", "b", 9, **words), *failure("other.mp3", "c", 9, **words)])
    run = row(Run, at=9, status="done", listed=8, written=4, dead_lettered=2, audio_hours=2.0, wall_s=75.0)
    put(tmp_path, "runs", "run", to_arrow("runs", [run]))
    return tmp_path


def test_the_page_tells_all_that_a_curator_asks(output):
    said = page(output)
    for words in (
        "5 tracks, 2.5 h of audio",
        "4 assessed for quality, 2 with failures (see below)",
        "44.1",
        "2026-01-01 09:00:00",
        "1:15",
        "median -14.5 LUFS",
        "clipping in words",
        "Duplicates: 1 recording filed more than once",
        "copy.flac = good.flac",
        "Moved: 1 track",
        "was.flac -> is.flac",
        "No longer in the catalogue: 1 track",
    ):
        assert words in said


def test_findings_are_counted_with_an_example(output):
    lines = [line.split() for line in page(output).splitlines()]
    assert ["clipping", "1", "25.0", "%", "clipped.flac"] in lines
    assert ["mains", "hum", "1", "25.0", "%", "hum.flac"] in lines
    assert ["missing", "channel", "1", "25.0", "%", "twin.flac"] in lines
    assert not [line for line in lines if line[:2] == ["inverted", "channel"]]


def test_worst_first_and_failures_grouped(output):
    said = page(output)
    assert said.index("40  clipped.flac") < said.index("70  hum.flac") < said.index("80  twin.flac")
    assert "2  decode: not_audio" in said
    assert "first bytes are <!DOCTYPE" in said
    assert "leave it out" in said


def test_bars_are_as_long_as_their_numbers(tmp_path):
    rows = [r for i in range(30) for r in opening(f"t{i}", score=95.0 if i < 20 else 55.0)]
    write(tmp_path, "1", rows)
    said = page(tmp_path)
    assert f"90-100  {'█' * 30} 20" in said
    assert f"50-59   {'█' * 15} 10" in said


def test_failures_of_removed_files_are_not_shown(tmp_path):
    write(tmp_path, "1", failure("a", reason="not_audio"))
    assert "not_audio" in page(tmp_path)
    write(tmp_path, "2", [row(TrackFacts, "a", at=2, state="removed")])
    assert "not_audio" not in page(tmp_path)


def test_nothing_yet(tmp_path):
    (tmp_path / "tables").mkdir()
    assert "There is nothing here yet" in page(tmp_path)


def test_only_failures(tmp_path):
    write(tmp_path, "1", failure("a", reason="empty_file"))
    assert "empty_file" in page(tmp_path)


def test_not_an_output(tmp_path):
    with pytest.raises(MisuseError, match="not an output"):
        page(tmp_path)


def test_hostile_names_neither_break_the_page_nor_are_interpreted(tmp_path):
    rows = []
    for number, name in enumerate(HOSTILE):
        strange = {
            "title": name,
            "artist": name,
            "uri": name,
            "container": name,
            "codec": name,
            "error": name,
            "sample_rate_hz": 8000,
        }
        rows += opening(
            name, f"t{number // 2}", score=50.0, score_parts=parts(name), duration_s=1.0, lyrics=name, **strange
        )
        rows += failure(f"failed {name}", reason=name, stage=name, advice=name, **strange)
        rows.append(row(TrackFacts, f"moved {name}", state="moved", moved_to=name))
    write(tmp_path, "1", rows)
    pages = [page(tmp_path), *(page(tmp_path, name) for name in HOSTILE), page(tmp_path, f"failed {HOSTILE[3]}")]
    for said in pages:
        assert not set(said) & set("\x1b\x07\r\t\u202e\u2066")
        assert max(map(len, said.splitlines())) <= 80
    assert "[bold red]x[/bold red]" in pages[0]
    for name, said in zip(HOSTILE[:3], pages[1:4], strict=True):
        assert name in said.splitlines()[0]
    assert "line␊break␍␉and tab" in pages[4]
    assert "<U+202E>right" in pages[6]
    assert squeezed(pages[8]).count("x" * 250) >= 3


@pytest.mark.parametrize("width", [40, 80, 200])
def test_any_width(output, width):
    console = Console(file=io.StringIO(), width=width)
    show(str(output), None, console)
    assert max(map(len, console.file.getvalue().splitlines())) <= width


def test_colours_only_on_a_terminal(output):
    assert "\x1b" not in page(output)
    assert "\x1b" in page(output, force_terminal=True)


def test_a_terminal_without_unicode(output):
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii", errors="strict"), width=80)
    show(str(output), None, console)
    assert b"####" in raw.getvalue()


def test_loudness_outside_the_scale_takes_one_bar(tmp_path):
    levels = [588.0, 1e6, 0.1, 0.0, -59.9, -60.1, -1e6]
    write(tmp_path, "1", [r for i, lufs in enumerate(levels) for r in opening(f"t{i}", integrated_lufs=lufs)])
    said = page(tmp_path)
    assert len(said.splitlines()) < 70
    assert [line.split()[-1] for line in said.splitlines() if "above 0" in line] == ["3"]
    assert [line.split()[-1] for line in said.splitlines() if "below -60" in line] == ["2"]
    assert [line.split()[-1] for line in said.splitlines() if "-3 to   0" in line] == ["1"]


def test_endless_values_are_cut(tmp_path):
    endless = {"title": "la" * 40_000, "error": "oh" * 40_000, "lyrics": "na" * 40_000}
    write(tmp_path, "1", opening("a", **endless) + failure("b", **endless))
    for said in (page(tmp_path, "a"), page(tmp_path, "b"), page(tmp_path)):
        assert len(said.splitlines()) < 80
    assert "(80,000characters)" in squeezed(page(tmp_path, "a"))


def test_nothing_below_nothing_announced_and_short_is_not_zero(tmp_path):
    write(tmp_path, "1", opening("a", **FLAC, duration_s=213.0))
    said = page(tmp_path)
    assert "1 track, 3.5 min of audio" in said
    assert "0 with failures\n" in said


def test_hints_name_the_command_as_it_was_called(output, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", [str(tmp_path / "my bin/songscan")])
    assert "mybin/songscan'showOUT" in squeezed(page(output)).replace(str(output), "OUT")
    monkeypatch.setattr("sys.argv", ["/x/pytest"])
    assert "Onetrack:songscanshowOUTTRACK" in squeezed(page(output)).replace(str(output), "OUT")


# One track ------------------------------------------------------------------------------------------------------


def test_a_track_is_told_with_units(tmp_path):
    quality = {
        "integrated_lufs": -14.25,
        "true_peak_dbtp": 0.31,
        "longest_inner_silence_s": 61.5,
        "longest_inner_silence_at_s": 5.25,
        "hum_hz": 60.0,
        "hum_dbfs": -40.0,
        "missing_channels": [1],
        "score": 73.0,
        "score_parts": parts("hum"),
    }
    facts = {**FLAC, "bits_per_sample": 24, "duration_s": 200.5, "damaged_packets": 2, "damaged_at_s": [1.5, 75.0]}
    write(tmp_path, "1", opening("a/b.flac", **facts, **quality, lyrics="\n".join(map(str, range(20))), title="T"))
    said = page(tmp_path, "a/b.flac")
    for words in (
        *("3:20.500", "44,100 Hz", "24 bit", "-14.2 LUFS", "0.3 dBTP", "1:01.500 at 0:05.250", "60 Hz, -40.0 dBFS"),
        *("2 (from 1)", "Quality: 73 of 100", "hum in words", "2 at 0:01.500 1:15.000", "12 more lines"),
    ):
        assert words in said


def test_only_that_track_is_told(output):
    said = page(output, "hum.flac")
    assert "clipped.flac" not in said
    assert "copy.flac" in page(output, "good.flac")


def test_a_part_of_the_id_is_enough_if_only_one_has_it(output):
    assert page(output, "HUM").startswith("hum.flac")
    with pytest.raises(MisuseError, match=r"7 tracks match '\.flac'(?s:.*)\n  clipped\.flac\n  copy\.flac"):
        page(output, ".flac")


def test_an_exact_id_wins_over_those_that_contain_it(tmp_path):
    write(tmp_path, "1", opening("a") + opening("aa"))
    assert page(tmp_path, "a").splitlines()[0] == "a"


def test_an_unknown_track_brings_close_matches(output):
    with pytest.raises(MisuseError, match=r"No track matches 'cliped\.flac'.*\n  clipped\.flac"):
        page(output, "cliped.flac")
    with pytest.raises(MisuseError, match="SELECT track_id FROM tracks"):
        page(output, "0123456789")


def test_a_track_that_never_decoded(output):
    said = page(output, "broken.mp3")
    assert "first bytes are <!DOCTYPE" in said
    assert "leave it out" in said
    assert "failed_permanent" in said


def test_wildcards_of_sql_are_letters(tmp_path):
    write(tmp_path, "1", opening("a%b_c"))
    assert page(tmp_path, "%b_").startswith("a%b_c")
    with pytest.raises(MisuseError):
        page(tmp_path, "%c")


def test_a_result_table_of_a_later_version_is_told_as_it_is(tmp_path, monkeypatch):
    # Any record of rows about tracks will do for a table that the pages do not know.
    monkeypatch.setattr(records, "TABLES", {"later": Quality, **records.TABLES})
    write(tmp_path, "1", [row(TrackFacts), row(Quality, score=12.5), row(Work)])
    said = page(tmp_path, "a")
    assert said.index("later") < said.index("12.5") < said.index("Work")
