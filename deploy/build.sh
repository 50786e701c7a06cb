#!/usr/bin/env bash
# Builds the image of VERSION by Cloud Build, and the flex template that starts it. An older version stays as it is.
set -euo pipefail
# shellcheck source=names.sh
source "$(dirname "$0")/names.sh"
gcloud builds submit .. --project="$PROJECT" --region="$REGION" --config=cloudbuild.yaml --ignore-file=deploy/.gcloudignore \
    --substitutions="_IMAGE=$IMAGE,_LAST=$REGISTRY/songscan:last-$DEVICE,_DEVICE=$DEVICE"
gcloud dataflow flex-template build "$TEMPLATE" --project="$PROJECT" --image="$IMAGE" --sdk-language=PYTHON \
    --metadata-file=flex_template.json
echo "$TEMPLATE starts $IMAGE"
