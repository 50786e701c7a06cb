"""Every night: the flex template on Dataflow, then a look at the line that the run has left in BigQuery.

For Airflow 3 with the providers google, apache-beam and smtp. All that is particular to a project stands in one
variable of Airflow, `songscan` (variables.json beside this file; `airflow variables import`). There are no credentials
in it: tasks run as the connection `google_cloud_default` says, which may start jobs and read the dataset.

A retry is harmless: what the first attempt has written is not done again, and while a job that was lost sight of still
holds its lease on the output, another one ends at once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.google.cloud.operators.bigquery import BigQueryCheckOperator
from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG

RETRIES = 2
#: The newest run must have begun after this DAG run did, have come to its end, and account for all that it listed.
CHECK = """
SELECT
  status = 'done' AND ended IS NOT NULL AS ended,
  listed = not_audio + up_to_date + withheld + written + dead_lettered AS accounted_for,
  dead_lettered - IFNULL(failed_again, 0)
    <= {{ var.json.songscan.max_failed_fraction }} * (written + dead_lettered - IFNULL(failed_again, 0)) AS few_failed
FROM `{{ var.json.songscan.project }}.{{ var.json.songscan.dataset }}.runs`
WHERE time >= TIMESTAMP('{{ dag_run.start_date.isoformat() }}') AND status != 'submitted'
ORDER BY time DESC
LIMIT 1
"""

tell = SmtpNotifier(
    to="{{ var.json.songscan.alert_to }}",
    subject="songscan: {{ ti.task_id }} failed on {{ dag_run.start_date.date() }}",
    html_content="<p>{{ ti.dag_id }}.{{ ti.task_id }}, attempt {{ ti.try_number }}: {{ exception }}</p>"
    "<p>What to do: deploy/README.md, <i>When something is wrong</i>. <a href='{{ ti.log_url }}'>Log</a></p>",
)

with DAG(
    dag_id="songscan_nightly",
    description="Scans what is new or changed in the catalogue",
    schedule="0 1 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,  # a night that was missed is made up for by the next one: what is due is what is not done
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=22),
    default_args={
        "owner": "music",
        "retries": RETRIES,
        "retry_delay": timedelta(minutes=15),
        "retry_exponential_backoff": True,
        "on_failure_callback": tell,
    },
    tags=["songscan"],
    doc_md=__doc__,
) as dag:
    scan = DataflowStartFlexTemplateOperator(
        task_id="scan",
        project_id="{{ var.json.songscan.project }}",
        location="{{ var.json.songscan.region }}",
        body={
            "launchParameter": {
                "jobName": "songscan-nightly",  # the operator appends what tells it from another night's
                "containerSpecGcsPath": "{{ var.json.songscan.template }}",
                "parameters": {
                    "input": "{{ var.json.songscan.input }}",
                    "output": "{{ var.json.songscan.output }}",
                    "results": "bq://{{ var.json.songscan.project }}.{{ var.json.songscan.dataset }}",
                    "tasks": "{{ var.json.songscan.tasks }}",
                    "gpu": "{{ var.json.songscan.gpu }}",
                    "max_failed_fraction": "{{ var.json.songscan.max_failed_fraction }}",
                    "sdk_container_image": "{{ var.json.songscan.image }}",
                    "sdk_location": "container",
                },
                "environment": {
                    "tempLocation": "{{ var.json.songscan.temp }}",
                    "serviceAccountEmail": "{{ var.json.songscan.worker_account }}",
                    "maxWorkers": "{{ var.json.songscan.max_workers }}",
                    "machineType": "n1-standard-2",  # before the GPU stage only numbers are dealt out
                },
            }
        },
        deferrable=True,  # a job takes hours, in which no worker of Airflow need wait
        expected_terminal_state="JOB_STATE_DONE",
    )
    check = BigQueryCheckOperator(task_id="check", sql=CHECK, use_legacy_sql=False)
    scan >> check
