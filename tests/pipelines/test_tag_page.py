import io
import random

import pytest
from rich.console import Console

from pipelines.report import show
from pipelines.tag_page import LONGEST_LINE, axis, line
from tests.pipelines.test_report import HOSTILE, page
from tests.transforms.outputs import opening, row, write
from transforms import tables
from transforms.records import Tag, TrackFacts, Work


def label(name, group="genre", score=0.5, threshold=0.3, over_time=(0.5,), **columns):
    present = threshold is not None and score >= threshold
    told = {"label": name, "label_group": group, "score": score, "threshold": threshold, "present": present}
    span = {"over_time_step_s": 1.0, "over_time_window_s": 1.0}
    return {**told, **span, "over_time": list(over_time), **columns}


def heard(*labels, track="a", token="sha256:1", at=0, model="m", version="1", **columns):
    """The rows of a track that a model heard."""
    stamp = {"model_name": model, "model_version": version}
    tags = [row(Tag, track, token, at, **stamp, **told) for told in labels]
    work = row(Work, track, token, at, **{**stamp, "task": "tags", **columns})
    return [row(TrackFacts, track, token, at, **columns), *tags, work]


def section(said, heading="Tags by"):
    """The words of each line of a page from `heading` to the next empty line."""
    lines = said[said.index(heading) :].split("\n\n")[0].splitlines()
    return [words.split() for words in lines]


def track_page(output, *labels, **columns):
    write(output, "1", heard(*labels, **columns))
    return page(output, "a")


# One track ------------------------------------------------------------------------------------------------------


def test_known_scores_give_known_characters():
    assert line([0, 0.124, 0.125, 0.5, 0.874, 0.875, 1], 80) == "▁▁▂▅▇██"
    assert line([0, 0.099, 0.1, 0.5, 0.899, 0.9, 1], 80, ascii_only=True) == "0015899"


def test_what_no_score_can_be_has_a_place_on_the_scale():
    assert line([float("nan"), -1.0, 2.0, float("inf")], 80) == "▁▁██"


@pytest.mark.parametrize("number", [1, 9, 35, 36, 37, 71, 72, 1000])
def test_a_constant_score_is_a_flat_line(number):
    assert line([0.4] * number, 80) == "▄" * min(number, LONGEST_LINE)
    assert line([0.4] * number, 20) == "▄" * min(number, 20)


def test_characters_tell_means_and_lie_where_they_are_in_time():
    assert line([0.0] * 360 + [1.0] * 360, 80) == "▁" * 18 + "█" * 18
    assert line([0.0, 1.0] * 36, 80) == "▅" * 36
    assert line([0.0] * 995 + [1.0] * 28, 80) == "▁" * 35 + "█"


def test_no_line_without_room_or_scores():
    assert line([0.5] * 40, 8) == line([0.5] * 40, -3) == line([], 80) == ""


def test_the_axis_names_begin_middle_and_end():
    assert axis(0, 7200, 36) == "0:00         1:00:00         2:00:00"
    assert axis(30, 90.4, 9) == "0:30 1:30"
    assert axis(0, 90, 8) == "0:00-1:30"


def test_line_and_axis_stand_in_one_column(tmp_path):
    said = track_page(tmp_path, label("jazz", over_time=[0.0] * 15 + [1.0] * 15)).splitlines()
    drawn, below = (next(text for text in said if mark in text) for mark in ("█", "0:15"))
    assert drawn.index("▁") == below.index("0:00")
    assert len(drawn.rstrip()) == len(below.rstrip())
    assert below.split() == ["0:00", "0:15", "0:30"]


def test_padding_is_not_told_as_time(tmp_path):
    stretches = {"over_time_start_s": -4.0, "over_time_step_s": 22.0, "over_time_window_s": 25.0}
    said = track_page(tmp_path, label("jazz", over_time=[0.5] * 3, **stretches), duration_s=61.0)
    assert "Tags by m 1: 3 stretches of 25 s" in said
    assert ["0:00-1:01"] in section(said)


def test_groups_in_order_and_what_is_present_best_first(tmp_path):
    said = track_page(
        tmp_path,
        *(label("slow", "tempo", 0.9), label("solo", "", 0.9), label("80s", "era", 0.9), label("happy", "mood", 0.1)),
        *(label("jazz", score=0.4), label("rock", score=0.6), label("pop", score=0.2), label("sad", "mood", 0.2)),
    )
    assert section(said)[2:] == [
        ["genre", "rock", "0.60", "▅"],
        ["jazz", "0.40", "▅"],
        ["mood", "sad", "0.20", "▅", "below", "0.3"],
        ["era", "80s", "0.90", "▅"],
        ["tempo", "slow", "0.90", "▅"],
        ["other", "solo", "0.90", "▅"],
        ["0:00-0:01"],
    ]


def test_what_is_below_the_threshold_is_dimmed(tmp_path):
    write(tmp_path, "1", heard(label("jazz", score=0.4), label("sad", "mood", 0.1)))
    styled = page(tmp_path, "a", force_terminal=True, color_system="standard").splitlines()
    jazz, sad = (next(text for text in styled if name in text) for name in ("jazz", "sad"))
    assert "\x1b[2msad" in sad
    assert "\x1b[2mjazz" not in jazz


