"""The typed view of the configuration: which runs it gives, and with which settings."""

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from configurations import SCHEMA, configuration, entry
from fake_easyedit import write_checkout

from reedit.edit.job.settings import EditSettings
from reedit.errors import InputError
from reedit.evaluate.settings import ScoreSettings
from reedit.jobs.params import plain
from reedit.prepare.settings import SplitSettings
from reedit.settings.experiment import REPORTED_MODELS, Experiment
from reedit.storage.provenance import digest


def experiment(house: Path = Path(), **changes: Any) -> Experiment:
    return Experiment(configuration() | changes, house)


def test_a_run_is_model_dataset_method_and_trial() -> None:
    made = experiment(runs=[entry(methods=["memit", "na_memit"], trials=2)])
    assert list(made.runs) == [
        f"small/mine/{method}/trial{trial}" for method in ("memit", "na_memit") for trial in (1, 2)
    ]


def test_entries_default_to_one_trial_no_rule_and_every_case() -> None:
    (made,) = experiment().entries
    assert (made.trials, made.stop, made.extend_to, made.eligible) == (1, "none", None, False)
    assert (made.protocol, made.keep_weights) == ("corrected", "all")


def test_two_entries_that_give_one_path_with_different_settings_are_refused_naming_both() -> None:
    runs = [entry(dataset="mine_eligible"), entry(), entry(iterations=3)]
    with pytest.raises(
        InputError, match=r"runs\[1\] and runs\[2\] both give results/edits/small/mine/memit/trial1"
    ):
        experiment(runs=runs)


