"""The configuration checked at the door: typed, or one line for the first thing that is wrong with it."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from reedit.errors import InputError, is_unicode
from reedit.jobs.redaction import without_secrets
from reedit.settings.definitions import Config
from reedit.settings.references import check_references
from reedit.settings.refusals import first_refusal, path_of, quoted
from reedit.settings.schema import ADAPTER

DEEPEST = 50  # levels of mappings and lists; with YAML's anchors they may have no end


def check_configuration(config: Any) -> Config:
    """What a configuration says; InputError where it breaks a definition or names what is not there."""
    _check_plain(config, ())
    try:
        # of JSON: pydantic is to refuse 2.0 for an integer, and so strict it takes no dict for a dataclass
        checked = ADAPTER.validate_json(json.dumps(config), strict=True)
    except ValidationError as error:
        raise InputError(without_secrets(first_refusal(error.errors(include_url=False)))) from error
    check_references(checked)
    return checked


def _check_plain(value: Any, keys: Sequence[Any]) -> None:
    """Raise InputError for what YAML has and JSON has not."""
    if len(keys) > DEEPEST:
        raise InputError(f"config: {path_of(keys[:3])}: nested more than {DEEPEST} levels deep")
    where = f"config: {path_of(keys)}"
    if isinstance(value, dict):
        for key, inner in value.items():
            if not (isinstance(key, str) and is_unicode(key)):
                raise InputError(f"{where}: found the key {quoted(key)}, expected text")
            _check_plain(inner, (*keys, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_plain(inner, (*keys, index))
    elif isinstance(value, int) and value.bit_length() > 64:
        raise InputError(f"{where}: found a number of {value.bit_length()} bits, expected at most 64")
    elif not (isinstance(value, int | float | None) or (isinstance(value, str) and is_unicode(value))):
        raise InputError(f"{where}: found {quoted(value)}, expected text (in quotes) or a number")
