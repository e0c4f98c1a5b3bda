"""What the check finds: said at once, and kept line by line in report.json."""

import json
import math
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu.clock import Clock, OutOfTime
from reedit.jobs.memory import without_frames
from reedit.storage.files import atomic

Line = dict[str, Any]


@dataclass
class Report:
    """Everything found so far; `folder` has report.json, which is whole after every line."""

    folder: Path
    clock: Clock
    stage: str = ""  # the one at work
    lines: list[Line] = field(default_factory=list)

    def environment(self, **values: Any) -> None:
        """What all of this was found on."""
        self._add("environment", values)

    def measured(self, what: str, value: Any, unit: str = "", plan: float | None = None, **more: Any) -> None:
        """A number; beside it, where `make plan` assumes one, that; `more` is kept in report.json."""
        assumed = {} if plan is None else {"plan": plan}
        self._add("measured", {"what": what, "value": value, "unit": unit} | assumed | more)

    def verdict(self, what: str, found: float, limit: float, **more: Any) -> None:
        """Whether `found` is at most `limit`; what is no number is not."""
        self._add("verdict", {"what": what, "found": found, "limit": limit, "holds": found <= limit} | more)

    def expect(self, what: str, holds: bool, **more: Any) -> None:
        """A verdict on what is so or not."""
        self._add("verdict", {"what": what, "holds": bool(holds)} | more)

    def left_out(self, what: str, why: str) -> None:
        self._add("left out", {"what": what, "why": why})

    def failed(self, what: str, error: Exception) -> None:
        """An error, in one line and with the places that it came through; nothing of it stays alive."""
        if isinstance(error, OutOfTime):
            self.left_out(f"{what}, the rest of it", str(error))
            return
        places = [f"{Path(at.filename).name}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__)]
        text = f"{type(without_frames(error)).__name__}: {error}".splitlines()[0][:300]
        self._add("error", {"what": what, "error": text, "at": places[-4:]})

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """An error in the block is reported and ends the block alone, but for the end of all minutes."""
        try:
            yield
        except OutOfTime:
            raise
        except Exception as error:
            self.failed(what, error)

    @property
    def bad(self) -> list[Line]:
        """Errors, and verdicts that do not hold."""
        return [line for line in self.lines if line["kind"] == "error" or not line.get("holds", True)]

    def of(self, kind: str) -> list[Line]:
        return [line for line in self.lines if line["kind"] == kind]

    def _add(self, kind: str, values: Line) -> None:
        line = {"stage": self.stage, "seconds": round(self.clock.spent(), 1), "kind": kind} | values
        self.lines.append({name: _plain(value) for name, value in line.items()})
        print(spoken(self.lines[-1]), flush=True)
        with atomic(self.folder / "report.json") as temporary:
            temporary.write_text(_as_json(self.lines), encoding="utf-8")


def _as_json(lines: Iterable[Line]) -> str:
    """A JSON list, each of its objects on a line."""
    return "[\n" + ",\n".join(json.dumps(line, allow_nan=False) for line in lines) + "\n]\n"


def _plain(value: Any) -> Any:
    """What JSON can say: of a number that is not finite, its name."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def number(value: Any) -> str:
    """Three digits that count, and no more."""
    if isinstance(value, bool) or not isinstance(value, float):
        return "yes" if value is True else "no" if value is False else str(value)
    return f"{value:.2e}" if value and not 1e-3 <= abs(value) < 1e5 else f"{value:.3g}"


def spoken(line: Line) -> str:
    """A line of the report as the terminal shows it."""
    head, what = f"[{line['seconds']:6.1f} s] {line['stage']}: ", line.get("what", "")
    match line["kind"]:
        case "verdict" if "limit" in line:
            said = f"{what}: {number(line['found'])}, at most {number(line['limit'])} allowed"
            return head + ("holds: " if line["holds"] else "DOES NOT HOLD: ") + said
        case "verdict":
            return head + ("holds: " if line["holds"] else "DOES NOT HOLD: ") + what
        case "measured":
            plan = f" (make plan: {number(line['plan'])})" if "plan" in line else ""
            return f"{head}{what}: {number(line['value'])} {line['unit']}".rstrip() + plan
        case "error":
            return f"{head}ERROR: {what}: {line['error']} ({' '.join(line['at'])})"
        case "left out":
            return f"{head}left out: {what}: {line['why']}"
    shown = {name: value for name, value in line.items() if name not in ("stage", "seconds", "kind")}
    return head + ", ".join(f"{name} {value}" for name, value in shown.items())
