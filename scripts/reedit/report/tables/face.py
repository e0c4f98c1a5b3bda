"""What a table says of itself on its face, in all three formats: nothing, unless its models are stand-ins."""

from collections.abc import Iterable, Mapping
from typing import Any

from reedit.storage.provenance import is_stand_in

REHEARSAL = "A rehearsal: models are stand-ins with random weights, and no number here is a result."


def face(made_by: Iterable[Mapping[str, Any]]) -> str:
    """The sentence that a table has to begin with, from the provenance of all that it shows; mostly none."""
    return REHEARSAL if any(is_stand_in(one["model_revision"]) for one in made_by) else ""
