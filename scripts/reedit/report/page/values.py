"""Numbers in a form that JSON can hold and that packs well."""

import math
from typing import Any


def plain(value: float | None, digits: int | None = None) -> Any:
    """A number for JSON, whole where it can be, by its name in JavaScript where it is not finite; or None."""
    if value is None:
        return None
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    value = value if digits is None else round(value, digits)
    return int(value) if value == int(value) else value


def significant(value: float | None, digits: int = 6) -> Any:
    """The same with so many significant digits: six are more than a page can show."""
    return plain(value if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}"))
