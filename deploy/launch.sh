#!/usr/bin/env bash
# The body of flexTemplates:launch, on standard output: deploy/schedule.sh gives it to Cloud Scheduler.
#   deploy/launch.sh [NAME=VALUE ...]       further parameters of the template, or others than usual
set -euo pipefail
# shellcheck source=names.sh
source "$(dirname "$0")/names.sh"
python3 - "$@" <<'PYTHON'
import json
import os
import sys

said = os.environ
parameters = {
    "input": said["MUSIC"],
    "output": said["BUCKET"] + "/scan",
    "results": "bq://" + said["PROJECT"] + ".songscan",
    "tasks": said["TASKS"],
    "gpu": said["GPU"],
    "sdk_container_image": said["IMAGE"],
    "sdk_location": "container",
    **dict(argument.split("=", 1) for argument in sys.argv[1:]),
}
environment = {
    "tempLocation": said["TEMP"] + "/dataflow",
    "stagingLocation": said["TEMP"] + "/staging",
    "serviceAccountEmail": said["WORKER"],
    "maxWorkers": int(said["MAX_WORKERS"]),
    # Without a GPU the workers are these machines; with one, they only deal out numbers of shards.
    "machineType": "n1-standard-2" if said["GPU"] else "n2-standard-4",
    # It lists the catalogue and subtracts what is done: 1.5 GiB for 1,000,000 tracks.
    "launcherMachineType": "n1-standard-2",
}
body = {
    "jobName": "songscan-nightly",
    "containerSpecGcsPath": said["TEMPLATE"],
    "parameters": {name: value for name, value in parameters.items() if value},
    "environment": environment,
}
print(json.dumps({"launchParameter": body}, indent=2))
PYTHON
