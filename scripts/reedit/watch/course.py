"""How far a call of Snakemake is: read off what it and its jobs say, line by line.

A logger plugin of Snakemake's is told the same events, but not what the jobs themselves say; and what it
would show, the jobs would write across.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

COUNT = re.compile(r"(\w+) +(\d+)")  # in the table of jobs to do
BEGUN = re.compile(r"(?:local)?(?:rule|checkpoint) (\w+):")
DETAIL = re.compile(r"    (jobid|log|threads): (\S+)")
FINISHED = re.compile(r"Finished jobid: (\d+)\b")
FAILED = re.compile(r"Error in rule (\w+):")
STEPS = re.compile(r"(\d+) of (\d+) steps \(\S+\) done")
SAID = re.compile(r"\[([\w-]+(?: [^\]]+)?)\] (.+)")  # by a job (jobs/job.py), whose log says its name
LEFT = re.compile(r"(\d+) s left$")  # by a job's progress (jobs/progress.py)

# What Snakemake says of every call, and between jobs.
ALWAYS = re.compile(
    r"Using (workflow specific profile|shell)|Assuming unrestricted|Building DAG|Provided (cores|resources)"
    r"|Rules claiming more|Conda environments|Select jobs|Execute \d+ jobs|host:"
    r"|\[\w{3} \w{3} [ \d]\d [\d:]{8} \d+\]$"
)

# Seconds of a job of the default experiment on two cores, by rule: a first guess, where no job of the rule
# has finished in this call. Jobs of these rules take all cores, others one.
USUAL = {"edit_facts": 80, "filter_neighbors": 25, "collect_moments": 15, "score_edits": 10}
OTHER = 2


@dataclass
class Job:
    """A job that has begun."""

    number: int
    rule: str
    began: float
    log: str = ""
    threads: int = 1
    said: str = ""  # its last line, and when it was said
    said_at: float = 0.0

    @property
    def name(self) -> str:
        """The rule and what the job is about, as its own lines have it."""
        place = self.log.rpartition("results/logs/")[2].removesuffix(".log")
        return place.replace("/", " ") or self.rule


class Course:
    """What a call has done, does and has to do; `read` every line of its output in turn."""

    def __init__(self, cores: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`cores`: how many the call may use."""
        self.cores, self.clock = cores, clock
        self.start = clock()
        self.done = self.total = 0
        self.status: int | None = None  # the call's exit status, once it has ended
        self.waiting: Counter[str] = Counter()  # jobs to do by rule, those that run left out
        self.running: dict[int, Job] = {}
        self.failed: list[Job] = []
        self.words: list[str] = []  # what else was said: all before the first job, and the last hundred lines
        self._seconds: dict[str, list[tuple[float, int]]] = {}  # of finished jobs by rule, and their threads
        self._block = ""  # what the lines that follow tell of: counts, begun or failed
        self._job = Job(-1, "", 0.0)

    def read(self, line: str) -> None:
        """Take note of one line of the output."""
        line = line.rstrip()
        if self._block == "counts":
            if found := COUNT.fullmatch(line):
                self._count(found[1], int(found[2]))
            self._block = self._block if line else ""
        elif line == "Job stats:":
            self._block = "counts"
        elif found := BEGUN.fullmatch(line):
            self._block, self._job = "begun", Job(-1, found[1], self.clock())
        elif found := FAILED.fullmatch(line):
            self._block, self._job = "failed", Job(-1, found[1], self.clock())
        elif self._block and line.startswith("    "):
            if found := DETAIL.match(line):
                self._detail(found[1], found[2])
        elif found := SAID.fullmatch(line):
            for job in self.running.values():
                if job.name == found[1]:
                    job.said, job.said_at = found[2], self.clock()
        else:
            self._block = ""
            if found := FINISHED.match(line):
                self._finish(int(found[1]))
            elif found := STEPS.fullmatch(line):
                self.done, self.total = map(int, found.groups())
            elif line and not ALWAYS.match(line):
                self.words.append(line)
                if self.done or self.running:
                    del self.words[:-100]

    def seconds_left(self) -> tuple[float, bool]:
        """How long the rest takes, in seconds; and whether each rule left has had a job that tells."""
        now, work, longest = self.clock(), 0.0, 0.0
        for rule, count in self.waiting.items():
            work += count * self._usual(rule) * self._share(rule)
        for job in self.running.values():
            own = LEFT.search(job.said)
            left = max(
                self._usual(job.rule) - (now - job.began),
                float(own[1]) - (now - job.said_at) if own else 0.0,
                0.0,
            )
            work += left * min(1.0, job.threads / self.cores)
            longest = max(longest, left)
        rules = set(self.waiting) | {job.rule for job in self.running.values()}
        return max(work, longest), all(rule in self._seconds or rule not in USUAL for rule in rules)

    def errors(self, said: Sequence[str], log: Path) -> list[str]:
        """What went wrong, `said` by the jobs themselves; the jobs that could say nothing, too.

        `log`: of the whole call. Where it failed for another reason, what Snakemake says of that.
        """
        lines, told = [*said], [line.partition("]")[0] for line in said]
        for job in self.failed:
            if f"[{job.name}" not in told:
                lines.append(f"[{job.name}] failed: {job.log or 'its log'} or {log} says why")
        return list(dict.fromkeys(lines)) or self.words

    def _count(self, rule: str, count: int) -> None:
        if rule == "total":
            self.total = count
        else:
            self.waiting[rule] = count

    def _detail(self, what: str, said: str) -> None:
        """A line under the head of a job that has begun or failed."""
        if what == "log":
            self._job.log = said.rstrip(",")
        elif what == "threads":
            self._job.threads = int(said)
        elif self._block == "begun":
            self._job.number = int(said)
            self.running[self._job.number] = self._job
            self.waiting -= Counter([self._job.rule])
        else:
            self._job = self.running.pop(int(said), self._job)
            self.failed.append(self._job)

    def _finish(self, number: int) -> None:
        if job := self.running.pop(number, None):
            self._seconds.setdefault(job.rule, []).append((self.clock() - job.began, job.threads))

    def _usual(self, rule: str) -> float:
        """Seconds that a job of a rule takes."""
        if known := self._seconds.get(rule):
            return sum(seconds for seconds, _ in known) / len(known)
        return USUAL.get(rule, OTHER)

    def _share(self, rule: str) -> float:
        """Which part of the cores a job of a rule takes."""
        if known := self._seconds.get(rule):
            return min(1.0, known[-1][1] / self.cores)
        return 1.0 if rule in USUAL else 1 / self.cores
