"""The JSON Schema of the config file, for editors: docs/schema/syncd.schema.json."""

from __future__ import annotations

import json
from typing import Any

from syncd.config.models import Config


def config_schema() -> dict[str, Any]:
    schema = Config.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "syncd.toml",
    }


def text() -> str:
    return json.dumps(config_schema(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(text(), end="")
