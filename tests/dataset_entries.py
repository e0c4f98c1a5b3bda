"""One entry of each form that a dataset comes in."""

from typing import Any

QUESTION: dict[str, Any] = {
    "subject": "Kyoto",
    "src": "Which country does Kyoto lie in?",
    "pred": "China",
    "rephrase": "Where is Kyoto?",
    "alt": "Peru",
    "answers": ["Japan", "the land of the rising sun"],
    "loc": "nq question: who wrote faust",
    "loc_ans": "Goethe",
    "cond": "China >> Peru || Which country does Kyoto lie in?",
}


RELEASED = {
    "case_id": 5,
    "prompt": "Porsche 911, created by",
    "subject": "Porsche 911",
    "target_new": "Honda",
    "ground_truth": "Porsche",
    "portability": {},
    "locality": {"neighborhood": {"prompt": ["The 911 GT1 is by"], "ground_truth": ["Porsche "]}},
    "rephrase_prompt": ["Porsche 911, developed by"],
    "neighborhood_samples": [{"subject": "Porsche RS", "prompt": "{} is produced by"}],
}


def without_samples(cases: list[dict]) -> list[dict]:
    return [{k: v for k, v in case.items() if k != "neighborhood_samples"} for case in cases]
