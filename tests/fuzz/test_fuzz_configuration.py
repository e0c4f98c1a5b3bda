"""Configuration and hyperparameters: refused in one line, or every question of the rules has an answer."""

import copy
import math
import re
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from configurations import configuration, entry, with_released
from easyedit_files import GOOD, MODULES, easyedit_file
from hostile import JSON, NUMBERS, TEXT, Refused, damaged, file_of, one_line_if_refused, spoiled
from hypothesis import given
from hypothesis import strategies as st

from reedit.edit.job.settings import EditSettings
from reedit.jobs.params import plain
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.hyperparameters import (
    FIXED,
    NotNegative,
    OfTargets,
    Positive,
    as_mapping,
    kinds,
    known_keys,
    read_hyperparameters,
)
from reedit.settings.experiment import Experiment

HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # for a shell, a path and TeX's file names
YAML = JSON | st.dates() | st.binary(max_size=4) | st.just(date(2020, 1, 1))
KEYS = TEXT | st.integers() | st.none() | st.dates()
NAMES = ("memit", "na_memit", "rome", "pmet", "small", "other", "mine", "lines", "facts", "weights", "texts")
CHOICES = (
    "all",
    "none",
    "released",
    "corrected",
    "first",
    "easyedit",
    "file",
    "folder",
    "hub",
    "url",
    "zsre",
)
WORDS = st.sampled_from([*NAMES, *CHOICES])


def whole_configuration() -> dict[str, Any]:
    """One with a definition of every kind."""
    config = configuration()
    with_released(lambda _: None)(config)
    config["sources"]["here"] = {"kind": "file", "path": "nowhere"}
    config["models"]["own"] = {
        "source": "weights",
        "dtype": "float16",
        "prefixes": {"source": "own-prefixes"},
    }
    config["methods"]["twenty"] = {"algorithm": "memit", "prefixes": {"count": 10, "tokens": [5, 10]}}
    config["methods"]["changed"] = {"algorithm": "memit", "hyperparameters": {"v_lr": 0.1}}
    config["report"] = {"labels": {"small": "SmolLM2"}, "intervals": True}
    config["runs"] += [
        entry(methods=["na_memit", "na2_memit", "twenty", "changed"], eligible=True, dataset="mine_eligible"),
        entry(model="other", methods=["memit_released"], trials=2, edits=3, corpus="released", extend_to=4),
    ]
    return config


def ask_everything(experiment: Experiment) -> None:
    """What rules/*.smk ask, and that nothing of it can lead a path or a shell astray."""
    for run in experiment.runs.values():
        assert all(HARMLESS.fullmatch(part) and len(part) <= 80 for part in run.path.split("/"))
        assert HARMLESS.fullmatch(run.entry.sample)
        settings = experiment.edit_settings(run)
        in_range(settings.hyperparameters)
        assert isinstance(settings.iterations, int) and settings.iterations >= 1
        assert EditSettings(**plain(settings)) == settings
        experiment.score_settings(run), experiment.identity(run), experiment.needs_moments(run)
        experiment.layers(run.entry.model, run.entry.corpus), experiment.template_count(run.prefixes)
        experiment.split_entries(run.entry.model, run.entry.dataset, run.entry.sample)
        experiment.neighbors_in_file_order(run.entry.model, run.entry.dataset)
    for dataset in experiment.datasets:
        experiment.facts_settings(dataset)
    for imported in (True, False):
        assert all(map(HARMLESS.fullmatch, experiment.corpora(imported)))
    for source in experiment.used_sources:
        assert HARMLESS.fullmatch(source)
        assert not any(brace in file for file in experiment.files.local(source) for brace in "{}")
    assert all("<" not in label for label in experiment.config.get("report", {}).get("labels", {}).values())
    experiment.reported_as(), experiment.runs_a_reported_model


def in_range(used: dict[str, Any]) -> None:
    """Hyperparameters that an optimiser can do something with."""
    assert set(used) <= set(kinds(OfTargets)) and used["v_num_grad_steps"] >= 1
    numbers = {key: kind for key, kind in kinds(OfTargets).items() if kind in (Positive, NotNegative)}
    assert len(numbers) > 10
    for key, kind in numbers.items():
        assert 0 <= used.get(key, 1) < math.inf and float(used.get(key, 1)) < math.inf
        assert kind is NotNegative or used.get(key, 1) > 0
    assert used["layers"] == sorted(set(used["layers"])) and used["layers"][0] >= 0


def accepted_or_refused(config: Any) -> None:
    with suppress(Refused):
        with one_line_if_refused():
            experiment = Experiment(config, Path())
        ask_everything(experiment)


