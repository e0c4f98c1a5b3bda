"""The configuration at the door: one line for the first thing that is wrong with it."""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
import yaml
from configurations import HASH, REPOSITORY, SCHEMA, configuration, with_released
from jsonschema import Draft202012Validator

from reedit.errors import InputError, nearest
from reedit.settings.configuration import check_configuration
from reedit.settings.schema import PLACE, schema_text


def refused(change: Callable[[dict[str, Any]], Any]) -> str:
    config = configuration()
    change(config)
    with pytest.raises(InputError) as caught:
        check_configuration(config)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)


def at(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: Any) -> None:
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "config",
    [configuration(), yaml.safe_load((REPOSITORY / "config.yaml").read_text())],
    ids=["small", "ours"],
)
def test_the_shipped_configuration_and_the_tests_own_pass(config: dict[str, Any]) -> None:
    check_configuration(config)
    Draft202012Validator(SCHEMA).validate(config)


def test_the_schema_is_what_the_definitions_make_it() -> None:
    """`make schema` writes it."""
    Draft202012Validator.check_schema(SCHEMA)
    assert (REPOSITORY / PLACE).read_text(encoding="utf-8") == schema_text()


def test_the_page_on_the_configuration_names_every_key() -> None:
    page = (REPOSITORY / "docs/configuration.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z0-9_]+)`|^## (\w+)", page, re.MULTILINE))
    words = {word for pair in named for word in pair} | {"name"}  # of an engine, in `name: reedit`
    keys = {key for node in (SCHEMA, *SCHEMA["$defs"].values()) for key in node["properties"]}
    assert keys - words == set()


def test_what_is_left_out_has_its_default() -> None:
    checked = check_configuration(configuration())
    assert checked.nonfinite == "drop" and checked.report.norms and not checked.report.generation
    assert not checked.report.fluency and checked.datasets["mine"].references is None
    (run,) = checked.runs
    assert (run.trials, run.stop, run.extend_to, run.misaligned) == (1, "none", None, "error")
    assert checked.methods["memit"].engine.name == "reedit" and checked.models["small"].processes == 1


def test_a_key_that_may_be_left_out_is_not_null() -> None:
    assert "runs[0].extend_to: found None, expected a whole number" in refused(
        at("runs", 0, "extend_to", value=None)
    )


def test_what_json_has_not_is_refused_where_it_stands() -> None:
    endless: dict[str, Any] = {}
    endless["more"] = endless
    for value, expected in [
        (date(2020, 1, 1), "found datetime.date(2020, 1, 1), expected text (in quotes)"),
        (b"a", "found b'a', expected text"),
        ({1: 2}, "found the key 1, expected text"),
        ("\ud800", "found '\\ud800', expected text"),
        (10**5000, "found a number of 16610 bits, expected at most 64"),
        (endless, "nested more than 50 levels deep"),
    ]:
        line = refused(at("methods", "memit", "hyperparameters", value={"v_lr": value}))
        assert line.startswith("config: methods.memit.hyperparameters") and expected in line


