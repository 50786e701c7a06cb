#!/usr/bin/env bash
# Has Cloud Scheduler start the template every night, as songscan-starter; and the alerts tell ON_CALL. Again: replaces.
# All nights' jobs have one name, and Dataflow refuses a second job of a name while the first runs.
set -euo pipefail
# shellcheck source=names.sh
source "$(dirname "$0")/names.sh"
body="$(mktemp)"
trap 'rm -f "$body"' EXIT
./launch.sh >"$body"

verb=create
if gcloud scheduler jobs describe songscan-nightly --project="$PROJECT" --location="$REGION" >/dev/null 2>&1; then verb=update; fi
headers=--headers
if [[ $verb == update ]]; then headers=--update-headers; fi
gcloud scheduler jobs "$verb" http songscan-nightly --project="$PROJECT" --location="$REGION" \
    --schedule="$NIGHT" --time-zone="$TIME_ZONE" --http-method=POST \
    --uri="https://dataflow.googleapis.com/v1b3/projects/$PROJECT/locations/$REGION/flexTemplates:launch" \
    "$headers=Content-Type=application/json" --message-body-from-file="$body" \
    --oauth-service-account-email="$STARTER" --max-retry-attempts=3 --min-backoff=10m --attempt-deadline=60s

channel="$(gcloud beta monitoring channels list --project="$PROJECT" --filter="labels.email_address=$ON_CALL" --format='value(name)' --limit=1)"
if [[ -z "$channel" ]]; then
    channel="$(gcloud beta monitoring channels create --project="$PROJECT" --display-name=songscan --type=email \
        --channel-labels="email_address=$ON_CALL" --format='value(name)')"
fi
for policy in alerts/*.json; do
    name="$(sed -n 's/^  "displayName": "\(.*\)",$/\1/p' "$policy")"
    old="$(gcloud alpha monitoring policies list --project="$PROJECT" --filter="displayName=\"$name\"" --format='value(name)')"
    if [[ -n "$old" ]]; then gcloud alpha monitoring policies delete "$old" --project="$PROJECT" --quiet; fi
    gcloud alpha monitoring policies create --project="$PROJECT" --policy-from-file="$policy" --notification-channels="$channel"
done
