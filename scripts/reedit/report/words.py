"""Numbers and names as text, rounded half up: what tables, figures and the page print alike."""

import math
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

Labels = Mapping[str, str]  # a model, dataset or method -> the name that it is printed by


def half_up(value: float, decimals: int) -> str:
    """A finite number rounded half up, from its shortest decimal form (0.285 counts as 0.285)."""
    return str(_decimal(value).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP))


def percent(fraction: float | None, decimals: int = 2, sign: str = "%") -> str:
    """A fraction in percent: 0.79 -> "79.00%"; empty for None."""
    if fraction is None:
        return ""
    if not math.isfinite(fraction):
        return "NaN"
    return half_up(_decimal(fraction) * 100, decimals) + sign


def share(fraction: float | None) -> str:
    """A fraction in percent with one decimal and no sign: 0.79 -> "79.0"; empty for None."""
    return percent(fraction, 1, sign="")


def signed(difference: float) -> str:
    """A difference of fractions in percentage points: "+12.5", "-1.2", "0.0"."""
    text = share(difference)
    if text.strip("-0.") == "":
        return "0.0"
    return text if text.startswith("-") else f"+{text}"


def perplexity(value: float | None) -> str:
    """Two decimals below a million, then the paper's 7.15E+06; "inf", "NaN"; empty for None."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf"
    plain = half_up(value, 2) if abs(value) < 1e7 else ""
    if plain and abs(Decimal(plain)) < 10**6:
        return plain
    number = _decimal(value)
    exponent = number.adjusted()
    mantissa = half_up(number.scaleb(-exponent), 2)
    if abs(Decimal(mantissa)) >= 10:  # 9.996 rounds to 10.00
        exponent += 1
        mantissa = half_up(number.scaleb(-exponent), 2)
    return f"{mantissa}E{exponent:+03d}"


def ratio(value: float | None) -> str:
    """Three decimals, since weights grow little by little; as a perplexity from a hundred on."""
    return half_up(value, 3) if value is not None and abs(value) < 100 else perplexity(value)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: 4000 -> "1:06:40"."""
    whole = int(half_up(seconds, 0))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def k_text(k_min: int, k: int) -> str:
    """The k of a line's trials: "7", or "5-7" where they stand at different ones."""
    return str(k) if k_min == k else f"{k_min}-{k}"


def name_of(name: str, labels: Labels) -> str:
    """A model or dataset by its label, otherwise by its own name."""
    return labels.get(name, name)


def method_of(method: str, labels: Labels) -> str:
    """A method by its label, otherwise NA_MEMIT for na_memit."""
    return labels.get(method, method.upper())


def plain(text: str) -> str:
    """Without control characters (a terminal would obey them) and with single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _decimal(value: float | Decimal) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(repr(float(value)))