def test_every_object_of_the_schema_refuses_unknown_keys() -> None:
    def unclosed(node: Any, path: str) -> list[str]:
        if isinstance(node, list):
            return [p for i, item in enumerate(node) for p in unclosed(item, f"{path}[{i}]")]
        if not isinstance(node, dict):
            return []
        found = [p for key, value in node.items() for p in unclosed(value, f"{path}.{key}")]
        is_open = "properties" in node and node.get("additionalProperties") is not False
        return found + ([path] if is_open else [])

    assert unclosed(SCHEMA, "") == []


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        (("modles",), {}, "config: modles: unknown key (did you mean models?)"),
        (("models", "small", "dtpye"), 1, "config: models.small.dtpye: unknown key (did you mean dtype?)"),
        (("runs", 0, "edit"), 5, "config: runs[0].edit: unknown key (did you mean edits?)"),
        (
            ("methods", "memit", "neighbor"),
            {},
            "methods.memit.neighbor: unknown key (did you mean neighbors?)",
        ),
        (
            ("corpora", "lines", "max_token"),
            5,
            "corpora.lines.max_token: unknown key (did you mean max_tokens?)",
        ),
        (("sources", "facts", "sha"), HASH, "sources.facts.sha: unknown key"),
        (("hyperparameters", "memt"), {}, "hyperparameters.memt: unknown key (did you mean memit?)"),
        (("models", "small", "dtype"), "float23", "models.small.dtype: found 'float23', expected one of"),
        (("methods", "memit", "algorithm"), "memit2", "methods.memit.algorithm: found 'memit2'"),
        (
            ("methods", "memit", "engine"),
            {"name": "easyedit"},
            "methods.memit.engine.path: missing, expected",
        ),
        (
            ("methods", "memit", "engine"),
            {"name": "easyedit", "path": "/x", "commit": "y"},
            "methods.memit.engine.commit: unknown key",
        ),
        (
            ("methods", "memit", "engine"),
            {"name": "easy"},
            "methods.memit.engine.name: found 'easy', expected one of reedit, easyedit",
        ),
        (("protocol",), "correct", "protocol: found 'correct', expected one of corrected, released"),
        (("runs", 0, "stop"), "propose", "runs[0].stop: found 'propose', expected one of none, proposed"),
        (
            ("runs", 0, "edits"),
            "some",
            "runs[0].edits: found 'some', expected all, or a whole number of at least 1",
        ),
        (("runs", 0, "edits"), 0, "runs[0].edits: found 0, expected all, or a whole number of at least 1"),
        (("runs", 0, "iterations"), 0, "runs[0].iterations: found 0, expected at least 1"),
        (("runs", 0, "iterations"), "2", "runs[0].iterations: found '2', expected a whole number"),
        (("runs",), [], "runs: found [], expected at least 1 entry"),
        (
            ("models", "small", "prefixes", "count"),
            7,
            "models.small.prefixes.count: found 7, expected a multiple of 5",
        ),
        (
            ("sources", "facts", "sha256"),
            "abc",
            "sources.facts.sha256: found 'abc', expected a sha256, 64 hexadecimal",
        ),
        (
            ("sources", "facts", "url"),
            "http://example.org/f",
            "sources.facts.url: found 'http://example.org/f'",
        ),
        (
            ("sources", "facts", "kind"),
            "ftp",
            "sources.facts.kind: found 'ftp', expected one of file, folder",
        ),
        (("seed",), -1, "seed: found -1, expected at least 0"),
        (("seed",), 2**32, "seed: found 4294967296, expected at most 4294967295"),
        (("seed",), 3.0, "seed: found 3.0, expected a whole number"),
        (("runs", 0, "iterations"), 2.0, "runs[0].iterations: found 2.0, expected a whole number"),
        (("runs", 0, "edits"), 8.0, "runs[0].edits: found 8.0, expected all, or a whole number"),
        (("runs", 0, "trials"), 10**9, "runs[0].trials: found 1000000000, expected at most 1000"),
        (("models",), {1: 5, "a": 5}, "config: models: found the key 1, expected text"),
        (("sources", "facts", "sha256"), f"{HASH}\n", "sources.facts.sha256: found"),
        (
            ("sources", "facts", "url"),
            "https://[",
            "facts.url: found 'https://[', expected an https address in ASCII",
        ),
        (("sources", "facts", "url"), "https://ü.org/x", "facts.url: found 'https://ü.org/x'"),
        (("sources", "weights", "member"), "a/..", "weights.member: found 'a/..', expected a path inside"),
        (("sources", "weights", "member"), "/etc/passwd", "weights.member: found '/etc/passwd'"),
        (
            ("report",),
            {"labels": {"small": "</script><script>alert(1)</script>"}},
            "report.labels.small: found '</script><script>alert(1)</script>', expected a text without <",
        ),
        (("report",), {"labels": {"small": "a\rb"}}, "labels.small: found 'a\\rb', expected a text without"),
        (("report",), {"labels": {"[key]": "<"}}, "report.labels.[key]: found '<', expected a text without"),
        (("report",), {"normes": True}, "report.normes: unknown key (did you mean norms?)"),
        (("report",), [], "config: report: found [], expected a mapping"),
        (("report",), {"norms": "yes"}, "report.norms: found 'yes', expected true or false"),
        (("runs", 0, "methods"), ["memit", "memit"], "found ['memit', 'memit'], expected each entry once"),
        (("hyperparameters", "memit", "small"), 5, "memit.small: found 5, expected a mapping, or the path"),
        (("hyperparameters", "memit"), {"a/b": {}}, "hyperparameters.memit: found 'a/b', expected a name of"),
        (("methods", "memit"), {"regularises": "x"}, "methods.memit.by: missing, expected a value"),
        (
            ("methods", "memit"),
            {"regularises": "x", "by": "rect", "keep": 1.5},
            "keep: found 1.5, expected at",
        ),
        (
            ("methods", "memit"),
            {"regularises": "x", "by": "rct"},
            "by: found 'rct', expected one of prune, rect",
        ),
        (("methods",), 5, "config: methods: found 5, expected a mapping"),
        (("models", "small", "shape"), {"layers": 1}, "models.small.shape.parameters: missing, expected"),
        (("sources", "facts"), "facts.json", "sources.facts: found 'facts.json', expected a mapping"),
        (("sources", "facts", "kind"), ["url"], "sources.facts.kind: found ['url'], expected one of file"),
        (("sources", "facts", "sha256"), 5, "sources.facts.sha256: found 5, expected a sha256, 64"),
        (("tracing",), {"noise": 0}, "tracing.noise: found 0, expected above 0"),
        (("tracing",), {"noise": float("inf")}, "tracing.noise: found inf, expected a finite number"),
        (("collapse", "source"), 5, "collapse.source: found 5, expected text"),
        (("downstream",), {"tasks": ["a"], "folder": ""}, "found '', expected at least 1 character"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_with_its_path(keys: tuple, value: Any, expected: str) -> None:
    assert expected in refused(at(*keys, value=value))


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("protocol", ("protocol",)),
        ("models.small.source", ("models", "small", "source")),
        ("runs[0].edits", ("runs", 0, "edits")),
        ("sources.facts.sha256", ("sources", "facts", "sha256")),
        ("sources.weights.member", ("sources", "weights", "member")),
        ("sources.weights.kind", ("sources", "weights", "kind")),
        ("methods.na_memit.neighbors.count", ("methods", "na_memit", "neighbors", "count")),
    ],
)
def test_a_missing_key_is_named(path: str, keys: tuple) -> None:
    def drop(config: Any) -> None:
        for key in keys[:-1]:
            config = config[key]
        del config[keys[-1]]

    assert f"config: {path}: missing" in refused(drop)