def test_a_score_that_looks_like_its_threshold_is_told_as_just_below(tmp_path):
    assert ["genre", "jazz", "0.30", "▅", "just", "below", "0.3"] in section(
        track_page(tmp_path, label("jazz", score=0.299))
    )


def test_a_label_without_threshold_among_others(tmp_path):
    said = section(track_page(tmp_path, label("jazz"), label("sad", "mood", 0.9, None)))
    assert ["mood", "sad", "0.90", "▅", "no", "threshold"] in said


def test_a_model_without_thresholds_tells_its_best_five(tmp_path):
    said = section(track_page(tmp_path, *(label(f"l{i}", score=i / 10, threshold=None) for i in range(8))))
    assert "the best 5 of each group" in " ".join(said[0])
    assert [words[-2] for words in said[2:-1]] == ["0.70", "0.60", "0.50", "0.40", "0.30"]


def test_each_model_speaks_for_itself(tmp_path):
    write(tmp_path, "1", heard(label("rock", over_time=[0.1, 0.9]), model="second", version="7"))
    write(tmp_path, "2", heard(label("jazz", over_time=[0.6]), at=1, model="first"))
    said = page(tmp_path, "a")
    assert said.index("Tags by first 1: 1 stretch of 1 s") < said.index("Tags by second 7: 2 stretches of 1 s")
    assert ["genre", "jazz", "0.50", "▅"] in section(said, "Tags by first")
    assert ["genre", "rock", "0.50", "▁█"] in section(said, "Tags by second")


def test_tags_are_told_once(tmp_path):
    said = track_page(tmp_path, label("jazz"))
    assert "over_time" not in said
    assert said.count("jazz") == 1


def test_no_tags_no_section(tmp_path):
    write(tmp_path, "1", opening("a"))
    assert "Tags" not in page(tmp_path)
    assert "Tags" not in page(tmp_path, "a")


# Both pages -----------------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path):
    labels = [label(name, group, over_time=[0.5] * 40) for name, group in zip(HOSTILE, HOSTILE[::-1], strict=True)]
    below = [label(f"{name} below", f"{name} group", 0.1, over_time=[0.5] * 40) for name in HOSTILE]
    write(tmp_path, "1", heard(*labels, *below, model="\x1b[31m[b]", version=HOSTILE[3]))
    write(tmp_path, "2", heard(*({**told, "threshold": None} for told in labels), at=1, model=HOSTILE[7]))
    return tmp_path


@pytest.mark.parametrize("track", [None, "a"])
def test_hostile_labels_neither_break_the_page_nor_are_interpreted(hostile, track):
    said = page(hostile, track)
    assert not set(said) & set("\x1b\x07\r\t\u202e\u2066")
    assert max(map(len, said.splitlines())) <= 80
    assert "[bold red]x[/bold" in said
    assert "Tags by ␛[31m[b] line␊break␍␉and tab" in said
    assert said.count("x") > 500


@pytest.mark.parametrize("track", [None, "a"])
@pytest.mark.parametrize("width", [*range(1, 90, 4), 200])
def test_any_width(hostile, track, width):
    console = Console(file=io.StringIO(), width=width)
    show(str(hostile), track, console)
    assert max(map(len, console.file.getvalue().splitlines())) <= width


@pytest.mark.parametrize("width", [40, 50, 69, 70, 80, 120])
def test_lines_are_never_folded(tmp_path, width):
    names = [("female vocalists", "voice"), ("guitar", "instrument"), ("jazz", "genre")]
    write(tmp_path, "1", heard(*(label(*name, score=0.1, over_time=[0.5] * 500) for name in names)))
    console = Console(file=io.StringIO(), width=width)
    show(str(tmp_path), "a", console)
    lines = [text for text in console.file.getvalue().splitlines() if "▅" in text]
    assert len(lines) == 3
    assert len({text.count("▅") for text in lines}) == 1
    assert [text for text in lines if "below 0.3" in text] == (lines if width >= 70 else [])
    assert width < 80 or lines[0].count("▅") >= 25


def test_a_narrow_page_has_notes_below_the_lines(tmp_path):
    write(tmp_path, "1", heard(label("jazz", score=0.1, over_time=[0.5] * 4)))
    console = Console(file=io.StringIO(), width=50)
    show(str(tmp_path), "a", console)
    assert section(console.file.getvalue())[2:4] == [["genre", "jazz", "0.10", "▅▅▅▅"], ["below", "0.3"]]


def test_a_terminal_without_unicode(tmp_path):
    write(tmp_path, "1", heard(label("jazz", over_time=[0.0, 0.55, 1.0])))
    said = []
    for track in (None, "a"):
        raw = io.BytesIO()
        console = Console(file=io.TextIOWrapper(raw, encoding="ascii", errors="strict"), width=80)
        show(str(tmp_path), track, console)
        said.append(raw.getvalue().decode())
    assert ["genre", "jazz", "#" * 30, "100.0", "%"] in section(said[0])
    assert ["genre", "jazz", "0.50", "059"] in section(said[1])


