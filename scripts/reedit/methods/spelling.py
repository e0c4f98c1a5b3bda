"""How EasyEdit spells the algorithms: its folders, functions, classes, and files of hyperparameters.

spelling("alphaedit").functions  # "AlphaEdit"
"""

from collections.abc import Mapping
from dataclasses import dataclass

from reedit.methods.algorithms import ALGORITHMS


@dataclass(frozen=True)
class Spelling:
    """One algorithm's names in EasyEdit."""

    folder: str
    functions: str
    classes: str
    files: str  # alg_name


# of algorithms that its engine is not asked for, its files' alone
FILES = {"r_rome": "R-ROME", "ft_m": "FT"}
OTHERWISE: Mapping[str, Spelling] = {
    "alphaedit": Spelling("alphaedit", "AlphaEdit", "AlphaEdit", "AlphaEdit"),
    "memit_fe": Spelling("memit_FE", "memit_FE", "MEMITFE", "MEMIT-FE"),
}


def spelling(algorithm: str) -> Spelling:
    """An algorithm's names: as it is, and in capitals, where EasyEdit has no others."""
    capitals = algorithm.upper()
    plain = Spelling(algorithm, algorithm, capitals, FILES.get(algorithm, capitals))
    return OTHERWISE.get(algorithm, plain)


def spells(algorithm: str, written: str) -> bool:
    """Whether an alg_name of a published file means the algorithm; MEMIT_RECURSIVE is MEMIT's."""
    named = {_plain(spelling(one).files): one for one in ALGORITHMS}
    plain = _plain(written)
    return named[plain] == algorithm if plain in named else f"{plain}_".startswith(f"{algorithm}_")


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
