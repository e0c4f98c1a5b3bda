"""Edits whose numbers are not finite: named, and dropped or refused."""

import logging
from collections.abc import Iterable, Sequence

from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.errors import InputError


def told(edits: Sequence[Edit], lost: Sequence[int], where: str) -> str:
    """What is said of some lost ones of `edits`, told by their places."""
    names = ", ".join(str(edits[place].case_id) for place in lost[:5]) + ", ..." * (len(lost) > 5)
    return f"{where}: numbers that are not finite in {len(lost)} of {len(edits)} cases: {names}"


def lose(edits: Sequence[Edit], found: Found, lost: Iterable[int], where: str, nonfinite: str) -> Found:
    """`found` without some more edits; InputError where `nonfinite` is stop."""
    lost = list(lost)
    if lost:
        refuse(told(edits, lost, where), "go on without them", nonfinite)
    return found.losing(lost, where)


def refuse(said: str, instead: str, nonfinite: str) -> None:
    """InputError with what is `said` where `nonfinite` is stop, and what drop would do `instead`."""
    if nonfinite == "stop":
        raise InputError(f"{said}; nonfinite: drop would {instead}")


def tell_lost(edits: Sequence[Edit], found: Found) -> None:
    """A line for each place where edits were lost."""
    for where in dict.fromkeys(found.lost.values()):
        lost = sorted(place for place, told_where in found.lost.items() if told_where == where)
        logging.getLogger("reedit").warning("%s; dropped", told(edits, lost, where))