# The catalogue --------------------------------------------------------------------------------------------------


def test_shares_of_tracks(tmp_path):
    for number in range(8):
        scores = {"rock": 0.9 if number < 6 else 0.1, "jazz": 0.9 if number < 3 else 0.1, "pop": 0.0}
        moods = [label("happy", "mood", 0.1), label("x", "", 0.4)]
        labels = [*(label(name, score=score) for name, score in scores.items()), *moods]
        write(tmp_path, f"{number}", heard(*labels, track=f"t{number}", model="musicnn"))
    said = page(tmp_path)
    assert "Tags by musicnn 1: 8 tracks heard, share of them with each label\n" in said
    assert section(said)[1:] == [
        ["group", "label", "share"],
        ["genre", "rock", "█" * round(30 * 6 / 8), "75.0", "%"],
        ["jazz", "█" * round(30 * 3 / 8), "37.5", "%"],
        ["other", "x", "█" * 30, "100.0", "%"],
    ]


def test_the_commonest_eight_of_a_group(tmp_path):
    for number in range(10):
        labels = [label(f"l{i}", score=0.9 if i <= number else 0.1) for i in range(10)]
        write(tmp_path, f"{number}", heard(*labels, track=f"t{number}"))
    said = section(page(tmp_path))
    assert [words[-2] for words in said[2:]] == ["100.0", "90.0", "80.0", "70.0", "60.0", "50.0", "40.0", "30.0"]


def test_a_model_without_thresholds_tells_mean_scores(tmp_path):
    for number, score in enumerate([0.2, 0.6, float("nan")]):
        labels = [label("jazz", score=score, threshold=None), label("pop", score=0.0, threshold=None)]
        write(tmp_path, f"{number}", heard(*labels, track=f"t{number}"))
    said = section(page(tmp_path))
    assert "3 tracks heard, mean scores (it has no thresholds)" in " ".join(said[0])
    assert said[2:] == [["genre", "jazz", "█" * 30, "0.27"]]


def test_no_label_reaches_its_threshold(tmp_path):
    write(tmp_path, "1", heard(label("jazz", score=0.1)))
    assert "No label reaches its threshold." in page(tmp_path)


def test_only_what_is_in_the_catalogue_now_counts(tmp_path):
    write(tmp_path, "1", heard(label("jazz"), track="a") + heard(label("rock"), track="b", token="sha256:2"))
    write(tmp_path, "2", [row(TrackFacts, "b", "sha256:2", at=1, state="removed")])
    assert section(page(tmp_path))[2:] == [["genre", "jazz", "█" * 30, "100.0", "%"]]


def test_each_track_counts_once_with_its_newest_version(tmp_path):
    """Labels and thresholds that a version lacks are judged in the tracks that other versions heard, alone."""
    both = {"track": "a"}, {"track": "b", "token": "sha256:2"}
    for one in both:
        write(tmp_path, f"1{one['track']}", heard(label("jazz"), label("old"), label("late", threshold=None), **one))
    write(tmp_path, "2", heard(label("jazz", score=0.1), label("late"), label("new"), at=1, version="2", **both[1]))
    said = section(page(tmp_path))
    assert " ".join(said[0]).startswith("Tags by m 1, 2: 2 tracks heard")
    shares = [["late", "100.0"], ["new", "100.0"], ["old", "100.0"], ["jazz", "50.0"]]
    assert [[words[-4], words[-2]] if words[0] != "genre" else [words[1], words[-2]] for words in said[2:]] == shares


def _histories(number):
    """Rows of openings that went well or failed, for this task or another, of tracks that changed, came and went."""
    rng = random.Random(5)
    for at in range(number):
        told = {"track": rng.choice("abcdefgh"), "token": f"sha256:{rng.randrange(2)}", "model": rng.choice("mn")}
        status, task = rng.choice(["ok", "ok", "failed_transient"]), rng.choice(["tags", "tags", "other"])
        labels = [label(name, score=rng.random()) for name in ("jazz", "rock", "pop")]
        state = rng.choice(["present", "present", "present", "removed"])
        told |= {"status": status, "task": task, "version": rng.choice("12"), "state": state}
        yield from heard(*labels if (status, task) == ("ok", "tags") else (), at=at, **told)


def test_shares_are_those_of_the_view(tmp_path):
    write(tmp_path, "1", list(_histories(80)))
    query = (
        "SELECT model_name, count(DISTINCT track_id), 100 * count_if(present AND label = 'jazz') / "
        "count(DISTINCT track_id) FROM tags SEMI JOIN (FROM tracks WHERE state = 'present') USING (track_id) GROUP BY 1"
    )
    with tables.connect(str(tmp_path)) as connection:
        expected = connection.execute(query).fetchall()
    assert len(expected) == 2
    for model, tracks, share in expected:
        said = section(page(tmp_path), f"Tags by {model} ")
        assert f"{tracks} tracks heard" in " ".join(said[0])
        assert [words[-2] for words in said if "jazz" in words] == [f"{share:.1f}"]
