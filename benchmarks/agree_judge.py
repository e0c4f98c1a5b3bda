"""How far a language model that judges agrees with a person, beside aliases that judge.

    python benchmarks/agree_judge.py results/models/smollm2-135m

MODEL is a prepared model, or plugin:NAME (docs/extend.md). The answers are those of
resources/judged-answers.json, which SmolLM2 gave and a person judged, or --answers of your own: a JSON list
of objects with prompt, answers, said and right.
"""

import argparse
from pathlib import Path

import torch
from measuring import print_machine, print_table

from reedit.evaluate.judge import agreement, by_alias, load_judge
from reedit.jobs.device import job_device

HAND = Path(__file__).parents[1] / "resources/judged-answers.json"


def main() -> None:
    """Print the share of answers on which each judge agrees with the person."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("judge", metavar="MODEL")
    parser.add_argument("--answers", type=Path, default=HAND)
    chosen = parser.parse_args()
    one, _ = load_judge(chosen.judge, Path(chosen.judge), "float32")
    lines = []
    for name, judge in (("aliases", by_alias), (Path(chosen.judge).name, one)):
        found = agreement(judge, chosen.answers)
        lines.append([name, *(f"{found[part]:.3g}" for part in ("answers", "alike", "of right", "of wrong"))])
    print_table(["judge", "answers", "alike", "of those right", "of those wrong"], lines)
    print_machine(torch.device(job_device()), "float32")


if __name__ == "__main__":
    main()
