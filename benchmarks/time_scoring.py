"""Scoring: one prompt and one target at a time against ours, on the same probes.

    python benchmarks/time_scoring.py --cases 100 --naive-cases 20

The naive way may read a sample of the cases; its time is then scaled by the number of prompts, and the table
says so. So that no score is trivial, every second case has its targets swapped (its target_new is the truth),
and the model that is scored has a random update. Ends with status 1 where a score differs, or a mean
log-probability by more than 1e-4.
"""

import sys
from dataclasses import replace

import torch
from material import arguments, first_facts, load, read_world_facts
from measuring import chunks, print_machine, print_table, ratio, timed
from published import score_probe

from reedit.evaluate.probes import make_probes
from reedit.evaluate.scored_rows import Probe
from reedit.evaluate.scoring import score
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact, Neighbor

TOLERANCE = 1e-4  # of mean log-probabilities
LAYER = 8  # where the random update goes


def with_neighbors(fact: Fact, facts: list[Fact], count: int) -> list[Neighbor]:
    """The neighbors of a case, filled up to `count` with other subjects' prompts of its relation."""
    others = (f for f in facts if f.relation == fact.relation and f.subject != fact.subject)
    more = [Neighbor.of(f.prompt, f.subject, f.target_true) for f in others]
    return [*fact.neighbors, *more][:count]


def swapped(fact: Fact) -> Fact:
    """The case that asks for the truth."""
    return replace(fact, target_new=fact.target_true, target_true=fact.target_new)


def nudge(model: LanguageModel, layer: int) -> None:
    """Add noise to a weight: a model that answers otherwise than the unedited one."""
    weight = model.weight(layer)
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)).to(weight.device)
    model.set_weight(layer, weight + 0.7 * weight.std() * noise)


def main() -> None:
    """Time both ways in alternation, compare every score of the sample, print a table."""
    parser = arguments(__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--naive-cases", type=int, default=20, help="cases that the naive way reads")
    parser.add_argument("--neighbors", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=4)
    chosen = parser.parse_args()
    model = load(chosen)
    facts, known = first_facts(model, chosen.cases), read_world_facts()
    facts = [swapped(fact) if i % 2 else fact for i, fact in enumerate(facts)]
    neighbors = {f.case_id: with_neighbors(f, known, chosen.neighbors) for f in facts}
    probes = make_probes(model, facts, neighbors, "corrected")
    nudge(model, LAYER)
    read = min(chosen.naive_cases, len(facts))
    sampled = {facts[i * len(facts) // read].case_id for i in range(read)}
    sample = [i for i, probe in enumerate(probes) if probe.case_id in sampled]
    parts = chunks(sample, chosen.rounds)

    def one_by_one(part: list[int]) -> dict[int, dict[str, float]]:
        return {i: score_probe(model, probes[i]) for i in part}

    score(model, probes[:20], 1)  # warm-up
    one_by_one(sample[:3])
    naive: dict[int, dict[str, float]] = {}
    naive_seconds, our_seconds, shares = [], [], []
    for number, part in enumerate(parts):
        some, spent = timed(model.device, lambda part=part: one_by_one(part))
        naive |= some
        ours, whole = timed(model.device, lambda: score(model, probes, 1))
        naive_seconds.append(spent)
        our_seconds.append(whole)
        shares.append(whole * len(part) / len(probes))  # for as many prompts as the naive way
        print(
            f"round {number + 1} of {len(parts)}: naive {1000 * spent / len(part):.1f} ms a prompt,",
            end=" ",
            file=sys.stderr,
        )
        print(f"ours {1000 * whole / len(probes):.1f}", file=sys.stderr)
    prompt = sum(naive_seconds) / len(sample)
    own = sum(our_seconds) / len(parts)
    columns = ["way", f"s for {len(facts)} cases", "ms per prompt", "naive / ours (rounds)"]
    scaled = "" if len(sample) == len(probes) else f", scaled from {len(sampled)} cases"
    naive_row = [
        f"one prompt and target at a time{scaled}",
        f"{prompt * len(probes):.1f}",
        f"{1000 * prompt:.1f}",
    ]
    rows = [
        [*naive_row, ""],
        ["ours", f"{own:.1f}", f"{1000 * own / len(probes):.1f}", ratio(naive_seconds, shares)],
    ]
    print(
        f"Scoring of {len(facts)} cases, {chosen.neighbors} neighbors each: {len(probes)} prompts,", end=" "
    )
    print("two targets each.\n")
    print_table(columns, rows)
    differing, gap = compare(probes, sample, naive, ours)
    print_machine(model.device, "float32")
    if differing or not gap <= TOLERANCE:
        sys.exit(f"{differing} scores differ, log-probabilities by up to {gap:.1e}")


def compare(
    probes: list[Probe], sample: list[int], naive: dict[int, dict[str, float]], ours: list[dict]
) -> tuple[int, float]:
    """Print how the two ways agree; the number of differing scores, the largest gap of log-probabilities."""
    rows, worst, unequal = [], 0.0, 0
    for metric in ("efficacy", "generalization", "specificity"):
        some = [i for i in sample if probes[i].metric == metric]
        differing = {
            name: sum(naive[i][name] != ours[i][name] for i in some) for name in ("accuracy", "success")
        }
        gap = max(abs(naive[i][name] - ours[i][name]) for i in some for name in ("logp_new", "logp_true"))
        mean = sum(naive[i]["accuracy"] for i in some) / len(some)
        rows.append([metric, len(some), f"{mean:.3f}", *differing.values(), f"{gap:.1e}"])
        worst, unequal = max(worst, gap), unequal + sum(differing.values())
    columns = [
        "metric",
        "prompts compared",
        "mean accuracy",
        "accuracies that differ",
        "successes that differ",
    ]
    print_table([*columns, "log-probability, max diff."], rows)
    return unequal, worst


if __name__ == "__main__":
    main()
