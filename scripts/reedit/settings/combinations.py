"""Which settings of a method cannot stand together, or not with those of the entry that names it."""

from collections.abc import Iterator

from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS, Algorithm
from reedit.methods.recipe import OF_TARGETS
from reedit.settings.runs import Entry, Method

# algorithms that the engine easyedit runs
OF_EASYEDIT = ("rome", "memit", "pmet", "alphaedit", "emmet", "memit_fe")


def check_method(method: Method, entry: Entry) -> None:
    """Raise InputError for a method that this entry cannot have."""
    algorithm = ALGORITHMS[method.algorithm]
    for wrong in (
        _holding(method, algorithm),
        _targets(method, entry, algorithm),
        _speed(method, entry),
        _sequential(method, algorithm),
        _engine(method),
        _regularised(method, entry),
    ):
        if told := next(wrong, None):
            raise InputError(f"config: {told}")


def _holding(method: Method, algorithm: Algorithm) -> Iterator[str]:
    """Of targets that are held on to, instead of being found anew in each iteration."""
    held, where = _held(method), f"methods.{method.name}"
    if len(held) > 1:
        yield f"{where}: leaves: not with spread_only, which optimises nothing after k = 1"
    if held and not algorithm.can_hold:
        why = "edits one by one" if algorithm.one_by_one else "has a target a layer"
        why = why if algorithm.finds_targets else "finds no targets"
        yield f"{where}: {held[0]}: not with {method.algorithm}, which {why}"


def _targets(method: Method, entry: Entry, algorithm: Algorithm) -> Iterator[str]:
    """Of what acts on targets, for an algorithm that finds none."""
    asked = {"neighbors": method.neighbors, "protects": method.protects not in (None, "none")}
    asked["regularisers"] = bool(_of_targets(method))
    asked["speed: fast"] = entry.speed != "exact"
    wrong = [name for name, given in asked.items() if given]
    if wrong and not algorithm.finds_targets:
        told = "which reads the cases' own prompts alone, and finds no targets"
        yield f"methods.{method.name}: {wrong[0]}: not with {method.algorithm}, {told}"


def _speed(method: Method, entry: Entry) -> Iterator[str]:
    """Of the descent that is ours alone."""
    if entry.speed != "exact":
        told = f"runs[{entry.index}].speed: {entry.speed}: not with {method.name}"
        if method.engine.name != "reedit":
            yield f"{told}, which edits by {method.engine.name}"
        if (method.protocol or entry.protocol) == "released":
            yield f"{told} under released, which is what the published code computes"


def _sequential(method: Method, algorithm: Algorithm) -> Iterator[str]:
    """Of batches, and of what later ones leave of earlier ones."""
    where = f"methods.{method.name}"
    if method.ideal_editor:
        keeps = ["protects"] * ((method.protects or algorithm.protects) != "none") + _held(method)
        keeps += ["more than one stage"] * (len(algorithm.stages((0, 1))) > 1)
        if keeps:
            told = "which has every batch edited at the unedited weights"
            yield f"{where}: {keeps[0]}: not with ideal_editor, {told}"
    if method.checkpoints and not method.batch:
        yield f"{where}: checkpoints: expected batch as well, of which it is a number"
    if algorithm.solves == "refreshed" and method.protects not in (None, "all"):
        told = f"{method.protects}: not with {method.algorithm}, which leaves all earlier keys alone"
        yield f"{where}: protects: {told}"
    if method.protects not in (None, "none") and algorithm.one_by_one:
        yield f"{where}: protects: not with {method.algorithm}, which edits one by one"
    of_targets = _of_targets(method)
    if len(of_targets) > 1:
        yield f"{where}.regularisers: found {of_targets}, expected one of these at most"
    if of_targets and algorithm.one_by_one:
        why = "which edits one by one: it takes the first batch's targets for a measure"
        yield f"{where}.regularisers: {of_targets[0]}: not with {method.algorithm}, {why}"


def _engine(method: Method) -> Iterator[str]:
    """Of another engine than ours."""
    engine, where = method.engine.name, f"methods.{method.name}"
    if engine == "reedit":
        return
    if method.batch or method.protects or method.regularisers or method.ideal_editor or _held(method):
        told = "batch, protects, regularisers, ideal_editor, spread_only, leaves"
        yield f"{where}: {told}: not with engine {engine}"
    if method.algorithm not in OF_EASYEDIT:
        yield f"{where}.engine: {engine} is asked for {method.algorithm}, expected one of {OF_EASYEDIT}"


def _regularised(method: Method, entry: Entry) -> Iterator[str]:
    """Of a method that makes another's updates gentler."""
    if not method.regularises:
        return
    where = f"runs[{entry.index}]: {method.name} regularises"
    if method.regularises not in [other.name for other in entry.methods]:
        yield f"{where} {method.regularises}, expected that among its methods too"
    if entry.keep_weights != "all":
        yield (f"{where} the weights of every k; expected keep_weights: all, found {entry.keep_weights}")


def _held(method: Method) -> list[str]:
    return ["spread_only"] * method.spread_only + ["leaves"] * (method.leaves != "never")


def _of_targets(method: Method) -> list[str]:
    return [one.by for one in method.regularisers if one.by in OF_TARGETS]
