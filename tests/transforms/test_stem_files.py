"""Which stem files go with the rows that named them."""

import shutil

from tests.transforms.outputs import row, write
from transforms.compact import prune
from transforms.records import Stem, TrackFacts, Work
from transforms.stem_files import remove_files, unfinished_folder


def stem(output, token, at, version="1"):
    """A track with one stem, a file and all rows of it."""
    own = {"model_name": "band", "model_version": version}
    path = output / "stems" / "band" / version / "a-1f" / token / "vocals.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(token.encode())
    stem = row(Stem, "a", token, at, stem="vocals", uri=str(path), **own)
    work = row(Work, "a", token, at, task="stems", **own)
    write(output, f"p{at}", [row(TrackFacts, "a", token, at, **own), stem, work])
    return path


def test_pruning_takes_the_files_of_former_contents_and_versions_only(tmp_path):
    former = stem(tmp_path, "t1", 1)
    older = stem(tmp_path, "t2", 2, version="1")
    newest = stem(tmp_path, "t2", 3, version="2")
    stranger = tmp_path / "stems" / "band" / "1" / "notes.txt"
    stranger.write_text("mine")
    assert prune(str(tmp_path), yes=False)["stem files"] == 2
    assert former.exists()
    assert older.exists()
    assert prune(str(tmp_path), yes=True)["stem files"] == 2
    assert {path for path in tmp_path.glob("stems/**/*") if path.is_file()} == {stranger, newest}
    assert not former.parent.exists()
    assert stranger.parent.exists()
    assert prune(str(tmp_path), yes=True)["stem files"] == 0


def test_a_file_that_was_written_again_at_its_place_stays(tmp_path):
    path = stem(tmp_path, "t1", 1)
    assert stem(tmp_path, "t1", 2) == path
    assert prune(str(tmp_path), yes=True)["stems"] == 1
    assert path.exists()


def test_an_output_that_was_moved_is_pruned_where_it_is_now(tmp_path):
    stem(tmp_path / "old", "t1", 1)
    stem(tmp_path / "old", "t2", 2)
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    assert prune(str(tmp_path / "new"), yes=True)["stem files"] == 1
    assert len(list(tmp_path.glob("old/stems/**/*.flac"))) == 2
    assert len(list(tmp_path.glob("new/stems/**/*.flac"))) == 1


def test_rows_cannot_name_files_elsewhere(tmp_path):
    path = stem(tmp_path, "t2", 2)
    outside = tmp_path / "vocals.flac"
    outside.write_text("mine")
    own = {"model_name": "band", "model_version": "1", "stem": "vocals"}
    for number, uri in enumerate(("stems/band/1/../../vocals.flac", str(outside), "gs://x/stems/a")):
        write(tmp_path, f"bad{number}", [row(Stem, "a", "t0", 0, uri=uri, **own), row(Work, "a", "t0", 0, **own)])
    assert prune(str(tmp_path), yes=True)["stem files"] == 0
    assert outside.exists()
    assert path.exists()


def test_a_folder_that_went_meanwhile_is_no_error(tmp_path):
    remove_files([str(tmp_path / "stems" / "x" / "gone.flac")], str(tmp_path))


def test_stems_are_unfinished_at_the_top_of_their_output_and_elsewhere_beside_their_place():
    assert unfinished_folder("/out/stems/band/1/a/t/vocals.flac") == "/out/stems/.unfinished"
    assert unfinished_folder("/music/vocals.flac") is None
