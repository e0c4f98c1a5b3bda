"""Cost as work grows: seconds per edit of one iteration, and peak memory, from 4 to 64 edits.

    python benchmarks/time_growth.py --edits 4 8 16 32 64

Every size runs in a process of its own, one after another: a process' peak memory never falls again.
"""

import argparse
import json
import subprocess
import sys

import torch
from material import arguments, first_facts, iterate_edits, load, make_edits, read_settings, small_factors
from measuring import print_machine, print_table

from reedit.jobs.job import peak_memory_mb
from reedit.models.language_model import LanguageModel

COLUMNS = ["edits", "OPTIMIZATION, s per edit", "SPREAD, s per edit", "both, s per edit"]
COLUMNS += ["peak memory, MiB", "peak before, MiB"]


def measure(chosen: argparse.Namespace, count: int) -> dict[str, float]:
    """One iteration of `count` edits on unedited weights, in this process."""
    settings = read_settings(chosen.passes)
    model = load(chosen, chosen.dtype)
    edits = make_edits(model, first_facts(model, count))
    factors = small_factors(model, settings["layers"], chosen.documents)
    iterate_edits(model, edits[:1], factors, settings | {"v_num_grad_steps": 2})  # warm-up
    before = peak_memory(model)
    seconds = iterate_edits(model, edits, factors, settings)
    return seconds | {"before": before, "peak": peak_memory(model)}


def peak_memory(model: LanguageModel) -> float:
    """So far, in MiB: of the GPU where the model is there, else resident."""
    return torch.cuda.max_memory_allocated() / 1024**2 if model.device.type == "cuda" else peak_memory_mb()


def main() -> None:
    """Start a process for every size, print a table."""
    parser = arguments(__doc__)
    parser.add_argument("--edits", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--passes", type=int, default=5, help="v_num_grad_steps")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--documents", type=int, default=4, help="of about 250 tokens, for the moments")
    parser.add_argument("--here", type=int, metavar="EDITS", help="measure one size, print JSON (internal)")
    chosen = parser.parse_args()
    if chosen.here:
        print(json.dumps(measure(chosen, chosen.here)))
        return
    rows = []
    for count in chosen.edits:
        again = [sys.executable, __file__, *sys.argv[1:], "--here", str(count)]
        said = subprocess.run(again, check=True, stdout=subprocess.PIPE, text=True).stdout
        row = json.loads(said.splitlines()[-1])
        stages = [row["OPTIMIZATION"] / count, row["SPREAD"] / count]
        memory = [f"{row['peak']:.0f}", f"{row['before']:.0f}"]
        rows.append([count, *(f"{s:.3f}" for s in [*stages, sum(stages)]), *memory])
        print(f"{count} edits: {sum(stages):.3f} s per edit, peak {memory[0]} MiB", file=sys.stderr)
    print(f"One iteration, {chosen.passes} passes. Before: when model, edits and moments stand ready.\n")
    print_table(COLUMNS, rows)
    print_machine(load(chosen).device, chosen.dtype)


if __name__ == "__main__":
    main()
