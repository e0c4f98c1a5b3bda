"""SPREAD's share of an iteration: OPTIMIZATION, SPREAD, and the perplexities of what was written.

    python benchmarks/time_spread.py --edits 100

OPTIMIZATION's and SPREAD's seconds are the library's own, as in results/edits/{run}/iterations.parquet. The
passes are those of config.yaml by default: fewer make SPREAD's share larger.
"""

from material import arguments, first_facts, iterate_edits, load, make_edits, read_settings, small_factors
from measuring import print_machine, print_table, timed

from reedit.edit.spread.solve import factorise


def main() -> None:
    """One iteration on unedited weights, after a small one as a warm-up; print a table."""
    parser = arguments(__doc__)
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--passes", type=int, help="v_num_grad_steps")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--documents", type=int, default=16, help="of about 250 tokens, for the moments")
    chosen = parser.parse_args()
    settings = read_settings(chosen.passes)
    model = load(chosen, chosen.dtype)
    edits = make_edits(model, first_facts(model, chosen.edits))
    factors = small_factors(model, settings["layers"], chosen.documents)
    iterate_edits(model, edits[:2], factors, settings | {"v_num_grad_steps": 2})
    parts = iterate_edits(model, edits, factors, settings)
    total = sum(parts.values())
    rows = [[name, f"{s:.2f}", f"{100 * s / total:.1f}"] for name, s in {**parts, "iteration": total}.items()]
    moments = [factor @ factor.T for factor in factors.values()]
    _, once = timed(model.device, lambda: [factorise(moment, 0, 0) for moment in moments])
    rows.append(["C's factors, once a run", f"{once:.2f}", f"{100 * once / total:.1f}"])
    print(f"One iteration of {len(edits)} edits, {settings['v_num_grad_steps']} passes,", end=" ")
    print(f"layers {settings['layers']}.\n")
    print_table(["stage", "s", "percent of the iteration"], rows)
    print_machine(model.device, chosen.dtype)


if __name__ == "__main__":
    main()
