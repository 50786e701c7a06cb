#!/usr/bin/env bash
# Once per project: services, accounts with their rights, buckets, the dataset with its tables, the registry.
# deploy/README.md says what each right is for. Run it again after a failure: what exists is left as it is.
set -euo pipefail
# shellcheck source=names.sh
source "$(dirname "$0")/names.sh"
PATH="$(realpath ..)/.venv/bin:$PATH" # where `make setup` puts songscan
gcloud config set project "$PROJECT"

once() { # once DESCRIBE... -- CREATE...: creates what cannot be described
    local describe=()
    while [[ "$1" != "--" ]]; do describe+=("$1"); shift; done
    shift
    "${describe[@]}" >/dev/null 2>&1 || "$@"
}

gcloud services enable dataflow.googleapis.com compute.googleapis.com storage.googleapis.com bigquery.googleapis.com \
    artifactregistry.googleapis.com cloudbuild.googleapis.com cloudscheduler.googleapis.com monitoring.googleapis.com

once gcloud artifacts repositories describe songscan --location="$REGION" -- \
    gcloud artifacts repositories create songscan --repository-format=docker --location="$REGION"

for account in songscan-worker songscan-starter; do
    once gcloud iam service-accounts describe "$account@$PROJECT.iam.gserviceaccount.com" -- \
        gcloud iam service-accounts create "$account"
done

# Results are kept, and so is what was overwritten by mistake (soft delete, seven days). Temporary files are neither.
once gcloud storage buckets describe "$BUCKET" -- \
    gcloud storage buckets create "$BUCKET" --location="$REGION" --uniform-bucket-level-access --public-access-prevention
once gcloud storage buckets describe "$TEMP" -- \
    gcloud storage buckets create "$TEMP" --location="$REGION" --uniform-bucket-level-access \
    --public-access-prevention --soft-delete-duration=0
gcloud storage buckets update "$TEMP" --lifecycle-file=temp_lifecycle.json

once bq show "$PROJECT:songscan" -- bq mk --location="$REGION" --dataset "$PROJECT:songscan"
songscan schema --bigquery="$PROJECT.songscan" | bq query --location="$REGION" --use_legacy_sql=false

project_role() { gcloud projects add-iam-policy-binding "$PROJECT" --member="serviceAccount:$1" --role="$2" --condition=None >/dev/null; }
bucket_role() { gcloud storage buckets add-iam-policy-binding "$1" --member="serviceAccount:$2" --role="$3" >/dev/null; }

project_role "$WORKER" roles/dataflow.worker
project_role "$WORKER" roles/dataflow.viewer
project_role "$WORKER" roles/bigquery.jobUser
catalogue="${MUSIC#gs://}" # its bucket, whatever the prefix
bucket_role "gs://${catalogue%%/*}" "$WORKER" roles/storage.objectViewer
bucket_role "$BUCKET" "$WORKER" roles/storage.objectAdmin
bucket_role "$TEMP" "$WORKER" roles/storage.objectAdmin
bq query --location="$REGION" --use_legacy_sql=false \
    "GRANT \`roles/bigquery.dataEditor\` ON SCHEMA \`$PROJECT.songscan\` TO 'serviceAccount:$WORKER'" >/dev/null
gcloud artifacts repositories add-iam-policy-binding songscan --location="$REGION" \
    --member="serviceAccount:$WORKER" --role=roles/artifactregistry.reader >/dev/null

project_role "$STARTER" roles/dataflow.developer
gcloud iam service-accounts add-iam-policy-binding "$WORKER" --member="serviceAccount:$STARTER" \
    --role=roles/iam.serviceAccountUser >/dev/null
bucket_role "$BUCKET" "$STARTER" roles/storage.objectViewer
echo "done: deploy/build.sh comes next"
