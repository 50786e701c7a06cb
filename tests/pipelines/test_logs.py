"""Log lines: JSON that a machine reads, text on one line, and no secrets in either."""

import json
import logging
import sys
from datetime import UTC, datetime

import pytest

from pipelines.logs import JsonFormatter, TextFormatter, logging_run, redacted
from pipelines.outcome import exit_status
from transforms.errors import MisuseError
from transforms.journal import LOG, Journal, Listener, log_dead_letter
from transforms.records import DeadLetter

LETTER = {"track_id": "a\nb\u202e\udcff.mp3", "stage": "decode", "reason": "not_audio", "error": "100 % text"}


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_of_json(capsys, tmp_path):
    before = datetime.now(UTC)
    with logging_run("json", "run-1", tmp_path / "run.log"):
        LOG.info("run began", extra={"input": "/music"})
        log_dead_letter(LETTER)
    began, letter = lines(capsys.readouterr().out)
    assert (began["severity"], began["message"], began["run_id"], began["input"]) == (
        "INFO",
        "run began",
        "run-1",
        "/music",
    )
    assert abs((datetime.fromisoformat(began["time"]) - before).total_seconds()) < 60
    assert began["time"].endswith("Z")
    assert (letter["severity"], letter["run_id"]) == ("WARNING", "run-1")
    assert {name: letter[name] for name in LETTER} == LETTER
    assert (tmp_path / "run.log").read_text() == ""


def test_a_line_of_text(capsys, tmp_path):
    (tmp_path / "run.log").write_text("from before\n")
    with logging_run("text", "run-1", tmp_path / "run.log"):
        log_dead_letter({**LETTER, "error": "line\nbreak \x1b[31m"})
    assert capsys.readouterr().out == ""
    before, line = (tmp_path / "run.log").read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    assert before == "from before"
    assert line[10] == "T"
    assert "WARNING dead letter: " in line
    assert line.endswith("decode/not_audio: line␊break ␛[31m")


def test_nothing_is_logged_after_the_run(capsys, tmp_path):
    with logging_run("json", "run-1", tmp_path / "run.log"):
        pass
    assert LOG.handlers == []
    assert LOG.propagate


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("--input=https://me:pass@host/x", "--input=https://REDACTED@host/x"),
        ("https://token@host", "https://REDACTED@host"),
        ("https://h/x?X-Goog-Signature=ab12&a=1", "https://h/x?X-Goog-Signature=REDACTED&a=1"),
        ("gs://bucket/a@b.mp3", "gs://bucket/a@b.mp3"),
        ("mail me@host", "mail me@host"),
    ],
)
def test_secrets_are_blotted_out(secret, shown):
    assert redacted(secret) == shown
    record = logging.makeLogRecord({"msg": "see %s", "args": (secret,), "levelname": "INFO", "uri": secret})
    assert json.loads(JsonFormatter().format(record))["message"] == f"see {shown}"
    assert json.loads(JsonFormatter().format(record))["uri"] == shown
    assert TextFormatter().format(record).endswith(f"see {shown}")


def test_exceptions_are_told(capsys, tmp_path):
    with logging_run("json", "run-1", tmp_path / "run.log"):
        try:
            raise ValueError("amiss")
        except ValueError:
            LOG.exception("oh")
    (line,) = lines(capsys.readouterr().out)
    assert line["severity"] == "ERROR"
    assert line["exception"].endswith("ValueError: amiss")


def test_an_error_that_ends_the_command_is_a_line_too(capsys):
    def run(argv):
        raise MisuseError("100 % wrong", "do it right")

    assert exit_status(run, ["scan", "--log_format=json"]) == 2
    (line,) = lines(capsys.readouterr().err)
    assert (line["severity"], line["message"], line["advice"]) == ("ERROR", "100 % wrong", "do it right")
    exit_status(run, ["scan", "--log_format=json", "--share=-"])  # a worker's, which its launcher reads
    assert capsys.readouterr().err.startswith("songscan: 100 % wrong")


def test_dead_letters_go_to_the_launcher_or_are_logged_here(caplog, monkeypatch):
    stamp = {"content_token": "", "model_name": "decoder", "model_version": "1", "run_id": "run-1"}
    told = {"task": "decode", "stage": "decode", "reason": "not_audio", "error": "x" * 10**6, "advice": "", "uri": "u"}
    letter = DeadLetter(**stamp, **told, track_id="a", time=datetime.now(UTC), transient=False, attempts=1)
    listener = Listener()
    journal = Journal(listener.address)
    try:
        journal.failed(letter)
        (event,) = listener.events(1.0)
    finally:
        journal.close()
        listener.close()
    assert (event["event"], event["track_id"], event["reason"]) == ("failed", "a", "not_audio")
    assert caplog.records == []
    Journal().failed(letter)
    (record,) = caplog.records
    assert (record.levelname, record.track_id, record.stage) == ("WARNING", "a", "decode")


def test_a_reader_that_went_away_ends_no_run(tmp_path, monkeypatch):
    class Gone:
        def write(self, _):
            raise BrokenPipeError

        def flush(self):
            pass

        def fileno(self):
            raise OSError

    monkeypatch.setattr(sys, "stdout", Gone())
    with logging_run("json", "run-1", tmp_path / "run.log"):
        LOG.info("heard by nobody")
