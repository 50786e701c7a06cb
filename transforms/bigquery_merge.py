"""SQL that brings rows into the tables of BigQuery once, however often they come.

Conventions. Rows are loaded into a staging table of their own, whose columns may all be null (parts of an older
songscan lack the newer ones), and merged from there by the IDENTITY of the table's record. Rows are facts and never
change, but for those of `runs`, of which the one that ended last counts. The MERGE names the days of its rows as
literals, so that BigQuery looks at those partitions of the table alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pyarrow as pa

from transforms import records, schemas
from transforms.bigquery_schema import RECORDS, type_of

STAGE_DAYS = 3  # then BigQuery removes a staging table that a dead publication left


def stage_ddl(stage: str, columns: pa.Schema) -> str:
    """The statement that creates the staging table `stage` (PROJECT.DATASET.NAME); it fails if that is there."""
    listed = ", ".join(f"`{field.name}` {type_of(field.type)}" for field in columns)
    return f"CREATE TABLE `{stage}` ({listed}) {expiring()};"


def expiring() -> str:
    """The options of a table that BigQuery removes by itself, should nobody do so before."""
    return f"OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {STAGE_DAYS} DAY))"


def days_sql(stage: str) -> str:
    """The query for the days (UTC) that the rows of `stage` are of."""
    return f"SELECT DISTINCT DATE(time) AS day FROM `{stage}` ORDER BY day"


def merge_sql(dataset: str, table: str, stage: str, days: Sequence[date]) -> str:
    """The statement that brings the rows of `stage` into `table`, each once.

    Args:
        days: all days that they are of; not empty.
    """
    record = RECORDS[table]
    columns = schemas.arrow_schema(record).names
    changing = issubclass(record, records.Run)
    order = "ended DESC NULLS LAST" if changing else "time"
    identity = ", ".join(record.IDENTITY)
    equal = " AND ".join(f"T.`{column}` = S.`{column}`" for column in record.IDENTITY)
    partitions = ", ".join(f"DATE '{day}'" for day in days)
    listed, values = (", ".join(f"{of}`{column}`" for column in columns) for of in ("", "S."))
    return (
        f"MERGE `{dataset}.{table}` AS T\n"
        f"USING (SELECT {listed} FROM `{stage}` WHERE TRUE\n"
        f"  QUALIFY ROW_NUMBER() OVER (PARTITION BY {identity} ORDER BY {order}) = 1) AS S\n"
        f"ON {equal} AND DATE(T.time) IN ({partitions})\n"
        f"{_update(columns) if changing else ''}"
        f"WHEN NOT MATCHED THEN INSERT ({listed}) VALUES ({values})"
    )


def _update(columns: Sequence[str]) -> str:
    changed = ", ".join(f"`{column}` = S.`{column}`" for column in columns)
    newer = "S.ended IS NOT NULL AND (T.ended IS NULL OR S.ended > T.ended)"
    return f"WHEN MATCHED AND {newer} THEN UPDATE SET {changed}\n"
