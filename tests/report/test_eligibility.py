"""The filter run anew beside a published list of cases."""

import csv
import io

from printed_tables import printed

from reedit.prepare.facts import Fact
from reedit.report.rows.eligible import eligibility


def fact(case_id: int, subject: str) -> Fact:
    return Fact(case_id, "r", subject, "{} lies in", "Italy", "Japan", (), ())


def neighbors(case_id: int, kept: int) -> list[dict]:
    """Three neighbors of a case, so many of which pass the filter."""
    return [
        {"case_id": case_id, "neighbor": i, "subject": "s", "kept": i < kept, "order": i} for i in range(3)
    ]


def test_cases_are_counted_on_both_sides_whatever_their_numbers() -> None:
    pool = [fact(i, f"city {i}") for i in range(5)]
    filtered = [row for i, kept in enumerate([3, 2, 1, 0, 2]) for row in neighbors(i, kept)]  # 0, 1, 4 pass
    published = [fact(90, "city 0"), fact(91, "city 2"), fact(92, "elsewhere")]
    row = eligibility("small", pool, filtered, published)
    assert row == {
        "model": "small",
        "cases": 5,
        "eligible": 3,
        "published": 3,
        "both": 1,
        "only_anew": 2,
        "only_published": 1,
        "not_in_pool": 1,
    }
    (written,) = csv.DictReader(io.StringIO(printed("eligible", [row]).csv))
    assert written["only_anew"] == "2"
    markdown = printed("eligible", [row], labels={"small": "Small & co"}).md
    assert "| Small & co |" in markdown and "only anew" in markdown
    tex = printed("eligible", [row], labels={"small": "Small & co"}).tex
    assert r"Small \& co & 5 & 3 & 3 & 1 & 2 & 1 & 1 \\" in tex
