"""What is read off Snakemake's output: how far a call is, what runs, what failed, how long it still takes."""

from pathlib import Path

import pytest
from rich.console import Console

from reedit.watch.course import Course
from reedit.watch.view import Lines, passed, screen, spoken

HEAD = """\
Using workflow specific profile profiles/default for setting default command line arguments.
Building DAG of jobs...
Provided cores: 2
Job stats:
job             count
------------  -------
edit_facts          2
draw_figure         3
all                 1
total               6

Select jobs to execute...
Execute 1 jobs...
"""
STAMP = "[Sun Nov 29 14:02:59 2026]\n"
EDIT = """\
rule edit_facts:
    input: results/models/tiny
    output: results/edits/tiny/{run}/targets.parquet, results/edits/tiny/{run}/weights
    log: results/logs/edit_facts/tiny/{run}.log
    jobid: {number}
    wildcards: model=tiny, method={run}
    threads: 2
    resources: tmpdir=/tmp, gpu=1
"""
FIGURE = "rule draw_figure:\n    jobid: {number}\n    wildcards: figure=scores\n    resources: tmpdir=/tmp\n"


class Clock:
    """A clock that is put on by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def course(clock: Clock) -> Course:
    return read(Course(2, clock), HEAD)


def read(course: Course, text: str) -> Course:
    for line in text.splitlines(keepends=True):
        course.read(line)
    return course


def finish(course: Course, number: int, done: int) -> None:
    read(course, f"{STAMP}Finished jobid: {number} (Rule: x)\n{done} of 6 steps ({done / 6:.0%}) done\n")


def test_jobs_begin_speak_and_finish(course: Course) -> None:
    assert (course.total, course.done, dict(course.waiting)) == (
        6,
        0,
        dict(edit_facts=2, draw_figure=3, all=1),
    )
    read(course, STAMP + EDIT.format(run="memit", number=4) + STAMP + FIGURE.format(number=5))
    assert [job.name for job in course.running.values()] == ["edit_facts tiny memit", "draw_figure"]
    read(course, "[edit_facts tiny memit] k=1 OPTIMIZATION, passes: 3 of 9 (33 %), 12 s left\n")
    read(course, "[edit_facts tiny other] nobody that runs\n")
    assert course.running[4].said.startswith("k=1 OPTIMIZATION, passes: 3 of 9")
    assert course.running[5].said == ""
    finish(course, 4, 1)
    assert list(course.running) == [5] and course.done == 1
    assert dict(course.waiting) == {"edit_facts": 1, "draw_figure": 2, "all": 1}


def test_how_long_it_still_takes_is_learnt_from_the_jobs(course: Course, clock: Clock) -> None:
    guessed, known = course.seconds_left()
    assert guessed > 60 and not known
    read(course, EDIT.format(run="memit", number=4))
    clock.now = 10
    finish(course, 4, 1)
    read(course, FIGURE.format(number=5))
    clock.now = 14
    finish(course, 5, 2)  # four seconds on one core
    assert course.seconds_left() == (10 + 2 * 4 / 2 + 1, True)  # `all` is a guess of two seconds on one core
    read(course, EDIT.format(run="na_memit", number=6))
    read(course, "[edit_facts tiny na_memit] k=1 OPTIMIZATION, passes: 1 of 9 (11 %), 60 s left\n")
    clock.now = 19
    assert course.seconds_left() == (55 + 5, True)  # its own word, from when it was said


def test_failed_jobs_are_named_by_what_they_said_or_by_their_log(course: Course) -> None:
    log = Path("results/logs/make.log")
    read(course, EDIT.format(run="memit", number=4) + EDIT.format(run="rome", number=7))
    for number, run in ((4, "memit"), (7, "rome")):
        tail = f"    jobid: {number}\n    log: results/logs/edit_facts/tiny/{run}.log (check log file(s))\n"
        read(
            course,
            f"RuleException:\nCalledProcessError in file x, line 3:\n{STAMP}Error in rule edit_facts:\n"
            + tail,
        )
        read(course, "    shell:\n        python x\n")
    assert [job.name for job in course.failed] == ["edit_facts tiny memit", "edit_facts tiny rome"]
    assert not course.running
    said = ["[edit_facts tiny memit] error: a line of its own"]
    silent = f"[edit_facts tiny rome] failed: results/logs/edit_facts/tiny/rome.log or {log} says why"
    assert course.errors(said, log) == [*said, silent]


def test_where_no_job_failed_what_snakemake_said_is_the_error(clock: Clock) -> None:
    course = read(Course(2, clock), "Building DAG of jobs...\nMissingInputException in rule all in line 3:\n")
    read(course, "Missing input files for rule all:\n    affected files:\n        no/such/file\n")
    words = ["MissingInputException in rule all in line 3:", "Missing input files for rule all:"]
    words += ["    affected files:", "        no/such/file"]
    assert course.errors([], Path("log")) == words


def test_lines_come_now_and_then_and_say_what_is_at_work(
    course: Course, clock: Clock, capsys: pytest.CaptureFixture
) -> None:
    lines = Lines("make", 15.0)
    lines.show(course)
    assert capsys.readouterr().out == ""  # nothing runs yet
    read(course, EDIT.format(run="memit", number=4))
    read(course, "[edit_facts tiny memit] k=1 OPTIMIZATION, passes: 3 of 9 (33 %), 300 s left\n")
    for now in range(0, 3000):
        clock.now = now
        lines.show(course)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(
        "[make] 0 of 6 jobs done in 0:00, at least 6 min left; edit_facts tiny memit: k=1 "
    )
    assert 40 < len(said) < 80  # ever rarer
    read(
        course,
        "Error in rule edit_facts:\n    jobid: 4\n    log: results/logs/edit_facts/tiny/memit.log (x)\n",
    )
    lines.show(course)
    lines.show(course)
    failed = (
        "edit_facts tiny memit failed; the others that can go on do (results/logs/edit_facts/tiny/memit.log)"
    )
    assert capsys.readouterr().out == f"[make] {failed}\n"


def test_a_terminal_shows_every_job_that_runs_in_lines_that_fit(course: Course, clock: Clock) -> None:
    read(course, EDIT.format(run="memit", number=4) + FIGURE.format(number=5))
    read(course, f"[edit_facts tiny memit] k=1 [1/2] OPTIMIZATION, {'passes ' * 40}\n")
    clock.now = 65
    console = Console(width=80, force_terminal=True, color_system=None)
    with console.capture() as shown:
        console.print(screen(course))
    lines = shown.get().splitlines()
    assert len(lines) == 3 and max(map(len, lines)) <= 80
    assert lines[0].startswith("1:05 edit_facts tiny memit: k=1 [1/2] OPTIMIZATION") and "…" in lines[0]
    assert "draw_figure" in lines[1] and "0 of 6 jobs done in 1:05, at least" in lines[2]


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (59.7, "1 min"), (600, "10 min"), (7190, "2 h"), (5400, "90 min")]
)
def test_times_are_said_as_people_do(seconds: float, text: str) -> None:
    assert spoken(seconds) == text
    assert passed(65.9) == "1:05" and passed(3661) == "1:01:01"
