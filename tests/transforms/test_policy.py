"""Policies: what is wrong with one is told with its line, and reasons follow from it."""

from pathlib import Path

import numpy as np
import pytest

from models.events import CLASSES, Event
from models.measures.quality import measure_quality
from tests import signals
from transforms.errors import MisuseError
from transforms.policy import default_policy, defective_s, judge, read_policy


def policy(folder: Path, text: str):
    path = folder / "policy.toml"
    path.write_text(text)
    return read_policy(path)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[defects.click]\nscore = 0.5\ncount = 0\n", 3, "count = 0 is outside 1"),
        ("[defects.click]\nscore = 0.5\n", 1, "neither count nor share"),
        ("# hello\n\n[defects.clik]\ncount = 1\n", 3, "'clik' is not known here"),
        ('[defects.click]\ncount = 1\n[quality]\nmax_true_peak_dbtp = "1"\n', 4, "is not a number"),
        ("[quality]\nmax_clipped_share = 0.1\nmax_loudness = 3\n", 3, "'max_loudness' is not known"),
        ("[quality]\nreject_false_stereo = 1\n", 2, "is not true or false"),
        ("[defects.hum]\nshare = 2.0\n", 2, "share = 2.0 is outside 0..1"),
        ("[defects.hum]\nshare = true\n", 2, "is not a number"),
        ("[defect.hum]\nshare = 0.1\n", 1, "'defect' is not known here"),
        ("[defects.hum]\nshare = 0\n", 2, "share = 0 is reached by every recording"),
        (f"[defects.click]\ncount = {10**400}\n", 2, "is outside 1..1e+09"),
        ("[quality]\nmax_clipped_share = -1\n", 2, "max_clipped_share = -1 is outside 0..1"),
        ("[quality]\nmin_duration_s = -1\n", 2, "min_duration_s = -1 is outside 0..inf"),
        ("[quality]\nmin_stereo_correlation = 2\n", 2, "min_stereo_correlation = 2 is outside -1..1"),
        ("[quality]\nmax_true_peak_dbtp = nan\n", 2, "max_true_peak_dbtp = nan is no finite number"),
        ("[quality]\nmax_duration_s = 5\nmin_duration_s = 9\n", 3, "min_duration_s = 9 is above max_duration_s = 5"),
        ("defects = 3\n", 1, "no table"),
        ("[defects.hum\n", 1, "is not TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, line, words):
    with pytest.raises(MisuseError, match=f"line {line}") as caught:
        policy(tmp_path, text)
    assert words in caught.value.message


def test_the_policy_that_ships_is_right_and_lets_clean_music_in():
    wave = signals.music(3.0, 44_100)
    shipped = default_policy()
    assert set(shipped.defects) <= set(CLASSES)
    assert judge(shipped, [], 3.0, measure_quality(wave, 44_100)) == []
    assert [o.what for o in judge(shipped, [], 3.0, measure_quality(np.clip(9 * wave, -0.5, 0.5), 44_100))] == [
        "clipped_share"
    ]
    silence = np.zeros((3 * 44_100, 2), np.float32)
    assert [o.what for o in judge(shipped, [], 3.0, measure_quality(silence, 44_100))] == ["silence"]
    silence[-4410:] = 0.1
    assert judge(shipped, [], 3.0, measure_quality(silence, 44_100)) == []


def test_counts_shares_and_scores(tmp_path):
    mine = policy(tmp_path, "[defects.click]\nscore = 0.5\ncount = 2\n[defects.hum]\nshare = 0.5\n")
    clicks = [Event("click", 1, 1, None, 0.9), Event("click", 2, 2, None, 0.4), Event("skip", 2, 2, None, 1.0)]
    assert judge(mine, clicks, 10.0) == []
    (objection,) = judge(mine, [*clicks, Event("click", 3, 3)], 10.0)
    assert (objection.what, objection.start_s, len(objection.stretches)) == ("click", 1, 2)
    hum = [Event("hum", 0, 3, 0), Event("hum", 1, 4, 1)]
    assert defective_s(hum) == 4
    assert [judge(mine, hum, d) == [] for d in (8.0, 8.1)] == [False, True]
