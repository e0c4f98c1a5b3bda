"""The forms that values of the configuration have: mappings, numbers with bounds, texts with a pattern."""

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import AfterValidator, Field

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def mapping(kind: type[T]) -> type[T]:
    """A frozen dataclass that is a mapping in the file, and refuses a key that is none of its fields."""
    closed = {"extra": "forbid", "allow_inf_nan": False, "regex_engine": "python-re"}
    kind.__pydantic_config__ = closed  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(kind)


class _Given:
    """Of a key that may be left out: where it stands it has a value, and null is refused."""

    def __get_pydantic_core_schema__(self, kind: Any, handler: Any) -> Any:
        return handler(kind)["schema"]


def as_written(value: float, check: Any) -> float:
    """An integer stays one, as jobs and provenance have it."""
    check(value)
    return value


def _each_once(names: list[T]) -> list[T]:
    if len(set(names)) < len(names):
        raise ValueError("each entry once")
    return names


def _text(pattern: str, meaning: str, longest: int | None = None) -> Any:
    return Annotated[str, Field(pattern=rf"^{pattern}\Z", description=meaning, max_length=longest)]


Maybe = Annotated[T | None, _Given()]
Distinct = Annotated[
    list[T], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_each_once)
]
Count = Annotated[int, Field(ge=1)]
Tokens = Annotated[
    Count | _text("[1-9][0-9]{0,8}x", "a multiple of the widest edited key"),
    Field(description="a whole number of tokens of at least 1, or of widths of the edited key as 10x"),
]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Filled = Annotated[str, Field(min_length=1)]
Name = _text(  # becomes part of a path
    "[A-Za-z0-9][A-Za-z0-9._-]*", "a name of at most 80 letters, digits, dots, dashes and underscores", 80
)
Label = _text(
    r"[^<\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+",
    "a text without < (HTML in Snakemake's report) and control characters (rows of CSV)",
)
Sha256 = _text("[0-9a-f]{64}", "a sha256, 64 hexadecimal digits in lower case")
Package = _text("[A-Za-z0-9][A-Za-z0-9._-]*", "the name of a package")
Version = _text("[A-Za-z0-9][A-Za-z0-9._+!-]*", "a version, in quotes where it is a number")
InnerPath = _text(
    r"(?!.*(^|/)\.)[A-Za-z0-9._=+-]+(/[A-Za-z0-9._=+-]+)*",
    "a path inside the repository or the wheel, without patterns",
)
Url = _text(
    r'https://[A-Za-z0-9.-]+(:[0-9]+)?/([!-"$->@-~]*/)?(?!\.)[!-"$-.0->@-~]+(\?[!-"$-~]*)?',
    'an https address in ASCII that ends in the name of a file, without a user, a password or a "#"',
)
Repository = _text(
    r"(?!.*(--|\.\.))[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?",
    "the owner and the name of a repository, with a slash between them",
)
Revision = _text("[0-9a-f]{40}", "a commit, 40 hexadecimal digits in lower case")
