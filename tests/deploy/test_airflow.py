"""deploy/airflow as Airflow sees it. `make test-airflow` installs one apart: it wants other packages than Beam."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AIRFLOW = os.environ.get("SONGSCAN_TEST_AIRFLOW", "")
TEMPLATE = json.loads((ROOT / "deploy" / "flex_template.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    if not AIRFLOW:
        pytest.skip("Airflow is installed apart: make test-airflow")
    settings = {"LOAD_EXAMPLES": "False", "DAGBAG_IMPORT_TIMEOUT": "300"}
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow"))}
    env |= {f"AIRFLOW__CORE__{name}": value for name, value in settings.items()}
    command = [
        os.path.abspath(AIRFLOW),
        str(ROOT / "tests" / "deploy" / "judge_dag.py"),
        str(ROOT / "deploy" / "airflow"),
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])["songscan_nightly"]


def test_one_night_at_a_time_and_none_made_up_for(judged):
    assert (judged["max_active_runs"], judged["catchup"], judged["schedule"]) == (1, False, "0 1 * * *")
    assert judged["order"] == ["scan", "check"]


def test_a_failure_is_tried_again_and_told(judged):
    assert judged["retries"] == [2]
    assert judged["told"]


def test_what_is_launched_fits_the_template(judged):
    launched = judged["body"]["launchParameter"]
    assert "{{" not in json.dumps(judged["body"])
    regexes = {parameter["name"]: parameter.get("regexes", []) for parameter in TEMPLATE["parameters"]}
    for name, value in launched["parameters"].items():
        assert all(re.search(regex, value) for regex in regexes[name]), (name, value)
    required = {parameter["name"] for parameter in TEMPLATE["parameters"] if not parameter["isOptional"]}
    assert required <= set(launched["parameters"])


def test_the_check_asks_for_this_run_alone(judged):
    assert "FROM `my-project.songscan.runs`" in judged["sql"]
    assert "TIMESTAMP('2026-11-25T01:00:00+00:00')" in judged["sql"]
