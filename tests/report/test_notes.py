"""Every table says what produced it."""

from typing import Any

from reedit.report.tables.notes import provenance_notes, unmet_note

RUN: dict[str, Any] = {
    "model_revision": "sha256:0123456789abcdef0123",
    "edits": 32,
    "seed": 7,
    "corpus": "wikipedia-sample",
    "corpus_tokens": 27136,
    "texts": "general-sentences",
    "prefix_templates": 5,
    "protocol": "corrected",
    "hyperparameters_hash": "fedcba9876543210",
    "packages": {"torch": "2.13.0", "transformers": "5.23.0", "numpy": "2.4.6"},
    "device": "cpu",
}
ENGINE = {"name": "easyedit", "path": "/somewhere/EasyEdit", "commit": "c0ffee"}


def test_notes_name_model_revision_facts_trials_seed_corpus_protocol_and_versions() -> None:
    text = " ".join(
        provenance_notes({"small/mine/memit/trial1": RUN, "small/mine/memit/trial2": RUN | {"trial": 2}})
    )
    for expected in (
        "Model small, revision sha256:0123456789ab.",
        "mine (32 edits in one batch)",
        "2 mutually exclusive trial(s)",
        "seed 7",
        "wikipedia-sample, 27,136 tokens",
        "Prefix templates: 5.",
        "ME-PPL: mean perplexity over the texts of general-sentences.",
        "Protocol: corrected",
        "fedcba9876543210",
        "torch 2.13.0",
        "transformers 5.23.0",
        "cpu",
    ):
        assert expected in text


def test_runs_that_differ_are_all_named_and_equal_ones_once() -> None:
    runs = {
        "small/mine/memit/trial1": RUN,
        "small/other/memit/trial1": RUN | {"edits": 8},
        "large/mine/memit_released/trial1": RUN | {"protocol": "released", "model_revision": "c" * 40},
    }
    text = " ".join(provenance_notes(runs))
    assert "Model small, revision sha256:0123456789ab." in text
    assert f"Model large, revision {'c' * 12}." in text
    assert "mine (32 edits in one batch), other (8 edits in one batch)" in text
    assert "Protocol: corrected, released" in text
    assert text.count("fedcba9876543210") == 1 and text.count("27,136") == 1


def test_a_model_whose_name_begins_anothers_is_not_taken_for_it() -> None:
    runs = {"small/d/m/trial1": RUN, "small-2/d/m/trial1": RUN | {"model_revision": "d" * 40}}
    text = " ".join(provenance_notes(runs))
    assert "Model small, revision sha256:0123456789ab." in text
    assert f"Model small-2, revision {'d' * 12}." in text


def test_no_run_is_said() -> None:
    assert provenance_notes({}) == ["No run."]


def test_methods_that_never_meet_the_rule_are_named_by_their_labels() -> None:
    (note,) = unmet_note([("small", "mine", "rome"), ("small", "mine", "na_memit")], {"small": "SmolLM2"})
    assert "ROME (SmolLM2, mine), NA_MEMIT (SmolLM2, mine)" in note
    assert unmet_note([], {}) == []


def test_notes_name_the_commit_of_another_engine_and_what_it_leaves_open() -> None:
    runs = {f"small/mine/memit_easyedit/trial{t}": RUN | {"engine": ENGINE} for t in (1, 2)}
    notes = provenance_notes({"small/mine/memit/trial1": RUN | {"engine": {"name": "reedit"}}} | runs)
    (told,) = [note for note in notes if "EasyEdit" in note]
    assert told.startswith("memit_easyedit was edited by EasyEdit (commit c0ffee), which does not tell Δp")


def test_a_method_whose_edits_leave_says_so_once() -> None:
    runs = {
        f"small/mine/{name}/trial{t}": RUN | {"leaves": how}
        for name, how in (("memit", "never"), ("memit_gap", "gap"))
        for t in (1, 2)
    }
    told = [note for note in provenance_notes(runs) if "OPTIMIZATION is of the others alone" in note]
    assert len(told) == 1 and told[0].startswith("memit_gap: ")


def test_cases_that_were_left_out_are_counted_by_why() -> None:
    runs = {"small/d/a/trial1": RUN | {"left_out": {"not readable": 1, "case": 5, "conflict": 2}}}
    told = "Left out of d before sampling: 1 not readable, 5 misaligned, 2 in conflict with another."
    assert told in provenance_notes(runs)


def test_what_judged_is_named() -> None:
    model = {"model": "grader", "revision": "c" * 40, "version": 1}
    plugin = {"plugin": "mine", "by": "my-judge 1.4"}
    runs = {"small/d/a/trial1": RUN | {"judge": model}, "small/d/b/trial1": RUN | {"judge": plugin}}
    told = f"judged by grader (revision {'c' * 12}, words 1), the plugin mine of my-judge 1.4 (docs"
    assert told in " ".join(provenance_notes(runs))
    assert "judged by" not in " ".join(provenance_notes({"small/d/a/trial1": RUN}))
