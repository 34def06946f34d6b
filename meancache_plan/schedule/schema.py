"""The artifact's JSON Schema, as ``python -m meancache_plan.schedule.schema`` prints it."""

import json
import sys

from meancache_plan.schedule.artifact import Schedule


def json_schema() -> bytes:
    """The JSON Schema of a schedule file, as checked in at ``schedules/schema.json``."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        # As written: a file has every key.
        **Schedule.model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=2, sort_keys=True).encode() + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(json_schema())
