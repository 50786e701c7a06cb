"""What starts a scan every night on one machine, and the scripts for Google's cloud: as those who run them see them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.cloud import dataflow_v1beta3 as dataflow

from pipelines.options import parse_scan

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted(path.name for path in (DEPLOY / "systemd").iterdir())
STAND_IN = r"""#!/bin/sh
echo "$@" >> "$ASKED"
for word; do case "$word" in --message-body-from-file=*) cp "${word#*=}" "$(dirname "$ASKED")/body" ;; esac; done
case "$*" in *describe*) exit 1 ;; *"channels create"*) echo channels/1 ;; esac
"""
SCRIPTS = sorted(path.name for path in DEPLOY.glob("*.sh"))


def settings_of(name):
    """`Key=value` of a unit."""
    lines = (DEPLOY / "systemd" / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]\w*=", line))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_units(tmp_path):
    for name in UNITS:
        text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("/opt/songscan/.venv/bin/songscan", "/bin/true"), encoding="utf-8")
    command = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_night_is_made_up_for_and_a_failure_told():
    assert settings_of("songscan.timer")["Persistent"] == "true"
    service = settings_of("songscan.service")
    assert service["OnFailure"] == "songscan-failed.service"
    assert "songscan-failed.service" in UNITS
    assert service["User"] == "songscan"
    assert (service["ProtectSystem"], service["NoNewPrivileges"]) == ("strict", "yes")
    assert service["KillMode"] == "mixed"  # workers finish the tracks in hand, which the launcher tells them


def test_the_commands_are_of_songscan(tmp_path):
    example = re.findall(r"^#   SONGSCAN_(\w+)=(.*)", (DEPLOY / "systemd" / "songscan.service").read_text(), re.M)
    said = dict(example)
    assert parse_scan([f"--input={said['INPUT']}", "--output=scan", *said["FLAGS"].split()])[1] == []
    (line,) = [line for line in (DEPLOY / "songscan.cron").read_text().splitlines() if line.startswith("0 1 ")]
    scan = line.partition("songscan scan ")[2].partition(" > ")[0].split()
    assert parse_scan([f"--input={scan[0]}", f"--output={scan[1]}", *scan[2:]])[1] == []


def test_cron_stays_silent_unless_the_scan_fails(tmp_path):
    """The line itself, with commands that stand in for songscan."""
    (line,) = [line for line in (DEPLOY / "songscan.cron").read_text().splitlines() if line.startswith("0 1 ")]
    command = line.split(" ", 6)[6]
    bins = tmp_path / "bin"
    bins.mkdir()

    def night(status):
        (bins / "songscan").write_text(f"#!/bin/sh\necho said\nexit {status}\n")
        (bins / "songscan").chmod(0o755)
        env = {"PATH": f"{bins}:/usr/bin:/bin", "NIGHT": str(tmp_path / "night")}
        return subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, check=True).stdout

    assert night(0) == ""
    assert night(1) == "said\n"
    held = ["flock", str(tmp_path / "night.lock"), "sh", "-c", "read _"]
    with subprocess.Popen([*held], stdin=subprocess.PIPE) as holder:
        while subprocess.run(["flock", "-n", held[1], "true"], check=False).returncode == 0:
            assert holder.poll() is None
        assert night(1) == ""
        holder.communicate(b"\n")


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_sound(name):
    assert "set -euo pipefail" in (DEPLOY / name).read_text(encoding="utf-8")
    shellcheck = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run([str(shellcheck), "-x", name], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def launched(*more, **settings):
    """What launch.sh says, with the settings of the example but for `settings`."""
    env = {"PATH": "/usr/bin:/bin", "SONGSCAN_ENV": str(settings.pop("file"))}
    done = subprocess.run([DEPLOY / "launch.sh", *more], env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout or done.stderr


def test_what_the_scheduler_sends_is_what_dataflow_takes(tmp_path):
    file = tmp_path / "project.env"
    shutil.copy(DEPLOY / "project.env.example", file)
    status, body = launched("max_tracks=100", "results=", file=file)
    assert status == 0
    request = dataflow.LaunchFlexTemplateRequest.from_json(body)  # of Google's own types: refuses what it does not know
    regexes = {p["name"]: p["regexes"] for p in json.loads((DEPLOY / "flex_template.json").read_text())["parameters"]}
    parameters = dict(request.launch_parameter.parameters)
    assert parameters["max_tracks"] == "100"
    assert "results" not in parameters
    assert all(re.search(regex, value) for name, value in parameters.items() for regex in regexes[name])
    assert request.launch_parameter.environment.service_account_email.startswith("songscan-worker@")


def test_a_gpu_without_cuda_is_refused(tmp_path):
    file = tmp_path / "project.env"
    file.write_text((DEPLOY / "project.env.example").read_text().replace("DEVICE=gpu", "DEVICE=cpu"))
    assert launched(file=file) == (2, launched(file=file)[1])
    assert "that image has no CUDA" in launched(file=file)[1]
    assert "deploy/project.env.example" in launched(file=tmp_path / "nowhere")[1]


def test_the_scheduler_is_told_the_body_and_the_account(tmp_path):
    """The script, with a gcloud that writes down what it is asked."""
    (tmp_path / "gcloud").write_text(STAND_IN)
    (tmp_path / "gcloud").chmod(0o755)
    asked = tmp_path / "asked"
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "ASKED": str(asked)}
    env["SONGSCAN_ENV"] = str(DEPLOY / "project.env.example")
    subprocess.run([DEPLOY / "schedule.sh"], env=env, check=True, capture_output=True)
    lines = asked.read_text().splitlines()
    (job,) = [line for line in lines if line.startswith("scheduler jobs create")]
    assert "locations/us-central1/flexTemplates:launch" in job
    assert "--oauth-service-account-email=songscan-starter@my-project.iam.gserviceaccount.com" in job
    assert '"jobName": "songscan-nightly"' in (tmp_path / "body").read_text()
    created = [line for line in lines if line.startswith("alpha monitoring policies create")]
    assert len(created) == len(list((DEPLOY / "alerts").iterdir())) == 3


def test_accounts_get_the_rights_that_are_explained_and_no_more(tmp_path):
    for name in ("gcloud", "bq", "songscan"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "ASKED": str(tmp_path / "asked")}
    env["SONGSCAN_ENV"] = str(DEPLOY / "project.env.example")
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    subprocess.run([tmp_path / "deploy" / "create.sh"], env=env, check=True, capture_output=True, input="")
    granted = set(re.findall(r"roles/[\w.]+", (tmp_path / "asked").read_text()))
    section = (DEPLOY / "README.md").read_text(encoding="utf-8").partition("## 2.")[2].partition("Nobody has")[0]
    assert granted == set(re.findall(r"`(roles/[\w.]+)`", section))
    assert not granted & {"roles/editor", "roles/owner", "roles/storage.admin"}


def test_the_image_is_built_as_the_dockerfile_says():
    build = yaml.safe_load((DEPLOY / "cloudbuild.yaml").read_text(encoding="utf-8"))
    first, *tried = build["steps"]
    assert "--build-arg=DEVICE=$_DEVICE" in first["args"]
    assert [step["args"][0] for step in tried] == ["run", "run"]
    assert build["images"] == ["$_IMAGE", "$_LAST"]


@pytest.mark.parametrize("name", sorted(path.name for path in DEPLOY.glob("**/*.json")))
def test_json_is_json(name):
    (path,) = DEPLOY.glob(f"**/{name}")
    assert json.loads(path.read_text(encoding="utf-8"))