@pytest.mark.parametrize("section", ["sources", "models", "datasets", "corpora", "methods"])
@pytest.mark.parametrize(
    "name", ["../x", "a/b", "", "..", ".", "/abs", "a b", ".hidden", "a\nb", "ä", "x" * 81]
)
def test_a_name_cannot_leave_its_folder(section: str, name: str) -> None:
    def change(config: dict[str, Any]) -> None:
        config[section][name] = next(iter(config[section].values()))

    assert f"config: {section}" in refused(change)


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        (("runs", 0, "model"), "smal", "config: runs[0].model: unknown model 'smal' (did you mean small?)"),
        (("runs", 0, "dataset"), "main", "config: runs[0].dataset: unknown dataset 'main'"),
        (
            ("runs", 0, "corpus"),
            "line",
            "config: runs[0].corpus: unknown corpus 'line' (did you mean lines?)",
        ),
        (
            ("runs", 0, "methods"),
            ["memit", "memitt"],
            "config: runs[0].methods: unknown method 'memitt' (did you mean",
        ),
        (
            ("models", "small", "source"),
            "weight",
            "config: models.small.source: unknown source 'weight' (did",
        ),
        (("datasets", "mine", "source"), "x", "config: datasets.mine.source: unknown source 'x' (known: "),
        (
            ("datasets", "mine", "references"),
            {"source": "fact"},
            "config: datasets.mine.references.source: unknown source 'fact' (did you mean facts?)",
        ),
        (("corpora", "lines", "source"), "x", "config: corpora.lines.source: unknown source 'x'"),
        (
            ("collapse", "source"),
            "text",
            "config: collapse.source: unknown source 'text' (did you mean texts?)",
        ),
        (
            ("models", "small", "prefixes"),
            {"source": "x"},
            "config: models.small.prefixes.source: unknown source 'x'",
        ),
        (
            ("methods", "memit", "prefixes"),
            {"source": "x"},
            "config: methods.memit.prefixes.source: unknown source",
        ),
        (("runs", 0, "extend_to"), 1, "config: runs[0].extend_to: found 1, expected at least iterations"),
    ],
)
def test_a_name_that_is_not_defined_is_one_line(keys: tuple, value: Any, expected: str) -> None:
    assert expected in refused(at(*keys, value=value))


def test_all_edits_leave_room_for_one_trial_only() -> None:
    def change(config: dict[str, Any]) -> None:
        config["runs"][0] |= {"edits": "all", "trials": 2}

    assert "runs[0].trials: found 2, expected 1 with edits: all" in refused(change)


