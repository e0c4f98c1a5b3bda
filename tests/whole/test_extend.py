"""docs/extend.md, done word for word on a tiny model; what stands in for downloads is laid over it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import LAYERS, tiny_corpus, tiny_facts
from workflow import REPOSITORY, Experiment, copy_workflow, rows

from reedit.storage import parquet

pytestmark = pytest.mark.long
PAGE = (REPOSITORY / "docs/extend.md").read_text(encoding="utf-8")
INSIDE = {"layers": [1, 2, 3], "mom2_update_weight": 20}  # of a model with six layers and small keys


def blocks(language: str, topic: str) -> list[str]:
    """The code blocks of a language that the page has under a topic."""
    found = re.findall(rf"^```{language} {topic}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/extend.md has no block of {language} on the {topic}"
    return found


@pytest.fixture
def mine(tmp_path: Path, house: Path, taught_folder: Path) -> Experiment:
    """A working directory with a model of one's own, and the default's downloads replaced by tiny ones."""
    folder = tmp_path / "experiment"
    (folder / "path/to").mkdir(parents=True)
    (folder / "path/to/my-model").symlink_to(taught_folder)
    for name, text in [("worldfacts.json", json.dumps(tiny_facts())), ("corpus.txt", tiny_corpus())]:
        (tmp_path / name).write_text(text)
    default = {"smollm2-135m": {"source": "my-model", "prefixes": {"count": 5, "tokens": 4, "seed": 0}}}
    stand_ins = {
        "sources": {
            "my-model": {"kind": "folder", "path": "path/to/my-model"},
            "worldfacts": {"path": str(tmp_path / "worldfacts.json")},
            "my-corpus": {"kind": "file", "path": str(tmp_path / "corpus.txt")},
        },
        "models": default,
        "corpora": {"wikipedia-sample": {"format": "lines", "source": "my-corpus", "samples": 40}},
        "tracing": {"facts": 4, "samples": 2},
    }
    return Experiment(folder, house, stand_ins)


def extended(experiment: Experiment, *texts: str) -> dict[str, Any]:
    """The page's overlay and the stand-ins below it, as one."""
    overlay: dict[str, Any] = {}
    for layer in (experiment.config, *map(yaml.safe_load, texts)):
        _merge(overlay, layer)
    return overlay


