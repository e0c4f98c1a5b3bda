"""Less memory than a pass takes: halves have to do, and to find the same."""

import torch
from steps import found_of

from gpu.halvings import halvings
from gpu.material import GIB, SMALL, SUBJECTS, aligned, plain_edits, relative, tidy, world_facts
from gpu.report import Report
from reedit.edit.optimization.micro_batch import MicroBatch
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.use.costs import GB, Sizes, edit_cost

MEMIT = ALGORITHMS["memit"]
SAME = 1e-4  # deltas, relative: halves add in another order
AT_ONCE = MicroBatch(16384, 256)  # whatever is free


def shortage(report: Report, small: bool) -> None:
    """OPTIMIZATION on GPT-2 XL's shape, in sizes that do not ask what is free, with ever less of it."""
    subject = (SMALL if small else SUBJECTS)[0]
    settings = subject.settings("memit") | {"v_num_grad_steps": 3}
    total = torch.cuda.mem_get_info()[1]
    plan = edit_cost(subject.planned_shape(), Recipe(MEMIT, settings), Sizes(edits=48, templates=1)).gpu * GB
    if total < 1.2 * plan and not small:
        report.left_out("all of it", f"this GPU has {total / GIB:.1f} GiB")
        return
    model = subject.build()
    facts = aligned(model, world_facts())[: 6 if small else 48]
    edits = plain_edits(model, facts, ["The first thing. {}"])

    def deltas() -> torch.Tensor:
        return found_of(model, edits, Recipe(MEMIT, settings), AT_ONCE).delta.cpu()

    tidy()
    usual = deltas()
    base, peak = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    report.measured("memory of a pass over all at once", (peak - base) / GB, "GB")
    limits = {f"{share:.0%} of the peak": base + share * (peak - base) for share in (0.8, 0.6, 0.5)}
    if not small:
        limits["what make plan asks for"] = plan
    for name, limit in limits.items():
        tidy()
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total))
        try:
            with halvings() as halved, report.alone(f"with {name}"):
                report.verdict(f"with {name}: deltas", relative(deltas(), usual), SAME)
            report.measured(f"with {name}: halvings", len(halved))
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
