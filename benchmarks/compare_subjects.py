"""Neighbor subjects of a published CounterFact file: those that templates tell against those that it gives.

    python benchmarks/compare_subjects.py random_subset_1.json > differences.tsv

Prints the counts, and every difference as a line: kind, relation, text, recovered, given (docs/subjects.md).
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from reedit.prepare.cases import read_cases
from reedit.prepare.counterfact import neighbor_subjects


def kind(recovered: str | None, given: str | None) -> str:
    """In what way two subjects of one text differ."""
    if recovered is None:
        return "no template fits"
    if recovered == given:
        return "the same"
    if given is None:
        return "none given"
    if given in recovered:
        return "given is a part of recovered"
    return "recovered is a part of given" if recovered in given else "given lies outside of recovered"


def main() -> None:
    """Read the file, print differences to stdout and counts to stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    counts: Counter[str] = Counter()
    for relation, text, recovered, given in neighbor_subjects(read_cases(parser.parse_args().path)):
        found = kind(recovered, given)
        counts[found] += 1
        if found not in ("the same", "no template fits"):
            print("\t".join([found, relation, text, recovered, given or ""]))
    for found, count in counts.most_common():
        print(f"{count:6d}  {found}", file=sys.stderr)


if __name__ == "__main__":
    main()
