"""What is made again when a key changes: docs/running.md says it in a table, and Snakemake plans it so."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from workflow import REPOSITORY, Config, Experiment, changed

from reedit.storage.checksums import folder_sha256
from reedit.storage.files import file_sha256

TABLES = {"summarise_runs", "summarise_results", "render_table", "draw_figure"}
AFTER = {"score_edits", "check_collapse", "measure_norms"} | TABLES  # an edit
FAST = ("`report`: `labels`, `intervals`", "a hyperparameter of SPREAD alone (`mom2_update_weight`)")
TINY = "hyperparameters__memit__tiny__"
Change = Callable[[Config], Config]


def keys(**values: object) -> Change:
    return lambda config: changed(config, **values)


def runs(**values: object) -> Change:
    """The same keys in every entry of runs."""
    return lambda config: changed(config, runs=[entry | values for entry in config["runs"]])


def more_methods(name: str) -> Change:
    def change(config: Config) -> Config:
        first, *others = config["runs"]
        return changed(config, runs=[first | {"methods": [*first["methods"], name]}, *others])

    return change


def another_source(section: str, name: str) -> Change:
    """A source that is defined otherwise, its checksum told."""

    def change(config: Config) -> Config:
        source = config[section][name]["source"]
        path = Path(config["sources"][source]["path"])
        sha256 = folder_sha256(path) if path.is_dir() else file_sha256(path)
        return changed(config, **{f"sources__{source}__sha256": sha256})

    return change


CHANGES: dict[str, Change] = {
    "`iterations`, `extend_to`, `stop`": runs(iterations=4),
    "`keep_weights`": keys(keep_weights="last"),
    "`trials`": lambda config: changed(config, runs=[config["runs"][0], config["runs"][1] | {"trials": 3}]),
    "`edits`, `misaligned`, `first_token`, `eligible`, `apart`": runs(misaligned="drop"),
    "one more method, its definition": more_methods("nap_memit"),
    "one more layer, `samples` or `tokens` of a corpus": keys(corpora__lines__samples=30),
    "a hyperparameter of SPREAD alone (`mom2_update_weight`)": keys(**{f"{TINY}mom2_update_weight": 30}),
    "a hyperparameter of OPTIMIZATION (`v_lr`, `kl_factor`)": keys(**{f"{TINY}v_lr": 0.4}),
    "`batch`, `checkpoints`, `leaves`, `speed`, `nonfinite`": runs(nonfinite="stop"),
    "`protocol`, `subject_end`": runs(subject_end="published"),
    "`prefixes`": keys(models__tiny__prefixes__tokens=5),
    "`dtype`, `chat` of a model": keys(models__tiny__dtype="bfloat16"),
    "`processes` of a model": keys(models__tiny__processes=1),
    "a model's source": another_source("models", "tiny"),
    "a dataset's source": another_source("datasets", "facts"),
    "`separator`, `malformed` of a dataset": keys(datasets__facts__malformed="drop"),
    "`seed`": keys(seed=1),
    "`collapse`: `source`": keys(collapse__source="general-sentences"),
    "`report`: `labels`, `intervals`": keys(report__labels={"tiny": "Tiny (1M)"}, report__intervals=True),
    "`report`: `generation`": keys(report__generation=True),
    "`report`: `fluency`": keys(report__fluency=True),
    "`reported_as`": keys(
        models__tiny__reported_as="gpt2-xl",
        datasets__facts__reported_as="counterfact",
        methods__memit_released__reported_as="memit",
    ),
    "`export`, `tracing`, `tuning`, `rehearsal`, `shape`, `cases`": keys(
        export={"k": 1}, tracing__facts=9, tuning__facts=9, rehearsal__edits=9, datasets__facts__cases=12
    ),
}


def table() -> dict[str, set[str]]:
    """The rules that run again, by what has changed, as docs/running.md has them."""
    text = (REPOSITORY / "docs/running.md").read_text(encoding="utf-8")
    lines = re.search(r"^\| what changes \|.*\n\| --- .*\n((?:\|.*\n)+)", text, re.MULTILINE)[1].splitlines()
    found = {}
    for line in lines:
        key, jobs, _ = (cell.strip() for cell in line.strip("|").split(" | "))
        names = set(re.findall(r"`(\w+)`", jobs))
        found[key] = names | (AFTER if "all after" in jobs else set())
        if "tables" in names:
            found[key] |= TABLES
        found[key] -= {"tables"}
    return found


def test_every_row_of_the_table_is_held_by_a_change_here() -> None:
    assert list(table()) == list(CHANGES)


@pytest.mark.parametrize(
    "key", [key if key in FAST else pytest.param(key, marks=pytest.mark.long) for key in CHANGES]
)
def test_what_runs_again_is_what_the_table_says(key: str, finished: Experiment) -> None:
    outcome = finished.dry_run("tables", config=CHANGES[key](finished.config))
    assert outcome.status == 0, outcome.output
    assert set(outcome.jobs) - {"tables"} == table()[key]
