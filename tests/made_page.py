"""A made-up experiment of any size as the workflow's files, and the page to explore it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from made_runs import ITERATION
from plotly.offline import get_plotlyjs
from workflow import REPOSITORY

from reedit.prepare.facts import read_facts
from reedit.prepare.groups import Item, write_groups
from reedit.report.page.data import LIMIT, Results, parts
from reedit.report.page.html import packed, render_page
from reedit.report.rows.cases import case_rows
from reedit.report.rows.runs import Row, RunKey, run_rows
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS

TEMPLATES = REPOSITORY / "reports/templates"
PAGE = [
    TEMPLATES / f"explore.{part}"
    for part in ("html.j2", "css", "data.js", "table.js", "curves.js", "measures.js", "cases.js", "page.js")
]
PROMPTS = (("efficacy", 1), ("generalization", 2), ("specificity", 10))
HOSTILE = '<img src=x onerror="document.title=1">\u2028</script><script>document.title=2</script>'
MADE_BY = {
    "model_revision": "sha256:0123456789abcdef",
    "edits": 3,
    "seed": 7,
    "corpus": "made up",
    "corpus_tokens": 1000,
    "texts": "made up",
    "prefix_templates": 5,
    "protocol": "corrected",
    "hyperparameters_hash": "fedcba9876543210",
    "packages": {"torch": "2.13.0"},
    "device": "cpu",
}
WORDS = (
    "Rome",
    "Paris",
    "the city of Berlin",
    "Oslo",
    "a small town",
    "Lisbon",
    "Cairo",
    "the north",
    "Quito",
)


@dataclass
class MadeExperiment:
    """What rule render_page reads, and what it was made of."""

    folder: Path
    runs: list[Row] = field(default_factory=list)
    cases: list[pa.Table] = field(default_factory=list)
    scores: dict[RunKey, Path] = field(default_factory=dict)
    made_by: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, Path] = field(default_factory=dict)
    portability: dict[RunKey, Path] = field(default_factory=dict)
    generations: dict[RunKey, Path] = field(default_factory=dict)
    norms: list[Row] = field(default_factory=list)

    def parts(self, labels: Mapping[str, str] | None = None, limit: int = LIMIT) -> dict[str, Any]:
        """The parts of the page as plain values."""
        facts = {"facts": self.folder / "facts.parquet"}
        cases = pa.concat_tables(self.cases)
        further = (self.groups, self.portability, self.generations, self.norms)
        results = Results(self.runs, cases, self.scores, facts, self.made_by, *further)
        return dict(parts(results, labels or {}, limit))

    def page(self, labels: Mapping[str, str] | None = None) -> Path:
        """The page in its folder."""
        library = get_plotlyjs()
        texts = {name: packed(part) for name, part in self.parts(labels).items()}
        texts["plotly"] = packed(library)
        path = self.folder / "explore.html"
        path.write_text(render_page(PAGE, {"title": "Edits, case by case"}, texts, library), encoding="utf-8")
        return path


def made_experiment(
    folder: Path,
    methods: Mapping[str, Sequence[float]],
    cases: int = 3,
    trials: int = 1,
    protocol: str = "corrected",
    unscored: Sequence[int] = (),
    subjects: Sequence[str] = (),
) -> MadeExperiment:
    """Methods with their delta_p for k = 1, ...; `unscored` names k whose weights were not kept.

    The first subjects are `subjects`. The first case has a broken neighbor (prompt 3) from k = 1 on, and its
    edit fails at k = 1 alone.
    """
    made = MadeExperiment(folder)
    rng = np.random.default_rng(0)
    names = [*subjects, *(f"Subject {case}" for case in range(len(subjects), cases))]
    parquet.write(
        [_fact(case, name) for case, name in enumerate(names)], folder / "facts.parquet", "facts", {}
    )
    for number, (method, delta_p) in enumerate(methods.items()):
        for trial in range(1, trials + 1):
            key = ("tiny", "facts", method, trial)
            made_by = MADE_BY | {"protocol": protocol, "edits": cases}
            made.made_by["tiny/facts/{}/trial{}".format(*key[2:])] = made_by
            ks = range(len(delta_p) + 1)
            place = folder / method / str(trial)
            files = [place / f"{name}.parquet" for name in ("scores", "collapse", "iterations", "targets")]
            scores = pa.concat_tables([_scores(k, names, rng) for k in ks if k not in unscored])
            parquet.write_table(scores, files[0], "scores", {})
            text = {"text": "t", "after": None}
            texts = [text | {"k": k, "ppl": 30.0 + k, "ppl_released": 29.0 + k} for k in ks]
            parquet.write(texts, files[1], "collapse", {})
            iterations = [
                ITERATION | {"k": k, "delta_p": value, "ppl_edited": 1.02 + value, "ppl_initial": 4e4 / k}
                for k, value in enumerate(delta_p, start=1)
            ]
            parquet.write(iterations, files[2], "iterations", {})
            parquet.write_table(_targets(len(delta_p), cases, rng), files[3], "targets", {})
            identity = {
                "entry": 0,
                "model": "tiny",
                "dataset": "facts",
                "format": "counterfact",
                "method": method,
                "algorithm": method.split("_")[-1],
                "assisted": number > 0,
                "prefixed": False,
                "protocol": protocol,
                "trial": trial,
            }
            made.runs += run_rows(identity, *files[:3], cases)
            made.cases.append(case_rows(identity, files[0], files[3]))
            made.scores[key] = files[0]
    return made


def _fact(case: int, subject: str) -> dict[str, Any]:
    neighbor = {"subject": None, "prompt": f"Neighbor 0 of case {case} lies in", "object": "Rome"}
    return {
        "case_id": 100 + case,
        "relation": "P17",
        "subject": subject,
        "prompt": "{} lies in",
        "target_new": WORDS[case % len(WORDS)],
        "target_true": WORDS[(case + 1) % len(WORDS)],
        "paraphrases": [f"Where {subject} lies, number {n}:" for n in range(2)],
        "neighbors": [neighbor],
    }


def _scores(k: int, names: Sequence[str], rng: np.random.Generator) -> pa.Table:
    """One k of a run's scores: 13 prompts a case; edits come to hold, and neighbors break, as k grows."""
    metrics = [metric for metric, count in PROMPTS for _ in range(count)]
    prompts = [
        text
        for case, name in enumerate(names)
        for text in (
            f"{name} lies in",
            *(f"Where {name} lies, number {n}:" for n in range(2)),
            *(f"Neighbor {n} of case {case} lies in" for n in range(10)),
        )
    ]
    size = len(prompts)
    neighbor = np.tile([metric == "specificity" for metric in metrics], len(names))
    right = np.where(neighbor, rng.random(size) > 0.03 * k, rng.random(size) < 1 - 0.5**k)
    if k > 0:
        right[0], right[3] = k > 1, False
    logp_old = -2 - rng.random(size)
    logp_new = logp_old + np.where(right ^ neighbor, 1, -1) * rng.random(size)
    success = np.where(neighbor, logp_old > logp_new, logp_new > logp_old)
    said = rng.integers(0, len(WORDS), size)
    values = {
        "k": np.full(size, k),
        "case_id": np.repeat(100 + np.arange(len(names)), len(metrics)),
        "metric": metrics * len(names),
        "prompt": prompts,
        "accuracy": np.where(right, 1.0, rng.integers(0, 2, size) / 2),
        "success": success.astype(float),
        "exact_match": right.astype(float),
        "logp_new": logp_new,
        "logp_true": logp_old,
        "predicted": [WORDS[word] for word in said],
        "after": [None] * size,
    }
    return pa.table(values).cast(SCHEMAS["scores"])


