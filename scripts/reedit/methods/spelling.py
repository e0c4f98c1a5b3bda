"""How EasyEdit spells the algorithms: its folders, functions, classes, and files of hyperparameters.

spelling("alphaedit").functions  # "AlphaEdit"
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spelling:
    """One algorithm's names in EasyEdit."""

    folder: str
    functions: str
    classes: str
    files: str  # alg_name


OTHERWISE: Mapping[str, Spelling] = {
    "alphaedit": Spelling("alphaedit", "AlphaEdit", "AlphaEdit", "AlphaEdit"),
    "memit_fe": Spelling("memit_FE", "memit_FE", "MEMITFE", "MEMIT-FE"),
    "r_rome": Spelling("r_rome", "r_rome", "R_ROME", "R-ROME"),
    "ft_m": Spelling("ft", "ft", "FT", "FT"),
    "ultraedit": Spelling("ultraedit", "ultraedit", "UltraEdit", "ULTRAEDIT"),
}


def spelling(algorithm: str) -> Spelling:
    """An algorithm's names: as it is, and in capitals, where EasyEdit has no others."""
    capitals = algorithm.upper()
    return OTHERWISE.get(algorithm, Spelling(algorithm, algorithm, capitals, capitals))


def spells(algorithm: str, written: str) -> bool:
    """Whether an alg_name of a published file means the algorithm; MEMIT_RECURSIVE is MEMIT's."""
    plain, ours = _plain(written), _plain(spelling(algorithm).files)
    return plain == ours or f"{plain}_".startswith(f"{algorithm}_")


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
