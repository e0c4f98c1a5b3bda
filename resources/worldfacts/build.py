#!/usr/bin/env python3
"""Build the "world facts" dataset (CounterFact's schema) from hand-written relations.

Writes a JSON list, one case per line, from nothing but the YAML and the seed: the same
input gives the same bytes.

For every subject of a relation there is one case, with
  * a rewrite prompt, drawn among the relation's templates,
  * target_new, drawn among the relation's other objects,
  * two paraphrase prompts: the same subject in two other templates,
  * neighborhood prompts: other subjects with the same target_true, each used once before
    one is used twice, in turn with the relation's first NEIGHBOR_TEMPLATES templates;
  * where follows.yaml knows a second fact of target_new, what follows from the edit.

Usage: python build.py [--relations FILE] [--follows FILE] [--out FILE] [--seed 0]
"""

import argparse
import itertools
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import yaml

NEIGHBOR_TEMPLATES = 3
MAX_NEIGHBORS = 10
MIN_NEIGHBORS = 5


def check_relation(relation: dict[str, Any]) -> None:
    """Raise ValueError where a relation breaks the rules the dataset relies on."""
    name, prompts, objects = relation["id"], relation["prompts"], relation["objects"]
    if len(prompts) < 3 or len(set(prompts)) != len(prompts):
        raise ValueError(f"{name}: at least 3 distinct prompts are needed")
    if len(objects) < 2:
        raise ValueError(f"{name}: at least 2 objects are needed")
    for prompt in prompts:
        if prompt.count("{}") != 1 or prompt != prompt.strip():
            raise ValueError(f"{name}: bad template {prompt!r}")
    subjects = [subject for group in objects.values() for subject in group]
    if not all(isinstance(text, str) for text in [*objects, *subjects]):
        raise ValueError(f"{name}: every object and subject must be a string")
    for subject, prompt in itertools.product(subjects, prompts):
        text = prompt.format(subject)
        if text.count(subject) != 1:
            raise ValueError(f"{name}: {subject!r} is not unique in {text!r}")
        if any(target.lower() in text.lower() for target in objects):
            raise ValueError(f"{name}: an object occurs in {text!r}")


def neighbors(prompts: list[str], others: list[str], rng: random.Random) -> list[dict[str, str]]:
    """Up to MAX_NEIGHBORS distinct (subject, template) pairs about the other subjects."""
    order = rng.sample(others, len(others))
    usable = prompts[:NEIGHBOR_TEMPLATES]
    pairs = [
        {"subject": subject, "prompt": usable[(i + turn) % len(usable)]}
        for turn in range(len(usable))
        for i, subject in enumerate(order)
    ]
    return pairs[:MAX_NEIGHBORS]


def followed(case: dict[str, Any], hops: list[dict[str, Any]]) -> dict[str, Any]:
    """By group what follows from an edit, where a second fact tells target_new from target_true."""
    rewrite = case["requested_rewrite"]
    groups = {}
    for hop in hops:
        prompt = hop["prompts"].get(rewrite["relation_id"])
        of_country = {country: answer for answer, group in hop["answers"].items() for country in group}
        old, new = (of_country.get(rewrite[target]["str"]) for target in ("target_true", "target_new"))
        if None in (prompt, old, new) or old == new:
            continue
        answers = [new, *hop.get("aliases", {}).get(new, [])]
        premise = {"prompt": hop["premise"].format(rewrite["target_new"]["str"]), "answers": answers}
        groups[hop["group"]] = [
            {"prompt": prompt.format(rewrite["subject"]), "answers": answers, "premises": [premise]}
        ]
    return {"groups": groups} if groups else {}


def build_cases(
    relations: list[dict[str, Any]], hops: list[dict[str, Any]], seed: int
) -> list[dict[str, Any]]:
    """All cases of all relations, shuffled and numbered from 0."""
    rng = random.Random(seed)
    cases: list[dict[str, Any]] = []
    seen: set[str] = set()
    for relation in relations:
        check_relation(relation)
        prompts, objects = relation["prompts"], relation["objects"]
        for target_true, group in objects.items():
            for subject in group:
                if subject in seen:
                    raise ValueError(f"{relation['id']}: {subject!r} is a subject elsewhere too")
                seen.add(subject)
                rewrite, first, second = rng.sample(prompts, 3)
                target_new = rng.choice([obj for obj in objects if obj != target_true])
                near = neighbors(prompts, [s for s in group if s != subject], rng)
                if len(near) < MIN_NEIGHBORS:
                    raise ValueError(f"{relation['id']}: too few neighbours for {subject!r}")
                cases.append(
                    {
                        "requested_rewrite": {
                            "prompt": rewrite,
                            "relation_id": relation["id"],
                            "target_new": {"str": target_new},
                            "target_true": {"str": target_true},
                            "subject": subject,
                        },
                        "paraphrase_prompts": [first.format(subject), second.format(subject)],
                        "neighborhood_prompts": [n["prompt"].format(n["subject"]) for n in near],
                        "neighborhood_samples": near,
                    }
                )
    rng.shuffle(cases)
    return [{"case_id": number, **case, **followed(case, hops)} for number, case in enumerate(cases)]


def write_atomically(path: Path, text: str) -> None:
    """Write text to a temporary file beside path, then rename it into place."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)


def main(arguments: list[str]) -> None:
    """Read the command line, build the cases and write them."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Build worldfacts.json from relations.yaml.")
    parser.add_argument("--relations", type=Path, default=here / "relations.yaml")
    parser.add_argument("--follows", type=Path, default=here / "follows.yaml")
    parser.add_argument("--out", type=Path, default=here.parent / "worldfacts.json")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    relations, hops = (
        yaml.safe_load(path.read_text(encoding="utf-8")) for path in (args.relations, args.follows)
    )
    cases = build_cases(relations, hops, args.seed)
    lines = [json.dumps(case, ensure_ascii=False) for case in cases]
    write_atomically(args.out, "[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main(sys.argv[1:])
