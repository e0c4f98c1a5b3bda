"""The one view of a call: redrawn in place in a terminal, now and then a line anywhere else."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reedit.watch.course import Course, Job

FIRST = 15.0  # seconds between two lines; a twentieth of what has passed, once that is more
JOBS = 8  # so many of those that run are shown


class View(Protocol):
    """Something that shows how far a call is; called several times a second."""

    def show(self, course: Course) -> None: ...


@contextmanager
def view(name: str, seconds: float = FIRST) -> Iterator[View]:
    """What suits standard output; `name` of what runs stands before each line."""
    if not sys.stdout.isatty():
        yield Lines(name, seconds)
        return
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Screen(name, live)


def passed(seconds: float) -> str:
    """A time that has passed, as a clock shows it."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def spoken(seconds: float) -> str:
    """A time that is not known well, as a person says it."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7170 else f"{seconds / 3600:.0f} h"


def headline(course: Course) -> str:
    """How many jobs are done, since when, and how long the others take."""
    done = f"{course.done} of {course.total} jobs done in {passed(course.clock() - course.start)}"
    left, known = course.seconds_left()
    return f"{done}, {'about' if known else 'at least'} {spoken(left)} left" if left >= 1 else done


class Lines:
    """A line when a while has passed, the longer the call the longer the while, and one for each failure."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seconds = name, seconds
        self.last, self.failed = -seconds, 0

    def show(self, course: Course) -> None:
        for job in course.failed[self.failed :]:
            self._say(failure(job))
        self.failed = len(course.failed)
        now = course.clock() - course.start
        if not course.running or now - self.last < max(self.seconds, now / 20):
            return
        self.last = now
        longest = min(course.running.values(), key=lambda job: job.began)
        self._say("; ".join([headline(course), ": ".join(filter(None, [longest.name, longest.said]))]))

    def _say(self, text: str) -> None:
        print(f"[{self.name}] {text}", flush=True)


class Screen:
    """Every job that runs with its last line, and a bar below them; failures stay above."""

    def __init__(self, name: str, live: Live) -> None:
        self.name, self.live, self.failed = name, live, 0

    def show(self, course: Course) -> None:
        for job in course.failed[self.failed :]:
            self.live.console.print(Text(f"[{self.name}] {failure(job)}", style="red"))
        self.failed = len(course.failed)
        self.live.update(screen(course), refresh=True)


def screen(course: Course) -> Group:
    """The view of a terminal."""
    jobs = Table.grid(padding=(0, 1), expand=True)
    jobs.add_column(justify="right", no_wrap=True)
    jobs.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    running = sorted(course.running.values(), key=lambda job: job.began)
    for job in running[:JOBS]:
        line = Text.assemble((job.name, "bold"), f": {job.said}" if job.said else "")
        jobs.add_row(passed(course.clock() - job.began), line)
    if len(running) > JOBS:
        jobs.add_row("", f"and {len(running) - JOBS} more")
    if not course.total:
        return Group(Text("Looking for what is to be done ..."))
    foot = Table.grid(padding=(0, 1))
    foot.add_column(no_wrap=True)
    foot.add_column(no_wrap=True, overflow="ellipsis")
    foot.add_row(ProgressBar(total=course.total, completed=course.done, width=24), headline(course))
    return Group(jobs, foot)


def failure(job: Job) -> str:
    """The line about a job that has failed."""
    return f"{job.name} failed; the others that can go on do" + (f" ({job.log})" if job.log else "")
