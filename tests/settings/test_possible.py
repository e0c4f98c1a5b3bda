"""What no job could do is one line when the configuration is read, before anything is fetched or loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
from configurations import configuration
from tiny import tiny_facts
from workflow import changed

from reedit.errors import InputError
from reedit.settings.experiment import Experiment

LLAMA = {"model_type": "llama", "num_hidden_layers": 6, "max_position_embeddings": 256}
GPT2 = {"model_type": "gpt2", "n_layer": 6, "n_positions": 256}
NESTED = {"model_type": "gemma3", "text_config": LLAMA}


def experiment(folder: Path, told: Any = LLAMA, facts: Any = None, **changes: Any) -> Experiment:
    """The model "small" and the dataset "mine" are files in `folder`; `told` is that model's config.json."""
    (folder / "model").mkdir()
    (folder / "model/config.json").write_text(told if isinstance(told, str) else json.dumps(told))
    (folder / "facts.json").write_text(json.dumps(tiny_facts()[:12] if facts is None else facts))
    local = {
        "sources__weights": {"kind": "folder", "path": str(folder / "model")},
        "sources__facts": {"kind": "file", "path": str(folder / "facts.json")},
    }
    entry = {"model": "small", "dataset": "mine", "methods": ["memit"], "corpus": "lines", "edits": 4}
    changes["runs"] = [entry | {"iterations": 1} | changes.pop("run", {})]
    return Experiment(changed(configuration(), **local, **changes), Path())


def neighbors(count: int) -> list[dict[str, Any]]:
    """Twelve facts with so many neighbors, none of which the file names as the one that assists."""
    facts = tiny_facts()[:12]
    for case in facts:
        case["neighborhood_prompts"] = case["neighborhood_prompts"][:count]
        case.pop("neighborhood_samples")
    return facts


@pytest.mark.parametrize("told", [LLAMA, GPT2, NESTED, "[", "[1]", "{}", '{"n_layer": "six"}'])
def test_what_can_be_done_passes_and_what_a_model_does_not_say_is_left_to_its_job(
    told: Any, tmp_path: Path
) -> None:
    run = {"edits": 6, "trials": 2, "eligible": True, "methods": ["memit", "na_memit"]}
    experiment(tmp_path, told, run=run)


@pytest.mark.parametrize(
    ("run", "line"),
    [
        ({"edits": 13}, "runs[0]: 1 x 13 edits of mine, which has 12 cases"),
        ({"edits": 5, "trials": 3}, "runs[0]: 3 x 5 edits of mine, which has 12 cases"),
    ],
)
def test_more_edits_than_cases(run: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        experiment(tmp_path, run=run)
    assert str(caught.value) == f"config: {line}"


@pytest.mark.parametrize(
    ("count", "run", "line"),
    [
        (
            1,
            {"methods": ["na2_memit"], "edits": "all"},
            "0 of 12 with 2 neighbors of known subject to assist",
        ),
        (1, {"eligible": True}, "0 of 12, one more to evaluate and two in all, as eligible: true asks"),
        (
            2,
            {"methods": ["na2_memit"], "eligible": True},
            "0 of 12 with 2 neighbors of known subject to assist, one",
        ),
    ],
)
def test_more_neighbors_than_cases_have(count: int, run: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        experiment(tmp_path, facts=neighbors(count), run=run)
    edits = run.get("edits", 4)
    assert str(caught.value).startswith(f"config: runs[0]: 1 x {edits} edits of mine, which has {line}")


@pytest.mark.parametrize("told", [LLAMA, GPT2, NESTED])
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"hyperparameters__memit__small__layers": [4, 6]},
            "hyperparameters.memit.small: layers: found 6, the model has layers 0 to 5",
        ),
        (
            {"hyperparameters__memit__small__v_loss_layer": 47},
            "hyperparameters.memit.small: v_loss_layer: found 47, expected 5 for this model",
        ),
        (
            {"models__small__prefixes__tokens": [5, 257]},
            "models.small.prefixes.tokens: found 257, expected at most the 256 that small takes",
        ),
        (
            {"corpora__lines__max_tokens": 1024},
            "corpora.lines.max_tokens: found 1024, expected at most the 256 that small takes",
        ),
    ],
)
def test_what_a_model_does_not_have_or_take(
    told: dict[str, Any], change: dict[str, Any], line: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        experiment(tmp_path, told, **change)
    assert str(caught.value) == f"config: {line}"


def test_a_path_may_begin_with_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "facts.json").write_text(json.dumps(tiny_facts()[:12]))
    source = {"kind": "file", "path": "~/facts.json"}
    found = Experiment(changed(configuration(), sources__facts=source), Path())
    assert found.files.local("facts") == [str(tmp_path / "facts.json")]
    small = configuration()["hyperparameters"]["memit"]["small"]
    (tmp_path / "h.yaml").write_text(json.dumps(small | {"v_lr": 0.25}))
    given = Experiment(changed(configuration(), hyperparameters__memit__small="~/h.yaml"), Path())
    assert given.hyperparameters(next(iter(given.runs.values())))["v_lr"] == 0.25


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    from reedit.storage.yaml_files import read_mapping

    (tmp_path / "a.yaml").write_text("a: &x {b: 1}\nc: {<<: *x, b: 2}\nruns: 1\nd:\n  runs: 2\n")
    assert read_mapping(tmp_path / "a.yaml", "settings")["c"] == {"b": 2}
    for twice in ("runs: 1\nseed: 0\nruns: 2\n", "a:\n  - {b: 1, b: 1}\n"):
        (tmp_path / "a.yaml").write_text(twice)
        with pytest.raises(InputError, match=r"a\.yaml: not YAML \('(runs|b)' stands twice in .*line \d"):
            read_mapping(tmp_path / "a.yaml", "settings")