@pytest.mark.parametrize(
    "change",
    [
        {"edits": 9}, {"trials": 2}, {"stop": "proposed"}, {"eligible": True}, {"extend_to": 4},
        {"protocol": "released"}, {"methods": ["memit", "na_memit"]}, {"keep_weights": "last"},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_of_an_entry_counts_as_a_difference(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"runs\[0\] and runs\[1\]"):
        experiment(runs=[entry(), entry(**change)])


def test_the_same_run_twice_is_one_run() -> None:
    made = experiment(runs=[entry(), entry(methods=["memit_released", "memit"])])
    assert sorted(made.runs) == ["small/mine/memit/trial1", "small/mine/memit_released/trial1"]


def test_definition_names_tell_runs_apart() -> None:
    made = experiment(runs=[entry(), entry(dataset="mine_eligible", iterations=5)])
    assert [run.entry.iterations for run in made.runs.values()] == [2, 5]


def test_the_protocol_is_the_methods_then_the_entrys_then_the_general_one() -> None:
    runs = [entry(methods=["memit", "memit_released"]), entry(dataset="mine_eligible", protocol="released")]
    protocols = {path: run.protocol for path, run in experiment(runs=runs).runs.items()}
    assert protocols == {
        "small/mine/memit/trial1": "corrected",
        "small/mine/memit_released/trial1": "released",
        "small/mine_eligible/memit/trial1": "released",
    }
    methods = configuration()["methods"] | {"memit": {"algorithm": "memit", "protocol": "corrected"}}
    made = experiment(protocol="released", methods=methods, runs=[entry(methods=["memit", "na_memit"])])
    assert [run.protocol for run in made.runs.values()] == ["corrected", "released"]
    for run in made.runs.values():
        assert made.edit_settings(run).protocol == made.score_settings(run).protocol == run.protocol


def test_a_dataset_overrides_whether_only_eligible_cases_count() -> None:
    datasets = configuration()["datasets"] | {
        "all": {"format": "counterfact", "source": "facts", "eligible": False}
    }
    runs = [entry(dataset="mine_eligible"), entry(dataset="all", eligible=True), entry(eligible=True)]
    assert [e.eligible for e in experiment(datasets=datasets, runs=runs).entries] == [True, False, True]


def test_a_prefix_source_ignores_count_tokens_and_seed() -> None:
    config = configuration()
    config["models"]["small"]["prefixes"]["source"] = "own-prefixes"  # as an overlay merges it
    made = Experiment(config, Path())
    assert made.prefixes("small") == {"source": "own-prefixes"}
    assert "own-prefixes" in made.used_sources


def test_prefixes_have_defaults_and_a_method_may_have_its_own() -> None:
    methods = configuration()["methods"]
    methods["memit"]["prefixes"] = {"count": 20}
    methods["na_memit"]["prefixes"] = {"source": "own-prefixes"}
    made = experiment(methods=methods, runs=[entry(methods=["memit", "na_memit", "na2_memit"])])
    assert made.prefixes("small") == {"count": 5, "tokens": 10, "seed": 0}
    assert made.prefixes("other") == {"count": 10, "tokens": 10, "seed": 0}
    assert made.prefixes("small/memit") == {"count": 20, "tokens": 10, "seed": 0}
    assert made.prefixes("small/na_memit") == {"source": "own-prefixes"}
    assert [run.prefixes for run in made.runs.values()] == ["small/memit", "small/na_memit", "small"]
    assert "own-prefixes" in made.used_sources
    assert made.owner_model("small/memit") == made.owner_model("small") == "small"


def test_only_the_sources_of_the_runs_are_used() -> None:
    assert sorted(experiment().used_sources) == ["facts", "lines", "texts", "weights"]


def test_hyperparameters_may_be_the_path_of_an_easyedit_file(tmp_path: Path) -> None:
    values = configuration()["hyperparameters"]["memit"]["small"] | {"layers": [7], "alg_name": "MEMIT"}
    (tmp_path / "memit.yaml").write_text(yaml.safe_dump(values))
    made = experiment(tmp_path, hyperparameters={"memit": {"small": "memit.yaml"}})
    (run,) = made.runs.values()
    assert made.hyperparameters(run)["layers"] == [7]
    assert made.edit_settings(run).hyperparameters == made.hyperparameters(run)
    with pytest.raises(InputError, match=r"nowhere\.yaml: no such file"):
        experiment(tmp_path, hyperparameters={"memit": {"small": "nowhere.yaml"}})


def test_a_method_may_change_hyperparameters_key_by_key() -> None:
    methods = configuration()["methods"]
    methods["memit_tight"] = {"algorithm": "memit", "hyperparameters": {"clamp_norm_factor": 0.75}}
    made = experiment(methods=methods, runs=[entry(methods=["memit", "memit_tight"])])
    usual, tight = (made.hyperparameters(run) for run in made.runs.values())
    assert tight == usual | {"clamp_norm_factor": 0.75} != usual
    methods["memit_tight"]["hyperparameters"] = {"clamp": 1}
    with pytest.raises(InputError, match=r"methods\.memit_tight.*unknown keys \['clamp'\]"):
        experiment(methods=methods, runs=[entry(methods=["memit_tight"])])


def test_a_dataset_of_several_sources_uses_them_all() -> None:
    datasets = {"mine": {"format": "zsre", "source": ["facts", "lines"]}}
    made = experiment(datasets=datasets, runs=[entry(edits="all", trials=2)])
    assert made.files.of_dataset("mine") == ["facts", "lines"]
    assert sorted(made.used_sources) == ["facts", "lines", "texts", "weights"]
    assert made.entries[0].sample == "allx2"
    with pytest.raises(InputError, match=r"datasets\.mine\.source: unknown source 'nowhere'"):
        experiment(datasets={"mine": {"format": "zsre", "source": ["facts", "nowhere"]}})


def test_missing_hyperparameters_of_a_used_model_are_named() -> None:
    known = {"memit": {"smal": configuration()["hyperparameters"]["memit"]["small"]}}
    with pytest.raises(
        InputError, match=r"hyperparameters\.memit\.small: missing, needed by runs\[0\] \(did you mean smal"
    ):
        experiment(hyperparameters=known)


@pytest.mark.parametrize(("kind", "wrong"), [("file", "folder"), ("folder", "file")])
def test_a_local_source_must_be_there_and_of_its_kind(kind: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("two words")
    sources = configuration()["sources"]
    for path, passes in [(kind, True), (wrong, False), ("nowhere", False)]:
        sources["lines"] = {"kind": kind, "path": path}
        for given in (path, str(tmp_path / path)):  # relative to the house, or absolute
            sources["lines"]["path"] = given
            if passes:
                assert experiment(tmp_path, sources=sources).files.local("lines") == [str(tmp_path / path)]
            else:
                with pytest.raises(InputError, match=rf"sources\.lines\.path: no such {kind}: {given}"):
                    experiment(tmp_path, sources=sources)


@pytest.mark.parametrize("path", ["{source}", "a{b", "c}"])
def test_a_path_with_braces_is_refused(path: str, tmp_path: Path) -> None:
    """Snakemake fills wildcards into what an input function returns: {source} would be another file."""
    (tmp_path / path).write_text("two words")
    sources = configuration()["sources"] | {"lines": {"kind": "file", "path": str(tmp_path / path)}}
    with pytest.raises(InputError, match=r"sources\.lines\.path: found .*, expected no braces"):
        experiment(tmp_path, sources=sources)


@pytest.mark.parametrize("path", ["x" * 5000, "nul\0", "a\nb\x1b", "~", "$(touch x)", "; touch x", "'"])
def test_a_path_that_cannot_be_is_one_line(path: str, tmp_path: Path) -> None:
    sources = configuration()["sources"] | {"lines": {"kind": "file", "path": path}}
    with pytest.raises(InputError, match=r"^config: sources\.lines\.path: no such file: "):
        experiment(tmp_path, sources=sources)
    with pytest.raises(InputError, match=r"no such file|not readable|not YAML"):
        experiment(tmp_path, hyperparameters={"memit": {"small": path}})


def test_a_source_that_no_run_uses_need_not_be_there(tmp_path: Path) -> None:
    sources = configuration()["sources"] | {"unused": {"kind": "file", "path": "nowhere"}}
    assert experiment(tmp_path, sources=sources).files.local("weights") == []


def referring(path: Path, fluency: bool) -> Experiment:
    """A dataset with reference texts in a local file."""
    config = configuration()
    config["sources"]["told"] = {"kind": "file", "path": str(path)}
    config["datasets"]["mine"]["references"] = {"source": "told"}
    return Experiment(config | {"report": {"fluency": fluency}}, Path())


def test_reference_texts_are_needed_and_read_where_fluency_is_asked_for_alone(tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    made = referring(path, fluency=False)
    assert made.references == {} and "told" not in made.used_sources
    with pytest.raises(InputError, match=r"config: sources\.told\.path: no such file"):
        referring(path, fluency=True)
    path.write_text("[{}]")
    with pytest.raises(
        InputError, match=r"config: datasets\.mine\.references: .*told\.json: entry 0: lacks the"
    ):
        referring(path, fluency=True)
    sample = {"relation_id": "P1", "target_id": "Q1", "samples": [{"text": "Some words."}]}
    path.write_text(json.dumps([sample]))
    made = referring(path, fluency=True)
    assert made.references == {"mine": "told"} and "told" in made.used_sources
    (run,) = made.runs.values()
    expected = {"layers": [4, 5], "dtype": "float32", "trial": 1, "seed": 3}
    assert plain(made.text_settings(run)) == expected


def test_released_statistics_need_the_texts_that_they_are_checked_with() -> None:
    config = configuration()
    sources = config["sources"] | {"npz": {"kind": "folder", "path": str(Path(__file__).parent)}}
    released = {"format": "released-statistics", "source": "npz", "check": "lines"}
    made = experiment(
        sources=sources,
        corpora=config["corpora"] | {"released": released},
        runs=[entry(corpus="released")],
    )
    assert {"npz", "lines"} <= set(made.used_sources)
    assert made.corpora(imported=True) == ["released"] and made.corpora(imported=False) == ["lines"]
    assert made.layers("small", "released") == [4, 5]
    assert made.compared_on("released") == made.asked.corpora["lines"]
    assert made.reading("lines") == {"format": "lines", "samples": 100, "max_tokens": 128}


def test_layers_of_a_corpus_are_those_of_all_its_runs() -> None:
    made = experiment(runs=[entry(methods=["memit", "na_memit"]), entry(model="other")])
    assert made.layers("small", "lines") == [4, 5]
    assert made.layers("other", "lines") == [2, 3]


def test_a_split_is_named_by_all_that_samples_it() -> None:
    plain, filtered, both = experiment(
        runs=[
            entry(),
            entry(dataset="mine_eligible"),
            entry(model="other", eligible=True, methods=["na_memit", "na2_memit"], trials=3),
        ]
    ).entries
    assert (plain.sample, filtered.sample) == ("8x1", "8x1-eligible")
    assert both.sample == "8x3-eligible-1random-2first"
    assert both.assisting == [[1, "random"], [2, "first"]]
    assert both.protocols == plain.protocols == ["corrected"]
    assert (plain.filtered, filtered.filtered, both.filtered) == (False, True, True)


def test_splits_of_other_protocols_or_assistants_are_others() -> None:
    """A released entry leaves out nobody for its tokens, a corrected one of the same dataset does."""
    made = experiment(
        runs=[
            entry(misaligned="drop"),
            entry(misaligned="drop", methods=["memit_released"]),
            entry(misaligned="drop", methods=["memit", "memit_released"], model="other"),
            entry(misaligned="drop", methods=["na_memit"], protocol="released"),
        ],
    )
    assert [one.sample for one in made.entries] == [
        "8x1-aligned",
        "8x1-aligned-released",
        "8x1-aligned-corrected-released",
        "8x1-1random-aligned-released",
    ]
    settings = made.split_settings("small", "mine", "8x1-aligned-released")
    assert asdict(settings) == {
        "edits": 8, "trials": 1, "eligible": False, "assisting": [], "misaligned": "drop", "seed": 3,
        "protocols": ["released"], "subject_end": None, "wording": {},
        "apart": None, "distinct_keys": False, "first_token": "bare", "one_by_one": False,
    }  # fmt: skip
    assert SplitSettings(**plain(settings)) == settings and "eligible" not in plain(settings)


def test_how_a_dataset_is_read_does_not_depend_on_who_edits_it() -> None:
    """Else a corrected run beside a released one would change the subjects that the latter edits at."""
    read = [experiment(protocol=protocol).facts_settings("mine") for protocol in ("released", "corrected")]
    assert read[0] == read[1]


def test_neighbors_keep_the_files_order_only_where_every_method_takes_the_first() -> None:
    made = experiment(
        runs=[entry(methods=["memit", "na2_memit"]), entry(model="other", methods=["na_memit", "na2_memit"])]
    )
    assert made.neighbors_in_file_order("small", "mine")
    assert not made.neighbors_in_file_order("other", "mine")
    assert not experiment().neighbors_in_file_order("small", "mine")


def test_every_method_of_an_entry_is_scored_on_the_same_neighbors() -> None:
    made = experiment(runs=[entry(methods=["memit", "na_memit"], eligible=True)])
    settings = [made.score_settings(run) for run in made.runs.values()]
    assert settings[0].assisting == settings[1].assisting == [[1, "random"]]
    assert settings[0] == settings[1] == ScoreSettings(**plain(settings[1]))


def test_edit_settings_name_all_that_an_edit_depends_on() -> None:
    made = experiment(runs=[entry(methods=["na_memit"], trials=2, extend_to=4)])
    first, second = (made.edit_settings(run) for run in made.runs.values())
    assert replace(first, trial=2) == second
    assert (first.assisting, first.choice, first.prefixed) == (1, "random", False)
    assert (first.iterations, first.extend_to, first.stop, first.seed) == (2, 4, "none", 3)


def test_a_rule_is_told_what_does_not_stand_at_its_default_and_its_job_all() -> None:
    made = experiment(runs=[entry(methods=["na_memit"], extend_to=4)])
    (run,) = made.runs.values()
    settings = made.edit_settings(run)
    params = plain(settings)
    assert {"trial", "assisting", "extend_to", "keep_weights"} < set(params)
    assert {"stop", "batch", "spread_only", "leaves", "engine", "choice"}.isdisjoint(params)
    assert EditSettings(**params) == settings
    # provenance has the defaults too, under the keys of old
    assert set(settings.told) == {
        *(
            "algorithm",
            "engine",
            "repository",
            "assisting",
            "choice",
            "prefixed",
            "protocol",
            "hyperparameters",
        ),
        *("iterations", "extend_to", "stop", "dtype", "keep_weights", "nonfinite", "batch", "spread_only"),
        *(
            "leaves",
            "protects",
            "regularisers",
            "ideal_editor",
            "checkpoints",
            "speed",
            "seed",
            "trial",
            "subject_end",
            "wording",
        ),
    }
    assert replace(settings, code="c0de").told == settings.told | {"code": "c0de"}


def test_an_option_that_is_new_leaves_finished_jobs_alone() -> None:
    """Snakemake reruns a job whose params have changed, also by what nobody has asked for."""

    @dataclass(frozen=True, kw_only=True)
    class Newer(EditSettings):
        warms_up: bool = False
        tricks: list[str] = field(default_factory=list)

    made = experiment()
    (run,) = made.runs.values()
    settings = made.edit_settings(run)
    newer = Newer(**plain(settings))
    assert plain(newer) == plain(settings)
    assert plain(replace(newer, tricks=["one"])) == plain(settings) | {"tricks": ["one"]}
    # likewise a key of the configuration that says what holds anyway
    said = experiment(nonfinite="drop", runs=[entry(stop="none", trials=1, misaligned="error")])
    assert plain(said.edit_settings(run)) == plain(settings)


def test_a_misspelt_or_missing_setting_of_a_job_fails_where_it_is_made() -> None:
    made = experiment()
    (run,) = made.runs.values()
    params = plain(made.edit_settings(run))
    with pytest.raises(TypeError, match="iteratons"):
        EditSettings(**params, iteratons=3)
    del params["iterations"]
    with pytest.raises(TypeError, match="iterations"):
        EditSettings(**params)


def with_engine(engine: dict[str, str], house: Path = Path(), **definition: Any) -> Experiment:
    methods = configuration()["methods"] | {
        "published": {"algorithm": "memit", "engine": engine} | definition
    }
    return experiment(house, methods=methods, runs=[entry(methods=["memit", "published"])])


def test_a_checkout_of_easyedit_is_looked_for_before_any_job(tmp_path: Path) -> None:
    missing = {"name": "easyedit", "path": str(tmp_path / "nowhere")}
    expected = (
        r"^config: methods\.published\.engine\.path: no checkout of EasyEdit at .*nowhere, expected easyed"
    )
    with pytest.raises(InputError, match=expected):
        with_engine(missing)
    with pytest.raises(InputError, match=r"methods\.published\.neighbors: not with engine easyedit"):
        with_engine(missing, neighbors={"count": 1})
    # a definition that no run uses asks for nothing
    methods = configuration()["methods"] | {"other": {"algorithm": "memit", "engine": missing}}
    experiment(methods=methods)


def test_the_engine_is_ours_or_a_checkout_and_is_among_the_settings(tmp_path: Path) -> None:
    write_checkout(tmp_path / "EasyEdit")
    made = with_engine({"name": "easyedit", "path": "EasyEdit"}, house=tmp_path)
    ours, published = (made.edit_settings(run).engine for run in made.runs.values())
    assert ours == {"name": "reedit"}
    code = published.pop("code")
    assert published == {"name": "easyedit", "path": str(tmp_path / "EasyEdit"), "commit": None}
    (tmp_path / "EasyEdit/easyeditor/patched.py").write_text("# no commit tells it\n")
    _, patched = (made.edit_settings(run).engine for run in made.runs.values())
    assert patched == {**published, "code": patched["code"]} and patched["code"] != code
    again = with_engine({"name": "reedit", "path": "left over from an overlay"})
    assert again.edit_settings(again.runs["small/mine/published/trial1"]).engine == {"name": "reedit"}


def test_a_digest_knows_values_and_not_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest([1, 2]) != digest([2, 1])


def test_the_papers_models_are_those_that_a_model_may_be_reported_as() -> None:
    assert set(SCHEMA["$defs"]["Model"]["properties"]["reported_as"]["enum"]) == REPORTED_MODELS
    models = configuration()["models"]
    assert not experiment().runs_a_reported_model
    models["small"]["reported_as"] = "gpt2-xl"
    assert experiment(models=models).runs_a_reported_model


def test_a_folder_of_downstream_tasks_is_there_before_any_job_starts(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    given = {"tasks": ["arc_easy"], "folder": "tasks"}
    assert experiment(tmp_path, downstream=given).own_tasks == tmp_path / "tasks"
    assert experiment().own_tasks is None
    with pytest.raises(InputError, match=r"config: downstream\.folder: no such folder: nowhere"):
        experiment(tmp_path, downstream=given | {"folder": "nowhere"})


# -- methods beyond the paper --------------------------------------------------------------------------------

FURTHER = {
    "memit": {"algorithm": "memit"},
    "gentle": {"regularises": "memit", "by": "rect", "keep": 0.3},
    "gentlest": {"regularises": "gentle", "by": "prune"},
    "anchored": {"regularises": "memit", "by": "nas"},
    "anchored_twice": {"algorithm": "memit", "regularisers": [{"by": "nas"}, {"by": "nas", "limit": 3}]},
    "rome_anchored": {"algorithm": "rome", "batch": 2, "regularisers": [{"by": "rect"}, {"by": "nas"}]},
    "wrong_option": {"regularises": "memit", "by": "prune", "keep": 0.3},
    "in_batches": {"algorithm": "memit", "batch": 2, "spread_only": True},
    "blue_again": {"algorithm": "blue", "spread_only": True},
    "rome_again": {"algorithm": "rome", "spread_only": True},
    "leaving": {"algorithm": "memit", "leaves": "gap", "batch": 2},
    "blue_leaving": {"algorithm": "blue", "leaves": "gap"},
    "rome_leaving": {"algorithm": "rome", "leaves": "gap"},
    "again_leaving": {"algorithm": "memit", "leaves": "gap", "spread_only": True},
    "ideal": {"algorithm": "memit", "batch": 2, "ideal_editor": 1e4},
    "ideal_protecting": {"algorithm": "memit", "batch": 2, "ideal_editor": 1e4, "protects": "others"},
    "ideal_alphaedit": {"algorithm": "alphaedit", "batch": 2, "ideal_editor": 1e4},
    "leaking_others": {"algorithm": "betaedit", "batch": 2, "protects": "others"},
    "ideal_leaving": {"algorithm": "memit", "batch": 2, "ideal_editor": 1e4, "leaves": "gap"},
    "ideal_blue": {"algorithm": "blue", "batch": 2, "ideal_editor": 1e4},
    "tuned": {"algorithm": "ft_m"},
    "tuned_assisted": {"algorithm": "ft_m", "neighbors": {"count": 1}},
    "tuned_protecting": {"algorithm": "ft_m", "batch": 2, "protects": "all"},
    "tuned_anchored": {"algorithm": "ft_m", "batch": 2, "regularisers": [{"by": "rect"}, {"by": "nas"}]},
    "tuned_leaving": {"algorithm": "ft_m", "leaves": "gap"},
    "theirs_leaving": {
        **{"algorithm": "memit", "leaves": "gap"},
        "engine": {"name": "easyedit", "path": "/somewhere"},
    },
}


def test_a_regularising_method_has_the_settings_of_the_run_whose_updates_it_takes() -> None:
    made = experiment(methods=FURTHER, runs=[entry(methods=["memit", "gentle"])])
    memit, gentle = made.runs.values()
    assert made.regularised(gentle) == memit.path and gentle.method.regularisation == {
        "name": "rect",
        "keep": 0.3,
    }
    assert made.edit_settings(gentle) == made.edit_settings(memit) and gentle.prefixes == memit.prefixes
    assert made.needs_moments(memit) and not made.needs_moments(gentle)
    assert (made.methods(regularising=False), made.methods(regularising=True)) == (["memit"], ["gentle"])


def test_tables_tell_what_makes_a_method_another_one_than_its_algorithm() -> None:
    made = experiment(methods=FURTHER, runs=[entry(methods=["memit", "gentle", "in_batches", "leaving"])])
    families = [made.identity(run)["algorithm"] for run in made.runs.values()]
    assert families == ["memit", "memit+rect", "memit+spread_only+batch2", "memit+gap+batch2"]
    leaving = [run for run in made.runs.values() if run.method.name == "leaving"]
    assert [made.edit_settings(run).recipe.leaves for run in leaving] == ["gap"]
    (ideal,) = experiment(methods=FURTHER, runs=[entry(methods=["ideal"])]).runs.values()
    assert ideal.method.family == "memit+batch2+simie"
    assert made.edit_settings(ideal).recipe.ideal_editor == 1e4


@pytest.mark.parametrize(
    ("methods", "changes", "expected"),
    [
        (["gentle"], {}, r"runs\[0\]: gentle regularises memit, expected that among its methods too"),
        (
            ["memit", "gentlest"],
            {},
            r"methods\.gentlest\.regularises: found 'gentle', expected a method with an",
        ),
        (["memit", "anchored"], {}, r"methods\.anchored\.by: nas acts on targets as they are found"),
        (["anchored_twice"], {}, r"regularisers: found \['nas', 'nas'\], expected one of these at most"),
        (["rome_anchored"], {}, r"regularisers: nas: not with rome, which edits one by one"),
        (["memit", "wrong_option"], {}, r"methods\.wrong_option\.keep: not with by: prune"),
        (["memit", "gentle"], {"keep_weights": "last"}, r"expected keep_weights: all, found last"),
        (["blue_again"], {}, r"methods\.blue_again: spread_only: not with blue, which has a target a layer"),
        (["rome_again"], {}, r"methods\.rome_again: spread_only: not with rome, which edits one by one"),
        (["blue_leaving"], {}, r"methods\.blue_leaving: leaves: not with blue, which has a target a layer"),
        (["rome_leaving"], {}, r"methods\.rome_leaving: leaves: not with rome, which edits one by one"),
        (["ideal_alphaedit"], {}, r"methods\.ideal_alphaedit: protects: not with ideal_editor, which has"),
        (["leaking_others"], {}, r"protects: others: not with betaedit, which leaves all earlier keys alone"),
        (["again_leaving"], {}, r"leaves: not with spread_only, which optimises nothing after k = 1"),
        (["ideal_protecting"], {}, r"methods\.ideal_protecting: protects: not with ideal_editor, which has"),
        (
            ["ideal_leaving"],
            {},
            r"methods\.ideal_leaving: leaves: not with ideal_editor, which has every batch",
        ),
        (["ideal_blue"], {}, r"methods\.ideal_blue: more than one stage: not with ideal_editor, which has"),
        (["tuned_assisted"], {}, r"neighbors: not with ft_m, which reads the cases' own prompts alone"),
        (["tuned_protecting"], {}, r"methods\.tuned_protecting: protects: not with ft_m, which reads the"),
        (["tuned_anchored"], {}, r"methods\.tuned_anchored: regularisers: not with ft_m, which reads the"),
        (["tuned_leaving"], {}, r"methods\.tuned_leaving: leaves: not with ft_m, which finds no targets"),
        (["tuned"], {"speed": "fast"}, r"methods\.tuned: speed: fast: not with ft_m, which reads the"),
        (["theirs_leaving"], {}, r"ideal_editor, spread_only, leaves: not with engine easyedit"),
    ],
)
def test_a_method_that_cannot_be_is_one_line(
    methods: list[str], changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError, match=f"^config: .*{expected}") as caught:
        experiment(methods=FURTHER, runs=[entry(methods=methods, **changes)])
    assert "\n" not in str(caught.value)


def test_the_published_engine_runs_published_algorithms_alone() -> None:
    method = {"algorithm": "encore", "engine": {"name": "easyedit", "path": "/somewhere"}}
    with pytest.raises(
        InputError, match=r"methods\.memit\.engine: easyedit is asked for encore, expected one of"
    ):
        experiment(methods={"memit": method})


def tuned(folder: Path, **changes: Any) -> Experiment:
    """One whose model's memit reads a file that tuning has made, and rome a mapping."""
    file = folder / "results/hyperparameters/small/memit.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(experiment().hyperparameters(next(iter(experiment().runs.values())))))
    return experiment(hyperparameters={"memit": {"small": str(file)}}, **changes)


def test_runs_of_tuned_values_leave_alone_what_tuning_has_seen(tmp_path: Path) -> None:
    made = tuned(tmp_path, runs=[entry(), entry(edits=4, apart=False, dataset="mine_eligible")])
    assert [(one.sample, one.apart) for one in made.entries] == [("8x1-apart", True), ("4x1-eligible", False)]
    assert made.split_settings("small", "mine", "8x1-apart").apart == made.asked.tuning.share
    assert made.taken("small") == []  # nobody else edits the dataset that is tuned with
    assert made.tune_settings("small", "memit").current is None  # what tuning itself has made
    plain = experiment(runs=[entry(), entry(edits=4, trials=2, methods=["na_memit"])])
    assert plain.taken("small") == [one.sample for one in plain.entries]
    assert plain.tune_settings("small", "memit").current["layers"]
    assert plain.tune_settings("small", "alphaedit").current is None
    missing = {"memit": {"small": "results/hyperparameters/small/memit.yaml"}}
    with pytest.raises(InputError, match=r"memit\.yaml: not there yet; snakemake .*memit\.yaml makes it"):
        experiment(hyperparameters=missing)


def test_tuning_reads_the_texts_and_facts_of_the_models_own_runs_unless_it_is_told() -> None:
    assert experiment().tuned_on("small") == ("mine", "lines")
    told = experiment(
        tuning={"dataset": "mine_eligible", "reach": {"efficacy": 90}, "budget": {"minutes": 5}}
    )
    assert told.tuned_on("small") == ("mine_eligible", "lines") == told.tuned_on("other")
    settings = told.tune_settings("small", "pmet")
    assert (settings.minutes, settings.edits, settings.reach) == (5, None, {"efficacy": 90})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "mien"}, "tuning.dataset: unknown dataset 'mien' (did you mean mine?)"),
        ({"corpus": "line"}, "tuning.corpus: unknown corpus 'line' (did you mean lines?)"),
        ({"share": 1}, "tuning.share: found 1, expected below 1"),
        ({"reach": {"eficacy": 9}}, "tuning.reach"),
        ({"reach": {"efficacy": 101}}, "tuning.reach.efficacy: found 101, expected at most 100"),
        ({"maximise": []}, "tuning.maximise"),
        ({"budget": {"minutes": 0}}, "tuning.budget.minutes: found 0, expected above 0"),
    ],
)
def test_what_tuning_cannot_be_asked_is_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"config: {message}")):
        experiment(tuning=change)
