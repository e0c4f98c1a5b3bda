"""An experiment to its tables: python scripts/run_experiment.py CORES [OVERLAY.yaml ...] -- [ARGUMENT ...]"""

import signal
import sys

from reedit.jobs.job import command
from reedit.watch.experiment import run_experiment

if __name__ == "__main__":
    cores, *given = sys.argv[1:]
    middle = given.index("--") if "--" in given else len(given)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with command():
            sys.exit(run_experiment(given[:middle], cores, given[middle + 1 :]))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
