"""Judges that other packages bring, such as a service's: off unless `generation.judge` names one.

An installed package offers one by an entry point; the workflow itself brings none, and calls no service:

[project.entry-points."reedit.judges"]
my-service = "my_package:verdicts"  # [(prompt, answers, said), ...] to as many True, False, or None
"""

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from reedit.errors import InputError, nearest

GROUP = "reedit.judges"
PREFIX = "plugin:"
Told = tuple[str, tuple[str, ...], str]  # a prompt, what may be answered, what was said
Plugin = Callable[[Sequence[Told]], Sequence[bool | None]]


def plugin_of(judge: str | None) -> str | None:
    """The plugin that a value of `generation.judge` names; None for a model, or nothing."""
    return judge.removeprefix(PREFIX) if judge and judge.startswith(PREFIX) else None


def package_of(name: str, where: str) -> str:
    """The package that offers a judge, and its version: its verdicts depend on these. No code of it runs.

    Raises InputError, naming `where` it was asked for, where no installed package does, or several do.
    """
    return _package(_found(name, where))


def load_plugin(name: str) -> tuple[Plugin, dict[str, Any]]:
    """The judge, checked in what it returns, and what the provenance says of it.

    Raises InputError where there is none, or where it does not load; called, where it fails, or returns
    anything but as many verdicts.
    """
    where = f"{PREFIX}{name}"
    entry = _found(name, where)
    try:
        judge = entry.load()
    except Exception as error:  # whatever another's code raises
        raise InputError(f"{where}: {entry.value} does not load ({_said(error)})") from error

    def verdicts(told: Sequence[Told]) -> list[bool | None]:
        each = list(dict.fromkeys(told))  # what is equal is asked once
        try:
            found = list(judge(list(each)))
        except Exception as error:  # likewise
            raise InputError(f"{where}: it failed ({_said(error)})") from error
        if len(found) != len(each) or not all(one is None or type(one) is bool for one in found):
            raise InputError(f"{where}: expected a list of {len(each)} of True, False and None")
        verdict = dict(zip(each, found, strict=True))
        return [verdict[one] for one in told]

    return verdicts, {"plugin": name, "by": _package(entry)}


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _found(name: str, where: str) -> EntryPoint:
    known = entry_points(group=GROUP)
    found = known.select(name=name)
    if not found:
        told = nearest(name, sorted(known.names))
        raise InputError(f"{where}: no installed package offers the judge {name!r}{told}")
    if len(found) > 1:
        told = " and ".join(sorted(map(_package, found)))
        raise InputError(f"{where}: {told} both offer the judge {name!r}, expected one of them")
    return next(iter(found))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
