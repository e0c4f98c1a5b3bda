"""Where OPTIMIZATION's time goes: the operators with the largest self time, by torch.profiler.

python benchmarks/profile_optimization.py --edits 16 --passes 5
"""

from material import arguments, first_facts, load, make_edits, optimize_edits, read_settings
from measuring import print_machine, print_table, timed
from torch.profiler import ProfilerActivity, profile


def main() -> None:
    """Profile a few passes after a warm-up, print a table."""
    parser = arguments(__doc__)
    parser.add_argument("--edits", type=int, default=16)
    parser.add_argument("--passes", type=int, default=5, help="v_num_grad_steps")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--top", type=int, default=15)
    chosen = parser.parse_args()
    settings = read_settings(chosen.passes)
    model = load(chosen, chosen.dtype)
    edits = make_edits(model, first_facts(model, chosen.edits))
    optimize_edits(model, edits[:2], settings | {"v_num_grad_steps": 2})
    _, plain = timed(model.device, lambda: optimize_edits(model, edits, settings))
    cuda = model.device.type == "cuda"
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if cuda else [])
    with profile(activities=activities) as seen:
        _, profiled = timed(model.device, lambda: optimize_edits(model, edits, settings))
    time = "self_device_time_total" if cuda else "self_cpu_time_total"  # in microseconds
    events = sorted(seen.key_averages(), key=lambda event: -getattr(event, time))
    total = sum(getattr(event, time) for event in events)
    rows = [
        [f"`{e.key}`", e.count, f"{getattr(e, time) / 1000:.1f}", f"{100 * getattr(e, time) / total:.1f}"]
        for e in events[: chosen.top]
    ]
    print(f"OPTIMIZATION of {len(edits)} edits, {chosen.passes} passes: {plain:.2f} s,", end=" ")
    print(f"{profiled:.2f} s under the profiler; self time on {'the GPU' if cuda else 'the CPU'}.\n")
    print_table(["operator", "calls", "self, ms", "percent"], rows)
    print_machine(model.device, chosen.dtype)


if __name__ == "__main__":
    main()
