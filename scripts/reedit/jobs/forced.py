"""What a call of the workflow was told to make afresh; its jobs know it from their environment."""

import os
import shutil
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any

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


def forget_if_forced(finished: Path, rule: str, outputs: Iterable[str]) -> None:
    """Remove what an earlier job left in `finished`, if one of `rule` with these `outputs` is forced."""
    if is_forced(rule, outputs):
        shutil.rmtree(finished, ignore_errors=True)
