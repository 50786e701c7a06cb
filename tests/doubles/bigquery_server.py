"""bqemulator, started by the Python of its own environment, with two things done as BigQuery does them.

The emulator puts the columns of a Parquet file into a table by position; BigQuery goes by name, gives NULL to columns
that the file lacks and (with ignoreUnknownValues) passes over those that the table lacks. And the emulator refuses
uploads whose parts are of the type that Google's client sends.
"""

import sys

from bqemulator.api.routes import upload
from bqemulator.cli import main
from bqemulator.jobs import executor


def load_parquet(path, target, context):
    has = [row[0] for row in context.engine.execute(f"DESCRIBE {target}").fetchall()]
    sent = context.engine.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
    columns = ", ".join(f'"{name}"' for name, *_ in sent if name in has)
    context.engine.execute(f"INSERT INTO {target} BY NAME SELECT {columns} FROM read_parquet(?)", [path])


executor._LOAD_FORMAT_HANDLERS["PARQUET"] = load_parquet
upload._PERMITTED_MEDIA_CONTENT_TYPES = (*upload._PERMITTED_MEDIA_CONTENT_TYPES, "*/*")
sys.exit(main())