def _targets(last: int, cases: int, rng: np.random.Generator) -> pa.Table:
    size = last * cases
    values: dict[str, Any] = {name: np.ones(size) for name in SCHEMAS["targets"].names}
    values |= {
        "k": np.repeat(np.arange(1, last + 1), cases),
        "case_id": np.tile(100 + np.arange(cases), last),
    }
    values |= {"ppl_target": 1 + 0.1 * rng.random(size), "ppl_edited": np.exp(3 * rng.random(size))}
    return pa.table(values).select(SCHEMAS["targets"].names).cast(SCHEMAS["targets"])


def with_further(made: MadeExperiment) -> MadeExperiment:
    """The same with groups of prompts, what each model says itself, and norms of the weights.

    The edited models give every answer of "one_hop", the unedited one those of "kept" alone, of which
    it knows the first case's.
    """
    facts = read_facts(made.folder / "facts.parquet")
    items = [
        Item(
            fact.case_id,
            group,
            number,
            f"{HOSTILE if number else group} of {fact.subject} is",
            ("Rome", "Roma"),
        )
        for fact in facts
        for group, count in (("one_hop", 2), ("kept", 1))
        for number in range(count)
    ]
    made.groups["facts"] = made.folder / "groups.parquet"
    write_groups(items, made.groups["facts"], {})
    for key, path in made.scores.items():
        scores = parquet.read(path, "scores")
        ks = sorted({row["k"] for row in scores})
        said = [
            {
                "answer": "Rome",
                "generated": f"{row['predicted']} at {row['k']}.",
                "exact": 0.0,
                "contains": 1.0,
            }
            | {name: row[name] for name in ("k", "case_id", "metric", "prompt", "after")}
            | {"judged_true": float(row["k"] > 0)}
            for row in scores
        ]
        asked = [
            {"k": k, "case_id": item.case_id, "group": item.group, "item": item.item, "after": None}
            | {"accuracy": 0.5 * (k > 0), "exact_match": 0.0, "generated": f"Itself {k}: {item.group}."}
            | {"judged_true": float((item.group == "kept") != (k > 0))}
            | {"premise_known": item.case_id == 100 if k == 0 and item.group == "kept" else None}
            for k in ks
            for item in items
        ]
        made.generations[key] = path.with_name("generations.parquet")
        made.portability[key] = path.with_name("portability.parquet")
        parquet.write(said, made.generations[key], "generations", {})
        parquet.write(asked, made.portability[key], "portability", {})
        identity = {"model": key[0], "dataset": key[1], "method": key[2]}
        norms = {"update_norm": 2.0, "growth": 1.01, "condition_growth": 1.5, "residual_after": 0.25}
        made.norms += [identity | {"k": k} | norms for k in ks if k > 0]
    return made
