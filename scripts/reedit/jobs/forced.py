"""What a call of the workflow was told to make afresh; its jobs know it from their environment."""

import os
import shutil
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any

from reedit.jobs.job import START

FORCED = "REEDIT_FORCED"  # rules and outputs, one a line; ALL
ALL = "*"


def tell_forced(asked: Any, environment: MutableMapping[str, str]) -> None:
    """Note what Snakemake's settings of the call, `asked`, force; a job's own call of it changes nothing."""
    targets = asked.targets if asked.forcetargets else ()
    forced = [ALL] if asked.forceall else sorted(map(str, {*asked.forcerun, *targets}))
    environment.setdefault(FORCED, "\n".join(forced))


def is_forced(rule: str, outputs: Iterable[str]) -> bool:
    """Whether a job of `rule` with these `outputs` is to be made afresh."""
    return not {ALL, rule, *outputs}.isdisjoint(os.environ.get(FORCED, "").split("\n"))


def made_earlier(path: Path) -> bool:
    """Whether a file, or what is in a folder, is of an earlier call of the workflow than this one."""
    return path.exists() and path.stat().st_mtime < float(os.environ.get(START, "inf"))


def forget_if_forced(rule: str, outputs: Iterable[str], *places: Path | str) -> bool:
    """Remove what earlier calls left in `places`, if a job of `rule` with these `outputs` is forced.

    Whether it is. What this call has left there stays: a job that failed is tried again from there.
    """
    forced = is_forced(rule, outputs)
    for place in map(Path, places):
        if forced and made_earlier(place):
            shutil.rmtree(place)
    return forced
