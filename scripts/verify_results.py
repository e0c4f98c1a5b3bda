"""Read all results again: python scripts/verify_results.py config.yaml experiments/paper.yaml --delete"""

import logging
import sys
from pathlib import Path

from reedit.errors import InputError
from reedit.jobs.job import command
from reedit.settings.overlays import read_experiment
from reedit.use.verification import Verification, at_work, closing_lines, is_temporary, remove

HOUSE = Path(__file__).resolve().parents[1]


def main(configurations: list[str], delete: bool) -> int:
    """Print a line for every fault and stray, and what repairs them; 1 if there was a fault."""
    if at_work(Path()):
        raise InputError(
            "verify: another run is at work in this folder; killed? .venv/bin/snakemake --unlock"
        )
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # progress
    verification = Verification(Path("results"), read_experiment(configurations, HOUSE))
    faults = []
    for fault in verification.faults():
        print(fault, flush=True)
        faults.append(fault)
    for stray in verification.strays:
        print(f"{stray}: {'left by an interrupted job' if is_temporary(stray) else 'belongs to no result'}")
    for path in remove(faults, verification.strays) if delete else []:
        print(f"{path}: deleted")
    overlays = [Path(path).stem for path in configurations[1:]]
    print("\n".join(closing_lines(verification, faults, overlays, delete)))
    return int(bool(faults))


if __name__ == "__main__":
    with command():
        sys.exit(main([one for one in sys.argv[1:] if one != "--delete"], "--delete" in sys.argv))