def test_the_configuration_that_is_spoiled_here_passes_unspoiled() -> None:
    ask_everything(Experiment(whole_configuration(), Path()))


@given(spoiled(whole_configuration(), YAML | WORDS | NUMBERS, KEYS))
def test_a_spoiled_configuration_is_refused_or_answers_every_question(config: Any) -> None:
    accepted_or_refused(config)


@given(YAML)
def test_a_configuration_of_anything_is_refused(config: Any) -> None:
    with pytest.raises(Refused), one_line_if_refused():
        Experiment(config, Path())


@given(st.sampled_from(["sources", "models", "datasets", "corpora", "methods"]), TEXT | KEYS)
def test_a_definition_of_any_name_is_refused_or_harmless(section: str, name: Any) -> None:
    config = whole_configuration()
    config[section][name] = copy.deepcopy(next(iter(config[section].values())))
    if section in ("models", "methods"):
        used = {"models": "model", "methods": "methods"}[section]
        config["runs"] = [entry(**{used: name if used == "model" else [name]})]
        config["hyperparameters"]["memit"][name] = GOOD
    accepted_or_refused(config)


@given(TEXT, st.sampled_from(["lines", "facts", "texts"]), st.sampled_from(["file", "folder"]))
def test_a_local_path_of_any_text_is_refused_or_has_no_braces(path: str, source: str, kind: str) -> None:
    config = configuration()
    config["sources"][source] = {"kind": kind, "path": path}
    accepted_or_refused(config)


HYPERPARAMETERS = GOOD | {
    "nll_loss_factor": 1,
    "step_length": 0.1,
    "mom2_adjustment": True,
    "alg_name": "MEMIT",
}


@given(spoiled(HYPERPARAMETERS, YAML | NUMBERS, KEYS), st.sampled_from(["rome", "memit", "pmet"]))
def test_spoiled_hyperparameters_are_refused_or_in_range(value: Any, algorithm: str) -> None:
    with suppress(Refused):
        with one_line_if_refused():
            used = as_mapping(read_hyperparameters(value, algorithm, "here"))
        in_range(used)
        for key, expected in FIXED.items():
            assert value.get(key, expected) == expected


@given(TEXT.filter(lambda key: key not in known_keys(ALGORITHMS["memit"])), YAML)
def test_an_unknown_hyperparameter_is_named(key: str, value: Any) -> None:
    with pytest.raises(Refused) as caught, one_line_if_refused():
        read_hyperparameters(GOOD | {key: value}, "memit", "here")
    if key.isprintable() and len(key) < 50:
        assert repr(key) in str(caught.value.__cause__)


@given(st.sampled_from(sorted(MODULES)), st.sampled_from(["ROME", "MEMIT", "PMET"]), st.data())
def test_a_damaged_file_of_hyperparameters_is_refused_or_in_range(
    model: str, algorithm: str, data: st.DataObject
) -> None:
    content = data.draw(damaged(easyedit_file(algorithm, model).encode()))
    with file_of(content) as path, suppress(Refused):
        with one_line_if_refused():
            used = as_mapping(read_hyperparameters(path, algorithm.lower(), "here"))
        in_range(used)


@given(
    st.lists(
        TEXT
        | st.sampled_from(
            [
                "a:",
                "\n",
                "-",
                "?",
                "|",
                ">",
                "&",
                "*",
                "!",
                "!!int",
                "!!float",
                "!!timestamp",
                "!!bool",
                "{",
                "[",
                ",",
            ]
        )
    )
)
def test_a_file_of_any_yaml_is_refused_or_in_range(parts: list[str]) -> None:
    content = "v_lr: " + " ".join(parts)
    with file_of(content.encode(errors="surrogatepass")) as path, suppress(Refused):
        with one_line_if_refused():
            used = as_mapping(read_hyperparameters(path, "memit", "here"))
        in_range(used)


@given(YAML | NUMBERS, st.sampled_from(sorted(kinds(OfTargets))))
def test_a_hyperparameter_of_any_value_survives_its_yaml_file(value: Any, key: str) -> None:
    """What a file says is what a mapping says: both are refused, or both are the same."""
    given_value = GOOD | {key: value}
    results = []
    with file_of(
        yaml.safe_dump(given_value, allow_unicode=True, sort_keys=False).encode(errors="surrogatepass")
    ) as path:
        for source in (given_value, path):
            try:
                with one_line_if_refused():
                    results.append(repr(read_hyperparameters(source, "memit", "here")))
            except Refused:
                results.append("refused")
    assert results[0] == results[1] or results[1] == "refused"
