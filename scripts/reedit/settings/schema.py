"""The configuration's JSON schema, for editors and readers; python -m reedit.settings.schema writes it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from reedit.settings.definitions import Config
from reedit.storage.files import write_text

PLACE = "rules/schemas/config.schema.yaml"  # in the workflow's own folder
HEAD = "# Written by `make schema` from scripts/reedit/settings/definitions.py.\n"
ADAPTER = TypeAdapter(Config)


def json_schema() -> dict[str, Any]:
    """The schema of `definitions.Config`."""
    schema = _plain(ADAPTER.json_schema())
    definitions = schema.pop("$defs")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": definitions}


def schema_text() -> str:
    """The schema as the file has it."""
    return HEAD + yaml.safe_dump(
        json_schema(), sort_keys=False, default_flow_style=None, width=110, allow_unicode=True
    )


def _plain(node: Any) -> Any:
    """Without titles and nulls; what is said of keys in one place; patterns as JavaScript reads them."""
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, Mapping):
        return node.replace(r"\Z", "$") if isinstance(node, str) else node
    plain = {
        key: _plain(value)
        for key, value in node.items()
        if value is not None and not (key == "title" and isinstance(value, str))
    }
    for pattern, kind in plain.pop("patternProperties", {}).items():
        plain["propertyNames"]["pattern"] = _plain(pattern)
        plain["additionalProperties"] = kind
    return plain


if __name__ == "__main__":
    write_text(Path(sys.argv[1] if len(sys.argv) > 1 else PLACE), schema_text())
