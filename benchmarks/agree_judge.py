"""How far a language model that judges agrees with a person, beside aliases that judge.

    python benchmarks/agree_judge.py results/models/smollm2-135m

MODEL is a prepared model. The answers are those of resources/judged-answers.json, which SmolLM2 gave and a
person judged, or --answers of your own: a JSON list of objects with prompt, answers, said and right.
"""

import argparse
from pathlib import Path

from measuring import print_machine, print_table

from reedit.evaluate.judge import agreement, by_alias, by_model
from reedit.models.language_model import LanguageModel

HAND = Path(__file__).parents[1] / "resources/judged-answers.json"


def main() -> None:
    """Print the share of answers on which each judge agrees with the person."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--answers", type=Path, default=HAND)
    chosen = parser.parse_args()
    model = LanguageModel.load(chosen.model)
    lines = []
    for name, judge in (("aliases", by_alias), (chosen.model.name, by_model(model))):
        found = agreement(judge, chosen.answers)
        lines.append([name, *(f"{found[part]:.3g}" for part in ("answers", "alike", "of right", "of wrong"))])
    print_table(["judge", "answers", "alike", "of those right", "of those wrong"], lines)
    print_machine(model.device, "float32")


if __name__ == "__main__":
    main()
