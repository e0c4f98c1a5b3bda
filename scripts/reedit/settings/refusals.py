"""What pydantic finds wrong with a configuration, as the one line that a user gets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reedit.errors import nearest
from reedit.settings.schema import json_schema

LONGEST = 160  # characters of a value that is quoted
UNKNOWN = "unexpected_keyword_argument"
# what is expected, by pydantic's name of what is wrong
EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "finite_number": "a finite number",
    "greater_than": "above {gt:g}",
    "less_than": "below {lt:g}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "too_short": "at least {min_length} entry",
    "string_too_short": "at least {min_length} character",
    "value_error": "{error}",
}

Node = Mapping[str, Any]  # of the JSON schema


def first_refusal(errors: Iterable[Mapping[str, Any]]) -> str:
    """The line of an unknown or missing key, else of what is nearest to the top."""
    schema = json_schema()
    refusals = [_refusal(error, schema) for error in errors]
    _, keys, text = min(refusals, key=lambda refusal: (not refusal[0], len(refusal[1])))
    return f"config: {path_of(keys)}: {text}"


def path_of(keys: Iterable[Any]) -> str:
    """Keys as a path: runs[0].edits."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text or "(top level)"


def quoted(value: Any) -> str:
    """A value as Python writes it, cut short where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _refusal(error: Mapping[str, Any], schema: Node) -> tuple[bool, list[Any], str]:
    """Whether a key is unknown or missing, where, and what to say of it."""
    kind, found, told = error["type"], error["input"], error.get("ctx", {})
    keys, node, around = _place(error["loc"], schema)
    if kind == UNKNOWN:
        return True, keys, f"unknown key{nearest(keys[-1], sorted(around['properties']))}"
    if kind.startswith("union_tag"):
        keys = [*keys, told["discriminator"].strip("'")]
        found = found.get(keys[-1])
        node = {"enum": told.get("expected_tags", "").replace("'", "").split(", ")}
    if kind in ("missing", "union_tag_not_found"):
        return True, keys, "missing, expected a value"
    allowed = node.get("enum", [node["const"]] if "const" in node else [])
    if node is around.get("propertyNames"):
        if allowed:
            return True, keys, f"unknown key{nearest(found, allowed)}"
        keys = keys[:-1]
    if allowed:
        hint = nearest(found, allowed)
        expected = f"one of {', '.join(allowed)}" + hint * ("did you mean" in hint)
    elif "description" in node and "properties" not in node:
        expected = node["description"]
    else:
        expected = EXPECTED[kind].format(**told) if kind in EXPECTED else error["msg"]
    return False, keys, f"found {quoted(found)}, expected {expected}"


def _place(loc: Sequence[Any], schema: Node) -> tuple[list[Any], Node, Node]:
    """The keys of the file that pydantic means, and what the schema says of the last and of what it is in.

    pydantic counts the member of a union too, which is no key of the file.
    """

    def resolved(node: Any) -> Node:
        name = node.get("$ref", "").rpartition("/")[2] if isinstance(node, Mapping) else None
        return schema["$defs"][name] if name else node if name == "" else {}

    keys: list[Any] = []
    node = around = schema
    for count, key in enumerate(loc, 1):
        if key == "[key]" and count == len(loc) and "propertyNames" in around:  # the key itself is wrong
            return keys, around["propertyNames"], around
        if "anyOf" in node:  # what was tried of it
            break
        if "oneOf" in node:
            kinds = node.get("discriminator", {}).get("mapping", {})
            node = resolved({"$ref": kinds.get(key, key)})
            continue
        keys.append(key)
        inside = node.get("properties", {}).get(key) or node.get("items") or node.get("additionalProperties")
        around, node = node, resolved(inside)
    return keys, node, around
