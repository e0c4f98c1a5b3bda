"""report.md: what a person reads of a report, and attaches to an issue."""

from collections.abc import Sequence

from gpu.report import Line, Report, number


def page(report: Report) -> str:
    """The whole page, in Markdown."""
    verdicts = report.of("verdict")
    held = sum(line["holds"] for line in verdicts)
    counts = f"{held} of {len(verdicts)} verdicts hold, {len(report.of('error'))} errors,"
    counts += f" {len(report.of('left out'))} left out, {report.clock.spent() / 60:.1f} minutes."
    parts = [f"# GPU check: {device(report)}", counts]
    parts += section("What does not agree", table("stage | what | found | allowed", map(judged, report.bad)))
    for line in report.of("environment"):
        rows = [[name, value] for name, value in line.items() if name not in ("stage", "seconds", "kind")]
        parts += section("The machine", table("what | value", rows))
    good = [judged(line) for line in verdicts if line["holds"]]
    parts += section("What agrees", table("stage | what | found | allowed", good))
    planned = [line for line in report.of("measured") if "plan" in line]
    rows = [[*measurement(line), number(line["plan"])] for line in planned]
    parts += section("Beside what make plan assumes", table("stage | what | measured | unit | plan", rows))
    rows = [measurement(line) for line in report.of("measured") if "plan" not in line]
    parts += section("Measured", table("stage | what | value | unit", rows))
    rows = [[line["stage"], line["what"], line["why"]] for line in report.of("left out")]
    parts += section("Left out", table("stage | what | why", rows))
    return "\n\n".join(parts) + "\n"


def device(report: Report) -> str:
    return next((str(line["GPU"]) for line in report.of("environment")), "unknown")


def judged(line: Line) -> list[str]:
    """A row of a verdict, or of an error."""
    if line["kind"] == "error":
        return [line["stage"], line["what"], f"{line['error']} ({' '.join(line['at'])})", "no error"]
    found = number(line["found"]) if "limit" in line else number(line["holds"])
    return [line["stage"], line["what"], found, number(line["limit"]) if "limit" in line else "yes"]


def measurement(line: Line) -> list[str]:
    return [line["stage"], line["what"], number(line["value"]), line["unit"]]


def section(title: str, lines: str) -> list[str]:
    """A heading with what stands below it, nothing where that is nothing."""
    return [f"## {title}", lines] if lines else []


def table(head: str, rows: object) -> str:
    """Rows below `head`, whose columns are parted by " | "; nothing where there are none."""
    rows = [[cell_of(cell) for cell in row] for row in rows]
    if not rows:
        return ""
    columns: Sequence[str] = head.split(" | ")
    rule = " | ".join("---" for _ in columns)
    return "\n".join(f"| {line} |" for line in (head, rule, *(" | ".join(row) for row in rows)))


def cell_of(value: object) -> str:
    """Text that no sign of ends a cell."""
    return str(value).replace("|", "\\|").replace("\n", " ")
