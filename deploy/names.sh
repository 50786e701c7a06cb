# shellcheck shell=bash
# Sourced by the other scripts: reads deploy/project.env (or the file $SONGSCAN_ENV) and derives all names from it.
set -euo pipefail
settings="$(realpath "${SONGSCAN_ENV:-$(dirname "${BASH_SOURCE[0]}")/project.env}")"
cd "$(dirname "${BASH_SOURCE[0]}")"
if [[ ! -f "$settings" ]]; then
    echo "there is no $settings: copy deploy/project.env.example there, and change what it says" >&2
    exit 2
fi
set -a
# shellcheck source=project.env.example
source "$settings"
set +a
if [[ "$DEVICE" == cpu && -n "$GPU" ]]; then
    echo "GPU=$GPU with DEVICE=cpu: that image has no CUDA; say DEVICE=gpu, or leave GPU empty" >&2
    exit 2
fi
export BUCKET="gs://$PROJECT-songscan"
export TEMP="gs://$PROJECT-songscan-temp"
export REGISTRY="$REGION-docker.pkg.dev/$PROJECT/songscan"
export IMAGE="$REGISTRY/songscan:$VERSION-$DEVICE"
export TEMPLATE="$BUCKET/templates/songscan-$VERSION-$DEVICE.json"
export WORKER="songscan-worker@$PROJECT.iam.gserviceaccount.com"
export STARTER="songscan-starter@$PROJECT.iam.gserviceaccount.com"
