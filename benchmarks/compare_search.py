"""What tuning tries next: Optuna's sampler beside random draws and a plain grid, for as many attempts.

After `make`, on SmolLM2-135M and world facts: OPTIMIZATION alone, by how much of the box of NLL, size and
passes the attempts dominate; and SPREAD of saved targets, by the best mean of generalization and specificity
of those that reach an efficacy of 95 %. What was tried is kept in --out: the same command goes on.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from material import ALGORITHM, PROTOCOL, arguments, first_facts, load, make_edits

from reedit.evaluate.probes import make_probes
from reedit.methods.tunable import Range, tunable
from reedit.statistics.corpora import fetched_documents
from reedit.storage.files import write_text
from reedit.storage.provenance import digest
from reedit.tune.bench import Bench, Targets
from reedit.tune.factors import Factors
from reedit.tune.objective import Objective, means_of
from reedit.tune.search import distribution

LAMBDA = "mom2_update_weight"
LAYERS = [4, 5, 6, 7, 8]
WORST = {"nll": 3.0, "size": 10.0, "passes": 30.0}  # of the box, whose other end is nothing
OBJECTIVE = Objective({"efficacy": 95}, ["generalization", "specificity"])
Space = Mapping[str, Range | Sequence[Any]]
Told = Mapping[str, float]


def samplers(seed: int) -> dict[str, optuna.samplers.BaseSampler]:
    """What is compared; a grid's points are given to whatever sampler."""
    return {
        "Optuna (TPE)": optuna.samplers.TPESampler(seed=seed, n_startup_trials=6, multivariate=True),
        "random": optuna.samplers.RandomSampler(seed=seed),
        "grid": optuna.samplers.RandomSampler(seed=seed),
    }


def points(space: Space, parts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Those of a plain grid; `parts`: values of each key on it."""
    spaced = [_spaced(space[key], count) for key, count in parts.items()]
    return [dict(zip(parts, values, strict=True)) for values in product(*spaced)]


def _spaced(values: Range | Sequence[Any], count: int) -> list[Any]:
    """So many values in the middles of equal parts of a range, by the logarithm; of a list all."""
    if not isinstance(values, Range):
        return list(range(len(values)))
    middles = (np.arange(count) + 0.5) / count
    if values.step:
        steps = np.arange(values.low, values.high + 1, values.step)
        return [int(steps[int(part * len(steps))]) for part in middles]
    low, high = np.log([values.low, values.high])
    return [float(np.exp(low + part * (high - low))) for part in middles]


def tried(
    space: Space,
    goals: Mapping[str, str],
    sampler: optuna.samplers.BaseSampler,
    given: Sequence[Mapping[str, Any]],
    attempts: int,
    evaluate: Callable[[Mapping[str, Any]], Told],
) -> list[Told]:
    """What so many attempts came to, those that are `given` first."""
    study = optuna.create_study(directions=list(goals.values()), sampler=sampler)
    for values in given:
        study.enqueue_trial(dict(values))
    found = []
    for _ in range(attempts):
        attempt = study.ask({key: distribution(values) for key, values in space.items()})
        told = evaluate(attempt.params)
        if "efficacy" in told:
            attempt.set_constraint("reach", OBJECTIVE.missing(told))
        study.tell(attempt, [told[goal] for goal in goals])
        found.append(told)
    return found


def dominated(found: Sequence[Told], seed: int = 0) -> float:
    """The share of the box, in per cent, that some attempt is better than in all goals."""
    points = np.random.default_rng(seed).uniform(size=(100_000, len(WORST)))
    scaled = np.array([[min(1.0, told[goal] / worst) for goal, worst in WORST.items()] for told in found])
    return 100 * float((points[:, None] >= scaled[None]).all(2).any(1).mean())


def best(found: Sequence[Told]) -> float:
    """The best mean of what is maximised, in per cent, of what reaches enough; 0 where nothing does."""
    reached, value = max(OBJECTIVE.rank(told) for told in found)
    return 100 * value if reached else 0.0


class Kept:
    """What was evaluated, on disk."""

    def __init__(self, path: Path) -> None:
        self.path, self.known = path, json.loads(path.read_text()) if path.exists() else {}

    def of(self, kind: str, params: Mapping[str, Any], make: Callable[[], Told]) -> Told:
        key = digest([kind, dict(params)])
        if key not in self.known:
            self.known[key] = make()
            write_text(self.path, json.dumps(self.known))
        return self.known[key]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("results/sources/wikipedia-sample"))
    parser.add_argument("--facts", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/compare-search"))
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    model, keys = load(chosen), tunable(ALGORITHM.name)
    facts = first_facts(model, chosen.facts)
    probes = make_probes(model, facts, {fact.case_id: fact.neighbors[:5] for fact in facts}, PROTOCOL)
    texts = fetched_documents(chosen.corpus, {"format": "wikipedia-dump", "samples": 106, "max_tokens": 256})
    factors = Factors(model, texts, 256, chosen.out)
    bench = Bench(model, ALGORITHM.name, PROTOCOL, make_edits(model, facts), probes, factors)
    kept, start = Kept(chosen.out / "tried.json"), {"layers": LAYERS, **keys.start}

    def optimized(params: Mapping[str, Any]) -> Told:
        return kept.of("optimization", params, lambda: bench.optimize({**start, **params}).told)

    def spread(targets: Sequence[Targets], params: Mapping[str, Any]) -> Told:
        values = {**start, LAMBDA: params[LAMBDA]}
        of = targets[params["targets"]]
        return kept.of("spread", params, lambda: means_of(bench.spread(values, of)))

    optimization: Space = {name: keys.ranges[name] for name in keys.optimization}
    targets = []
    for clamp in (0.6, 1.2, 2.4, 4.8):
        path = chosen.out / f"{clamp}.safetensors"
        if not path.exists():
            bench.optimize({**start, "clamp_norm_factor": clamp}).write(path)
        targets.append(Targets.read(path))
    spreading: Space = {"targets": targets, LAMBDA: keys.ranges[LAMBDA]}
    parts = [
        ("OPTIMIZATION", optimization, dict.fromkeys(WORST, "minimize"), dict.fromkeys(optimization, 2)),
        ("SPREAD", spreading, dict.fromkeys(OBJECTIVE.maximise, "maximize"), {"targets": 4, LAMBDA: 6}),
    ]
    print("| part | attempts | way | " + " | ".join(f"seed {n}" for n in range(chosen.seeds)) + " | mean |")
    print("| --- | ---: | --- |" + " ---: |" * (chosen.seeds + 1))
    for name, space, goals, grid in parts:
        evaluate = optimized if name == "OPTIMIZATION" else partial(spread, targets)
        attempts = int(np.prod(list(grid.values())))
        measure = dominated if name == "OPTIMIZATION" else best
        for way in samplers(0):
            given = points(space, grid) if way == "grid" else []
            found = [
                measure(tried(space, goals, samplers(seed)[way], given, attempts, evaluate))
                for seed in range(1 if way == "grid" else chosen.seeds)
            ]
            cells = [f"{value:.1f}" for value in found] + [""] * (chosen.seeds - len(found))
            line = [name, str(attempts), way, *cells, f"{np.mean(found):.1f}"]
            print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
