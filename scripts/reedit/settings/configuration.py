"""The configuration checked at the door: one line for the first thing that is wrong with it."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from reedit.errors import InputError, nearest
from reedit.jobs.redaction import without_secrets
from reedit.methods.algorithms import ALGORITHMS

# a part of an address's query that by its name lets someone in
SECRET = re.compile(
    r"(?i)[?&;]((?:[^=&;]*[_-])?(?:key|sig|auth)|"
    r"[^=&;]*(?:token|secret|signature|passw|credential|(?:api|access).?key)[^=&;]*)="
)

# JSON Schema takes 2.0 for an integer, and YAML has numbers that JSON has not
KINDS = Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
        "number": lambda _, value: (
            isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf
        ),
    }
)
Validator = extend(Draft202012Validator, type_checker=KINDS)


def check_configuration(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise InputError if `config` does not follow the JSON schema; then check names across definitions."""
    errors = list(Validator(_with_algorithms(schema)).iter_errors(config))
    if errors:
        raise InputError(without_secrets(_one_line(_deepest(errors))))
    check_references(config)


def _with_algorithms(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with the names of all algorithms where one is expected."""
    per_model = {"$ref": "#/$defs/per_model"}
    known = {
        "algorithm": {"enum": list(ALGORITHMS)},
        "hyperparameters": {
            "type": "object",
            "properties": dict.fromkeys(ALGORITHMS, per_model),
            "additionalProperties": False,
        },
    }
    return {**schema, "$defs": {**schema["$defs"], **known}}


def _deepest(errors: Iterable[ValidationError]) -> ValidationError:
    """The most telling error: an unknown or missing key first, else the one nearest to the top."""
    telling = [e for e in errors if e.validator in ("additionalProperties", "required")]
    return telling[0] if telling else min(errors, key=lambda error: len(error.absolute_path))


def _one_line(error: ValidationError) -> str:
    """Key path, value, what was expected, and the nearest known name."""
    path = _path(error.absolute_path)
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        return f"config: {_path([*error.absolute_path, unknown])}: unknown key{nearest(unknown, known)}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"config: {_path([*error.absolute_path, missing])}: missing, expected a value"
    expected = {
        "enum": lambda: f"one of {', '.join(map(str, error.validator_value))}",
        "type": lambda: f"{_listed(error.validator_value)}",
        "pattern": lambda: error.schema.get("description", f"text of the form {error.validator_value}"),
        "minimum": lambda: f"at least {error.validator_value}",
        "maximum": lambda: f"at most {error.validator_value}",
        "minItems": lambda: f"at least {error.validator_value} entry",
        "multipleOf": lambda: f"a multiple of {error.validator_value}",
        "oneOf": lambda: error.schema["description"],
    }.get(error.validator, lambda: error.message)()
    hint = nearest(error.instance, error.validator_value) if error.validator == "enum" else ""
    return f"config: {path}: found {error.instance!r}, expected {expected}{hint}"


def _listed(kinds: str | list[str]) -> str:
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _path(keys: Iterable[Any]) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text or "(top level)"


def check_references(config: Mapping[str, Any]) -> None:
    """Raise InputError if a definition or a run names something that is not defined."""

    def expect(path: str, name: str, section: str) -> None:
        if name not in config[section]:
            raise InputError(
                f"config: {path}: unknown {section[:-1]} {name!r}{nearest(name, config[section])}"
            )

    for section in ("models", "datasets", "corpora"):
        for name, definition in config[section].items():
            source = definition["source"]
            for one in [source] if isinstance(source, str) else source:
                expect(f"{section}.{name}.source", one, "sources")
    for name, model in config["models"].items():
        if "tokenizer" in model:
            expect(f"models.{name}.tokenizer.source", model["tokenizer"]["source"], "sources")
    for name, corpus in config["corpora"].items():
        _check_corpus(f"corpora.{name}", corpus, config)
    for name, source in config["sources"].items():
        secret = SECRET.search(source.get("url", ""))
        if secret:
            raise InputError(f"config: sources.{name}.url: {secret[1]}= in it, expected no secret")
        if source["kind"] == "hub":
            for file in source.get("sha256", {}):
                if file not in source.get("files", []):
                    hint = nearest(file, source.get("files", []))
                    raise InputError(f"config: sources.{name}.sha256: {file} is not one of its files{hint}")
    expect("collapse.source", config["collapse"]["source"], "sources")
    for section in ("models", "methods"):
        for name, definition in config[section].items():
            prefixes = definition.get("prefixes", {})
            if "source" in prefixes:
                expect(f"{section}.{name}.prefixes.source", prefixes["source"], "sources")
    for index, pair in enumerate(config.get("report", {}).get("eligible", [])):
        for key, section in [("model", "models"), ("pool", "datasets"), ("published", "datasets")]:
            expect(f"report.eligible[{index}].{key}", pair[key], section)
    for index, run in enumerate(config["runs"]):
        for key, section in [("model", "models"), ("dataset", "datasets")]:
            expect(f"runs[{index}].{key}", run[key], section)
        if run["corpus"] not in config["corpora"]:
            hint = nearest(run["corpus"], config["corpora"])
            raise InputError(f"config: runs[{index}].corpus: unknown corpus {run['corpus']!r}{hint}")
        for method in run["methods"]:
            expect(f"runs[{index}].methods", method, "methods")
        if run.get("extend_to", run["iterations"]) < run["iterations"]:
            raise InputError(
                f"config: runs[{index}].extend_to: found {run['extend_to']}, expected at least iterations"
            )
        source = config["datasets"][run["dataset"]]["source"]
        files = 1 if isinstance(source, str) else len(source)
        if run["edits"] == "all" and run.get("trials", 1) not in (1, files):
            expected = "1" if files == 1 else f"1 or {files}, the dataset's sources,"
            raise InputError(
                f"config: runs[{index}].trials: found {run['trials']}, expected {expected} with edits: all"
            )


def _check_corpus(path: str, corpus: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise InputError where a corpus on the hub names no files, or released statistics no texts."""
    released = corpus["format"] == "released-statistics"
    source = config["sources"][corpus["source"]]
    if (released or corpus["format"] == "hub") and source["kind"] == "hub" and "files" not in source:
        raise InputError(f"config: sources.{corpus['source']}.files: missing, expected by {path}")
    texts = [name for name, other in config["corpora"].items() if other["format"] != "released-statistics"]
    if released and corpus["check"] not in texts:
        hint = nearest(corpus["check"], texts)
        raise InputError(f"config: {path}.check: {corpus['check']!r} is no corpus of texts{hint}")
