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


EASYEDIT: dict[str, Any] = {
    "case_id": 4,
    "prompt": "The mother tongue of Selma Lagerlöf is",
    "target_new": "Finnish",
    "subject": "Selma Lagerlöf",
    "ground_truth": "Swedish",
    "rephrase_prompt": "At home Selma Lagerlöf spoke",
    "locality_prompt": "Astrid Lindgren is a native speaker of",
    "locality_ground_truth": "Swedish",
}

QAEDIT: dict[str, Any] = {
    "id": 77,
    "source": "NQ",
    "prompt": "who painted the night watch?",
    "target": "Rembrandt",
    "subject": "the night watch",
    "rephrase": "Whose painting is the night watch?",
    "locality": [
        {"loc": "when did the great fire of london begin", "loc_ans": "1666"},
        {"loc": "who wrote faust", "loc_ans": "Goethe"},
    ],
}

RECENT: dict[str, Any] = {  # KnowEdit's wiki_recent
    "subject": "Leo Arons",
    "prompt": "The place of death of Leo Arons is",
    "target_new": "Berlin",
    "portability": {
        "Logical_Generalization": [
            {"prompt": "Is Leo Arons still alive?", "ground_truth": [["no"], ["false"]]}
        ],
        "Reasoning": [
            {
                "prompt": "The continent of Leo Arons's place of death is",
                "ground_truth": [["Europe", "the Old World"]],
            },
            {"prompt": "The mayor of Leo Arons's place of death is", "ground_truth": [["", " "]]},
        ],
    },
    "locality": {
        "Relation_Specificity": [
            {"prompt": "The father of Leo Arons is", "ground_truth": [["Albert Arons"]]}
        ],
    },
}

COUNTERFACTUAL: dict[str, Any] = {  # KnowEdit's wiki_counterfact
    "subject": "Frederic Piesch",
    "prompt": "The position held by Frederic Piesch is",
    "target_new": "archbishop of León",
    "ground_truth": "mayor of Vienna",
    "portability": {
        "Subject_Aliasing": [
            {"prompt": "The position held by Frederic of Pieschen is", "ground_truth": "archbishop of León"}
        ]
    },
    "locality": {
        "Forgetfulness": [{"prompt": ["Frederic Piesch was also"], "ground_truth": "mayor of Vienna"}]
    },
}

PORTABLE: dict[str, Any] = {  # KnowEdit's ZsRE
    "subject": "Epaspidoceras",
    "target_new": "Noctuidae",
    "prompt": "Which family does Epaspidoceras belong to?",
    "ground_truth": ["Aspidoceratidae"],
    "rephrase_prompt": "What family are Epaspidoceras?",
    "cond": "Geometridae >> Noctuidae || Which family does Epaspidoceras belong to?",
    "portability": {
        "Reasoning": [{"prompt": "What do people call that family?", "ground_truth": "owlet moths"}]
    },
    "locality": {},
}

WIKIBIO: dict[str, Any] = {
    "text": "This is a passage about john reynolds. Sir John was a physician.",
    "labels": "He was educated by his father.",
    "concept": "john reynolds",
    "locality": {
        "Relation_Specificity": [{"prompt": "john reynolds field of work", "ground_truth": ["medicine"]}]
    },
}

MQUAKE: dict[str, Any] = {
    "case_id": 9,
    "requested_rewrite": [
        {
            "prompt": "{} is associated with the sport of",
            "relation_id": "P641",
            "target_new": {"str": "cricket", "id": "Q5375"},
            "target_true": {"str": "football", "id": "Q2736"},
            "subject": "Dudley Town",
            "question": "Which sport is Dudley Town associated with?",
        },
        {
            "prompt": "{} was created in the country of",
            "relation_id": "P495",
            "target_new": {"str": "India", "id": "Q668"},
            "target_true": {"str": "England", "id": "Q21"},
            "subject": "cricket",
            "question": "Where was cricket created?",
        },
    ],
    "questions": [
        "What is the capital of the country where Dudley Town's sport was created?",
        "Which city is it?",
    ],
    "answer": "London",
    "answer_alias": ["Londinium"],
    "new_answer": "New Delhi",
    "new_answer_alias": ["Delhi"],
    "new_single_hops": [
        {
            "question": "Which sport is Dudley Town associated with?",
            "cloze": "Dudley Town is associated with the sport of",
            "answer": "cricket",
            "answer_alias": [],
        },
        {
            "question": "Where was cricket created?",
            "cloze": "cricket was created in the country of",
            "answer": "India",
            "answer_alias": [],
        },
        {
            "question": "What is the capital of India?",
            "cloze": "The capital of India is",
            "answer": "New Delhi",
            "answer_alias": ["Delhi"],
        },
    ],
}


def _query(prompt: str, value: str, *aliases: str) -> dict[str, Any]:
    """A query of RippleEdits; an empty value is a query without an answer."""
    answers = [{"value": value, "aliases": list(aliases)}] if value else []
    told = {
        "query_type": "regular",
        "subject_id": "Q1",
        "relation": "R",
        "target_ids": ["Q2"],
        "phrase": None,
    }
    return {"prompt": prompt, "answers": answers, **told}


RIPPLE: dict[str, Any] = {
    "example_type": "popular",
    "edit": {
        "prompt": "The name of the country of citizenship of Duke of York, the is Syria.",
        "subject_id": "Q1",
        "relation": "COUNTRY_OF_CITIZENSHIP",
        "target_id": "Q858",
        "original_fact": {
            "prompt": "The name of the country of citizenship of Duke of York, the is United States.",
            "subject_id": "Q1",
            "relation": "COUNTRY_OF_CITIZENSHIP",
            "target_id": "Q30",
        },
    },
    "Relation_Specifity": [
        {
            "test_queries": [_query("The name of the mother of Duke of York, the is", "Irmelin", "Irma")],
            "test_condition": "OR",
            "condition_queries": [
                _query("The name of the mother of Duke of York, the is", "Irmelin", "Irma")
            ],
        }
    ],
    "Logical_Generalization": [
        {"test_queries": [_query("Nobody knows", "")], "test_condition": "OR", "condition_queries": []}
    ],
    "Subject_Aliasing": [],
    "Compositionality_I": [
        {
            "test_queries": [_query("The capital of the country of Duke of York, the is", "Damascus")],
            "test_condition": "OR",
            "condition_queries": [_query("The name of the capital city of Syria is", "Damascus", "Dimashq")],
        }
    ],
    "Compositionality_II": [],
    "Forgetfulness": [],
}