def _merge(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = value


def table(experiment: Experiment, config: dict[str, Any]) -> list[dict]:
    """The lines of Table 1 once the overlay has run."""
    outcome = experiment.run("results/tables/table1.md", config=config)
    assert outcome.status == 0, outcome.output
    assert experiment.dry_run(config=config).status == 0, "the rest of `make` is planned"
    return rows(experiment.path("summary/table1.parquet"))


def test_a_new_model_is_traced_and_then_edited_in_the_layers_that_were_found(mine: Experiment) -> None:
    model, settings = blocks("yaml", "model")
    (command,) = blocks("sh", "model")
    assert command.startswith(".venv/bin/snakemake --cores all ") and command.endswith(
        " --configfile experiments/mine.yaml\n"
    )
    goal = command.split()[3]
    mine.config["hyperparameters"] = {"memit": {"smollm2-135m": INSIDE}}
    outcome = mine.run(goal, config=extended(mine, model))
    assert outcome.status == 0, outcome.output
    traced = (mine.folder / goal).read_text()
    (found,) = re.findall(r"layers: (\[[0-9, ]+\])", traced)
    layers = json.loads(found)
    assert len(layers) == 5 and layers == list(range(layers[0], layers[0] + 5)) and layers[-1] < LAYERS
    assert all((mine.folder / goal).with_suffix(suffix).stat().st_size for suffix in (".png", ".pdf"))
    with_layers = settings.replace("layers: [4, 5, 6, 7, 8]", f"layers: {found}")
    assert with_layers != settings or layers == [4, 5, 6, 7, 8]
    lines = table(mine, extended(mine, model, with_layers))
    assert {line["model"] for line in lines} == {"my-model"}
    assert {line["method"] for line in lines} == {"unedited", "memit"}


def test_a_new_model_is_tuned_and_edited_with_what_was_found(mine: Experiment) -> None:
    """On facts that tuning has not seen, nor those that another run of it edits."""
    model, _ = blocks("yaml", "model")
    (command,), (settings,) = blocks("sh", "tuned"), blocks("yaml", "tuned")
    goal = command.split()[3]
    mine.config["hyperparameters"] = {"memit": {"smollm2-135m": INSIDE}}
    mine.config["tuning"] = {"facts": 3, "budget": {"minutes": 0.05}}
    outcome = mine.run(goal, config=extended(mine, model))
    assert outcome.status == 0, outcome.output
    page = (mine.folder / goal).with_suffix(".md").read_text()
    assert "# Tuning: memit on my-model" in page and "| found " in page
    assert all((mine.folder / goal).with_suffix(suffix).stat().st_size for suffix in (".png", ".pdf"))
    lines = table(mine, extended(mine, model, settings.replace("edits: 16", "edits: 5")))
    assert {line["method"] for line in lines} == {"unedited", "memit"}
    split = mine.path("splits/my-model/worldfacts/5x1-apart.parquet")
    edited = {row["case_id"] for row in rows(split)}
    told = parquet.read_provenance((mine.folder / goal).with_suffix(".parquet"))
    assert edited and not edited & {*told["searched"], *told["held_out"]}
    kept = parquet.read_provenance(split)
    assert kept["for_tuning"] + kept["for_runs"] == kept["cases"] and kept["for_tuning"] >= 6


def test_a_new_dataset_is_a_file_and_an_entry(mine: Experiment) -> None:
    (facts,) = blocks("json", "dataset")
    (mine.folder / "path/to/my-facts.json").write_text(facts)
    mine.config["hyperparameters"] = {"memit": {"smollm2-135m": INSIDE}}
    lines = table(mine, extended(mine, *blocks("yaml", "dataset")))
    assert {line["dataset"] for line in lines} == {"my-facts"}
    (case,) = rows(mine.path("facts/my-facts.parquet"))
    assert (case["case_id"], case["subject"], len(case["neighbors"])) == (0, "Kyoto", 2)


def test_a_new_method_is_a_line_and_a_new_algorithm_a_row(mine: Experiment, tmp_path: Path) -> None:
    (row,) = blocks("text", "method")
    (overlay,) = blocks("yaml", "method")
    mine.house = copy_workflow(tmp_path / "workflow")
    algorithms = mine.house / "scripts/reedit/methods/algorithms.py"
    text = algorithms.read_text()
    assert text.endswith("        ),\n    )\n}\n")
    algorithms.write_text(text.removesuffix("    )\n}\n") + row + "    )\n}\n")
    config = extended(mine, overlay)
    for algorithm in ("memit", "memit_sqrt"):
        _merge(config, {"hyperparameters": {algorithm: {"smollm2-135m": INSIDE}}})
    lines = table(mine, config)
    assert {line["method"] for line in lines} == {"unedited", "memit", "light_memit", "memit_sqrt"}
    norms = {
        name: rows(mine.path(f"edits/smollm2-135m/worldfacts/{name}/trial1/iterations.parquet"))[0][
            "update_norm"
        ]
        for name in ("memit", "light_memit", "memit_sqrt")
    }
    assert norms["memit_sqrt"] > 1.05 * norms["memit"], "earlier layers get a larger share"
    assert norms["light_memit"] != norms["memit"]


def test_a_new_table_is_a_file_a_row_and_a_caption(again: Experiment, tmp_path: Path) -> None:
    (declared,), (row,), (caption,) = (blocks(language, "table") for language in ("python", "text", "yaml"))
    again.house = copy_workflow(tmp_path / "workflow")
    tables = again.house / "scripts/reedit/report/tables"
    (tables / "costs.py").write_text(declared)
    for path, place, added in [
        (
            tables / "catalog.py",
            "from reedit.report.tables.differences",
            "from reedit.report.tables.costs import COSTS\n",
        ),
        (tables / "catalog.py", "    (ELIGIBLE,", row),
        (again.house / "reports/templates/captions.yaml", "legend:\n", caption),
    ]:
        text = path.read_text()
        assert text.count(place) == 1
        path.write_text(text.replace(place, added + place))
    assert again.dry_run("tables").jobs["render_table"] == 1 + 13
    again.python = None  # one that has imported the library has the catalogue without it
    outcome = again.run("results/tables/costs.md")
    assert outcome.status == 0, outcome.output
    head, _, *lines = again.path("tables/costs.md").read_text().splitlines()[2:]
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["Model", "Algo", "Trial", "k", "ME-PPL"]
    assert len([line for line in lines if line.startswith("| ")]) == len(
        rows(again.path("summary/runs.parquet"))
    )
    assert r"after $k$ iterations" in again.path("tables/costs.tex").read_text()
    assert "me_ppl" in again.path("tables/costs.csv").read_text()
