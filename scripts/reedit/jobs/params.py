"""A job's settings as the params of its rule."""

from dataclasses import MISSING, Field, fields
from typing import Any


def plain(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass that do not stand at their default.

    Else every option that is new would change the params of every finished job, and rerun it.
    """
    return {one.name: getattr(settings, one.name) for one in fields(settings) if not _stands(settings, one)}


def _stands(settings: Any, one: Field) -> bool:
    """Whether a field is at its default."""
    default = one.default if one.default_factory is MISSING else one.default_factory()
    return default is not MISSING and getattr(settings, one.name) == default