@pytest.mark.parametrize("tokens", [None, 1, 5000, "1x", "10x", "300x"])
def test_corpora_of_every_format_pass(tokens: int | str | None) -> None:
    config = configuration()
    with_released(lambda _: None)(config)
    if tokens is not None:
        config["corpora"]["wiki"]["tokens"] = tokens
    assert check_configuration(config).corpora["wiki"].tokens == tokens


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        (("corpora", "wiki", "format"), "hubb", "corpora.wiki.format: found 'hubb', expected one of lines"),
        (("corpora", "wiki", "check"), "lines", "corpora.wiki.check: unknown key"),
        (("corpora", "wiki", "samples"), 0, "corpora.wiki.samples: found 0, expected at least 1"),
        (("corpora", "released", "samples"), 9, "corpora.released.samples: unknown key"),
        (("corpora", "released", "tokens"), "9x", "corpora.released.tokens: unknown key"),
        (("corpora", "wiki", "tokens"), "0x", "corpora.wiki.tokens: found '0x', expected a whole number"),
        (("corpora", "wiki", "tokens"), "1.5x", "wiki.tokens: found '1.5x', expected a whole number"),
        (("corpora", "wiki", "tokens"), "10 x", "wiki.tokens: found '10 x', expected a whole number"),
        (("corpora", "wiki", "tokens"), "10", "wiki.tokens: found '10', expected a whole number"),
        (("corpora", "wiki", "tokens"), f"{10**9}x", "wiki.tokens: found '1000000000x', expected a whole"),
        (("corpora", "wiki", "tokens"), -3, "corpora.wiki.tokens: found -3, expected a whole number"),
        (("corpora", "wiki", "tokens"), 2.0, "corpora.wiki.tokens: found 2.0, expected a whole number"),
        (("corpora", "wiki", "tokens"), True, "corpora.wiki.tokens: found True, expected a whole number"),
        (("corpora", "wiki", "tokens"), None, "corpora.wiki.tokens: found None, expected a whole number"),
        (("corpora", "wiki", "tokens"), [], "corpora.wiki.tokens: found [], expected a whole number"),
        (("corpora", "released"), {"format": "released-statistics", "source": "npz"}, "check: missing"),
        (("corpora", "wiki"), {"format": "hub", "source": "npz", "samples": 9}, "wiki.max_tokens: missing"),
        (("corpora", "wiki"), {"source": "npz"}, "corpora.wiki.format: missing"),
        (("corpora", "released", "check"), "line", "'line' is no corpus of texts (did you mean lines?)"),
        (("corpora", "released", "check"), "released", "check: 'released' is no corpus of texts"),
        (("sources", "npz", "files"), [], "sources.npz.files: found [], expected at least 1 entry"),
        (("sources", "npz", "files"), ["../x"], "sources.npz.files[0]: found '../x', expected a path inside"),
        (("sources", "npz", "files"), ["/x"], "found '/x', expected a path inside"),
        (("sources", "npz", "files"), ["*.npz"], "found '*.npz', expected a path inside"),
        (("sources", "npz", "sha256"), {"d/e.npz": "ab"}, "sources.npz.sha256.d/e.npz: found 'ab'"),
        (("sources", "npz", "sha256"), {"d/f.npz": HASH}, "is not one of its files (did you mean d/e.npz?)"),
        (("sources", "npz", "repo"), "../..", "npz.repo: found '../..', expected the owner and the name"),
        (("sources", "npz", "repo_type"), "space", "npz.repo_type: found 'space', expected one of model"),
    ],
)  # fmt: skip
def test_a_wrong_corpus_or_hub_source_is_one_line(keys: tuple, value: Any, expected: str) -> None:
    assert expected in refused(with_released(at(*keys, value=value)))


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_a_corpus_on_the_hub_says_which_files(kind: str) -> None:
    def change(config: dict[str, Any]) -> None:
        config["sources"]["npz"]["repo_type"] = kind
        del config["sources"]["npz"]["files"]

    assert "config: sources.npz.files: missing" in refused(with_released(change))


def test_the_definitions_in_the_documentation_pass() -> None:
    text = (REPOSITORY / "docs/statistics.md").read_text()
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert len(blocks) > 1
    config = configuration()
    for block in blocks:
        for section, definitions in block.items():
            config[section] |= definitions
    config["corpora"]["wikipedia-sample"] = config["corpora"]["lines"]
    check_configuration(config)


def test_the_nearest_name_is_offered_or_the_known_ones() -> None:
    assert nearest("memti", ["memit", "rome"]) == " (did you mean memit?)"
    assert nearest("zzz", ["memit", "rome"]) == " (known: memit, rome)"
    assert nearest("zzz", []) == " (known: none)"
