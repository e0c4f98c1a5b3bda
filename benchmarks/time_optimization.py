"""OPTIMIZATION: the published way, one edit at a time through all layers, against ours on the same edits.

    python benchmarks/time_optimization.py --edits 16 --passes 25 --dtype float32 bfloat16

In every round the published way (always fp32) takes a part of the edits and ours takes all of them at once,
so that a noisy machine hurts both alike and ours is measured at its full batch. Ends with status 1 where
targets in fp32 differ by more than 1e-4.
"""

import sys

import torch
from material import arguments, first_facts, load, make_edits, optimize_edits, read_settings
from measuring import chunks, print_machine, print_table, ratio, timed
from published import Found, compute_z
from torch import Tensor

from reedit.edit.found import Found as Ours

TOLERANCE = 1e-4  # of targets in fp32, relative
COLUMNS = ["way", "s", "s per edit", "ms per edit and pass", "published / ours (rounds)"]
AGREEMENT = [
    "ours in",
    "targets, max rel.",
    "deltas, max rel.",
    "deltas, min cosine",
    "norm of delta, max rel.",
]
AGREEMENT += ["ppl initial, max rel.", "ppl target, max rel.", "same steps"]


def largest(values: Tensor) -> str:
    return f"{float(values.max()):.1e}"


def compare(naive: list[Found], ours: Ours, dtype: str) -> tuple[list[str], float]:
    """A row of the table AGREEMENT, and the largest relative difference of targets."""
    hidden, delta = ours.hidden[:, 0].float(), ours.delta[:, 0].float()  # MEMIT has one vector, [m, d]
    hidden_0, delta_0 = torch.stack([f.hidden for f in naive]), torch.stack([f.delta for f in naive])
    target_0 = hidden_0 + delta_0
    targets = (hidden + delta - target_0).norm(dim=1) / target_0.norm(dim=1)
    norm = delta_0.norm(dim=1)
    deltas = (delta - delta_0).norm(dim=1) / norm
    row = [dtype, largest(targets), largest(deltas)]
    row.append(f"{float(torch.cosine_similarity(delta, delta_0).min()):.6f}")
    row.append(largest((delta.norm(dim=1) / norm - 1).abs()))
    for name in ("ppl_initial", "ppl_target"):
        found = torch.tensor(getattr(ours, name), dtype=torch.float64)
        expected = torch.tensor([getattr(f, name) for f in naive], dtype=torch.float64)
        row.append(largest((found / expected - 1).abs()))
    same = sum(steps == f.steps for steps, f in zip(ours.steps, naive, strict=True))
    return [*row, f"{same} of {len(naive)}"], float(targets.max())


def main() -> None:
    """Time both ways in alternation, compare what they found, print two tables."""
    parser = arguments(__doc__)
    parser.add_argument("--algorithm", default="memit")
    parser.add_argument("--edits", type=int, default=16)
    parser.add_argument("--passes", type=int, default=25, help="v_num_grad_steps")
    parser.add_argument("--assisting", type=int, default=0, help="neighbors in each edit's loss")
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=4)
    chosen = parser.parse_args()
    if chosen.algorithm != "memit":
        parser.error(f"--algorithm {chosen.algorithm}: only memit has its published way here")
    naive_model = load(chosen)
    models = {dtype: naive_model if dtype == "float32" else load(chosen, dtype) for dtype in chosen.dtype}
    device = naive_model.device
    settings = read_settings(chosen.passes)
    facts = first_facts(naive_model, chosen.edits)
    edits = make_edits(naive_model, facts, chosen.assisting)
    parts = chunks(range(len(edits)), chosen.rounds)

    def one_by_one(part: range) -> dict[int, Found]:
        return {i: compute_z(naive_model, facts[i], edits[i], settings) for i in part}

    for model in models.values():  # warm-up
        optimize_edits(model, edits[:2], settings | {"v_num_grad_steps": 2})
    compute_z(naive_model, facts[0], edits[0], settings | {"v_num_grad_steps": 2})
    by_edit: dict[int, Found] = {}
    naive_seconds: list[float] = []
    found: dict[str, Ours] = {}
    seconds: dict[str, list[float]] = {dtype: [] for dtype in models}
    for number, part in enumerate(parts):
        some, spent = timed(device, lambda part=part: one_by_one(part))
        by_edit |= some
        naive_seconds.append(spent)
        said = [f"published {spent / len(part):.2f} s per edit"]
        for dtype, model in models.items():
            found[dtype], spent = timed(device, lambda model=model: optimize_edits(model, edits, settings))
            seconds[dtype].append(spent * len(part) / len(edits))  # for as many edits as the published way
            said.append(f"ours {dtype} {spent / len(edits):.2f}")
        print(f"round {number + 1} of {len(parts)}: {', '.join(said)}", file=sys.stderr)
    naive = [by_edit[i] for i in range(len(edits))]
    passes = sum(f.steps + 1 for f in naive)
    rows = [["published, float32", *cells(sum(naive_seconds), len(edits), passes), ""]]
    for dtype in models:
        passes = sum(steps + 1 for steps in found[dtype].steps)
        gain = ratio(naive_seconds, seconds[dtype])
        rows.append([f"ours, {dtype}", *cells(sum(seconds[dtype]), len(edits), passes), gain])
    rewriting, total = len(edits[0].rewriting), len(edits[0].labelled)
    print(f"OPTIMIZATION of {len(edits)} edits, {chosen.passes} passes, {rewriting} rewriting rows,", end=" ")
    print(f"{total - rewriting} assisting, one KL row; layer {settings['layers'][-1]}.\n")
    print_table(COLUMNS, rows)
    compared = {dtype: compare(naive, ours, dtype) for dtype, ours in found.items()}
    print_table(AGREEMENT, [row for row, _ in compared.values()])
    print_machine(device, f"ours in {' and '.join(models)}")
    if "float32" in compared and not compared["float32"][1] <= TOLERANCE:
        sys.exit(f"targets in fp32 differ by {compared['float32'][1]:.1e}, more than {TOLERANCE:.0e}")


def cells(seconds: float, edits: int, passes: int) -> list[str]:
    """Seconds in all, per edit, and milliseconds per pass of one edit."""
    return [f"{seconds:.1f}", f"{seconds / edits:.3f}", f"{1000 * seconds / passes:.1f}"]


if __name__ == "__main__":
    main()
