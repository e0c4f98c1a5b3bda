"""`engine: easyedit`: what a checkout is given, what is read off its edits, and every way it can be missing.

The checkout is a fake one (tests/fake_easyedit.py) whose edits are known; the last test takes a real one.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import fake_easyedit
import pytest
import tiny
import torch
from pretended_cuda import pretended_cuda
from safetensors.torch import load_file
from variants import factors_of

from reedit.edit.easyedit import engine as easyedit
from reedit.edit.easyedit.checkout import apply_module, check_checkout, commit_of
from reedit.edit.easyedit.on_cpu import OnCpu
from reedit.edit.editor import Editor
from reedit.edit.edits import Rows
from reedit.edit.iteration import iterate
from reedit.edit.job.edit_run import edit_run
from reedit.edit.job.settings import EditSettings
from reedit.edit.journal import Journal
from reedit.edit.measured import edited_perplexities
from reedit.edit.workers import Workers
from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.models.layouts import LAYOUTS
from reedit.prepare.facts import Fact, write_facts
from reedit.prepare.preparation import REVISION
from reedit.statistics.moments import write_moment
from reedit.storage import parquet

SNAPSHOT = "easyeditor==0.0.1.dev0"
LAYERS = [1, 2, 3]
TEMPLATES = ["The old town of. {}", "Therefore we. {}"]
HYPERPARAMETERS = {
    "layers": LAYERS,
    "v_lr": 0.5,
    "v_num_grad_steps": 6,
    "clamp_norm_factor": 0.75,
    "v_weight_decay": 0.5,
    "kl_factor": 0.0625,
    "mom2_update_weight": 4,
}
UNTOLD = ("steps", "ppl_target", "hidden_norm", "delta_norm", "residual_before", "residual_after")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Every test imports its own checkout, as every job does in its own process."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "easyeditor"]:
        del sys.modules[name]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake checkout."""
    return fake_easyedit.write_checkout(tmp_path / "EasyEdit")


Job = Callable[..., dict[str, Path]]


@pytest.fixture
def job(tmp_path: Path, checkout: Path, tiny_dataset: list[Fact], moments_of: Any) -> Job:
    """The editing job on three facts, in an order that is not the file's; returns its output paths."""

    def run(algorithm: str = "memit", architecture: str = "llama", **changes: Any) -> dict[str, Path]:
        folder = tmp_path / algorithm / architecture
        names = ("targets.parquet", "iterations.parquet", "weights", "facts", "split", "prefixes", "moments")
        paths = {name.removesuffix(".parquet"): folder / name for name in names} | {"model": folder / "model"}
        if not paths["model"].exists():
            tiny.save_tiny_model(paths["model"], architecture=architecture)
            (paths["model"] / REVISION).write_text(json.dumps({"revision": "file:0123"}))
            write_facts(tiny_dataset, paths["facts"], {})
            places = [
                {"trial": 1, "position": place, "case_id": fact.case_id}
                for place, fact in enumerate(chosen(tiny_dataset))
            ]
            parquet.write(places, paths["split"], "split", {})
            parquet.write([{"template": text} for text in TEMPLATES], paths["prefixes"], "prefixes", {})
            for layer, moment in moments_of(LanguageModel.load(paths["model"]), LAYERS).items():
                write_moment(moment, paths["moments"] / f"{layer}.safetensors", {"count": "899"})
        settings = {
            "algorithm": algorithm,
            "engine": {"name": "easyedit", "path": str(checkout), "commit": "c0ffee"},
            "repository": "someone/Tiny-Model",
            "assisting": 0,
            "choice": "random",
            "prefixed": False,
            "protocol": "corrected",
            "hyperparameters": HYPERPARAMETERS | ({"layers": [2]} if algorithm == "rome" else {}),
            "iterations": 2,
            "extend_to": 5,
            "stop": "proposed",
            "dtype": "float32",
            "keep_weights": "all",
            "nonfinite": "drop",
            "batch": None,
            "spread_only": False,
            "seed": 0,
            "trial": 1,
        }
        used = {name: path for name, path in paths.items() if name != "moments" or algorithm != "rome"}
        edit_run(used, folder / "state", EditSettings(**(settings | changes)))
        return paths | {"state": folder / "state"}

    return run


def chosen(facts: list[Fact]) -> list[Fact]:
    return [facts[13], facts[2], facts[7]]


def published(algorithm: str = "memit") -> Any:
    """The module of the fake checkout that was imported last."""
    return sys.modules[f"easyeditor.models.{algorithm}.{algorithm}_main"]


def theta(folder: Path, weights: Path, k: int, layers: list[int] = LAYERS) -> LanguageModel:
    """The prepared model after k iterations, from what the job has written."""
    model = LanguageModel.load(folder)
    if k:
        model.import_updates(load_file(weights / f"k{k}.safetensors"), layers)
    return model


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_the_job_writes_what_our_engine_writes_and_leaves_what_is_untold_empty(
    job: Job, architecture: str, tiny_dataset: list[Fact]
) -> None:
    paths = job(architecture=architecture)
    facts = chosen(tiny_dataset)
    iterations = parquet.read(paths["iterations"], "iterations")
    targets = parquet.read(paths["targets"], "targets")
    assert [row["k"] for row in iterations] == [1, 2]  # an unknown criterion neither stops nor extends
    assert [(row["k"], row["case_id"]) for row in targets] == [(k, f.case_id) for k in (1, 2) for f in facts]
    states = [theta(paths["model"], paths["weights"], k) for k in (0, 1, 2)]
    for k in (1, 2):
        update = load_file(paths["weights"] / f"k{k}.safetensors")
        assert list(update) == [states[0].parameter_name(layer) for layer in LAYERS]
        for name, tensor in update.items():  # cumulative, in the parameter's own shape
            assert tensor.shape == states[0].model.state_dict()[name].shape
            known = torch.full_like(tensor, k * 3 * fake_easyedit.STEP)
            torch.testing.assert_close(tensor, known, rtol=0, atol=1e-6)
    plan = Recipe(ALGORITHMS["memit"], HYPERPARAMETERS)
    edits = [Rows(states[0].wording, "corrected", TEMPLATES).edit(f) for f in facts]
    said = [edited_perplexities(Editor(model, plan), edits) for model in states]
    for k, row in enumerate(iterations, start=1):
        own = [target for target in targets if target["k"] == k]
        assert [t["ppl_initial"] for t in own] == pytest.approx(said[k - 1], rel=1e-5)
        assert [t["ppl_edited"] for t in own] == pytest.approx(said[k], rel=1e-5)
        assert row["ppl_edited"] == pytest.approx(sum(said[k]) / 3, rel=1e-5)
        assert row["delta_p2"] == pytest.approx(abs(sum(said[k]) - sum(said[k - 1])) / 3, rel=1e-4)
        assert all(target[name] is None for target in own for name in UNTOLD)
        empty = {name for name, value in row.items() if value is None}
        assert empty == {"ppl_target", "ppl_target_median", "ppl_target_gmean", "delta_p"} | {
            "seconds_optimization",
            "seconds_spread",
        }
        size = tiny.WIDTH * tiny.KEYS * len(LAYERS)
        assert row["update_norm"] == pytest.approx(3 * fake_easyedit.STEP * size**0.5, rel=1e-3)
    made_by = parquet.read_provenance(paths["iterations"])
    assert made_by["engine"]["commit"] == "c0ffee" and made_by["corpus_tokens"] == 899
    assert not paths["state"].exists()


def test_on_a_gpu_the_job_edits_what_stands_there(job: Job) -> None:
    with pretended_cuda():
        paths = job()
    for k in (1, 2):
        for tensor in load_file(paths["weights"] / f"k{k}.safetensors").values():
            known = torch.full_like(tensor, k * 3 * fake_easyedit.STEP)
            torch.testing.assert_close(tensor, known, rtol=0, atol=1e-6)
    assert parquet.read_provenance(paths["iterations"])["device"] == "cuda"


NAMED = [name for name in tiny.ALL_ARCHITECTURES if name.removesuffix("_untied") in easyedit.NAMES]


@pytest.mark.parametrize("architecture", NAMED)
def test_a_checkout_is_given_our_facts_prefixes_hyperparameters_and_moments(
    job: Job, architecture: str, tiny_dataset: list[Fact], moments_of: Any
) -> None:
    paths = job(architecture=architecture)
    first, second = published().CALLS
    for call in (first, second):
        assert [r["case_id"] for r in call["requests"]] == [f.case_id for f in chosen(tiny_dataset)]
        assert call["templates"] == [["{}"], TEMPLATES]
        assert call["head"] and len(call["modules"]) == 4  # all that is named is there
        assert call["layer_returns"] == "tuple" and call["padding"] == "right"
        assert call["v_loss_layer"] == tiny.LAYERS - 1
        assert {key: call[key] for key in HYPERPARAMETERS} == HYPERPARAMETERS
        moments = moments_of(LanguageModel.load(paths["model"]), LAYERS)
        assert list(call["moments"]) == LAYERS
        for layer, moment in call["moments"].items():
            torch.testing.assert_close(moment, moments[layer], rtol=1e-6, atol=1e-9)
        assert not Path(call["stats_dir"]).exists()  # the copies are large and gone
        assert call["repository"] == "someone/Tiny-Model" and "/" not in call["architecture"]
    fact = chosen(tiny_dataset)[0]
    request = first["requests"][0]
    assert (request["prompt"], request["subject"]) == (fact.prompt, fact.subject)
    assert request["target_new"] == fact.target_new and "{}" in request["prompt"]


def test_no_architecture_with_a_norm_after_its_mlp_has_easyedits_names(job: Job) -> None:
    assert easyedit.NAMES.keys() <= {name for name, layout in LAYOUTS.items() if not layout.mlp_norm}
    with pytest.raises(InputError, match="not for models of the architecture 'gemma3_text'"):
        job(architecture="gemma3_text")


def test_easyedit_can_tell_the_architecture_from_the_name(job: Job) -> None:
    for architecture, family in [
        ("llama", "llama"),
        ("gpt2", "gpt2"),
        ("gptj", "gpt-j"),
        ("gpt_neox", "neo"),
    ]:
        job(architecture=architecture, repository="EleutherAI/pythia")
        assert published().CALLS[-1]["architecture"] == f"{family}-pythia"
    job(architecture="gpt2", repository="openai-community/gpt2-xl", iterations=1)
    assert published().CALLS[-1]["architecture"] == "gpt2-xl"


def test_pmet_names_the_last_linear_maps_of_attention_and_mlp(job: Job) -> None:
    job("pmet", "gptj")
    call = published("pmet").CALLS[0]
    assert call["attn_module_tmp"] == "transformer.h.{}.attn.out_proj"
    assert call["mlp_module_tmp"] == "transformer.h.{}.mlp.fc_out"
    assert call["rewrite_module_tmps"] == [call["mlp_module_tmp"]] and call["nll_loss_factor"] == 1.0
    job("memit", "gptj")
    call = published("memit").CALLS[0]
    assert call["attn_module_tmp"] == "transformer.h.{}.attn"
    assert call["mlp_module_tmp"] == "transformer.h.{}.mlp"


def test_rome_edits_one_by_one_and_its_perplexity_is_taken_just_before(
    job: Job, tiny_dataset: list[Fact]
) -> None:
    paths = job("rome")
    facts, calls = chosen(tiny_dataset), published("rome").CALLS
    assert [[r["case_id"] for r in call["requests"]] for call in calls] == [[f.case_id] for f in facts * 2]
    assert calls[0]["templates"] == ["{}", *TEMPLATES]
    assert calls[0]["context_template_length_params"] == [] and not calls[0]["mom2_adjustment"]
    model = LanguageModel.load(paths["model"])
    plan = Recipe(ALGORITHMS["rome"], HYPERPARAMETERS | {"layers": [2]})
    expected = []
    for fact in facts:
        edit = Rows(model.wording, "corrected", TEMPLATES).edit(fact)
        expected += edited_perplexities(Editor(model, plan), [edit])
        model.set_weight(2, model.weight(2) + fake_easyedit.STEP)
    found = [row["ppl_initial"] for row in parquet.read(paths["targets"], "targets") if row["k"] == 1]
    assert found == pytest.approx(expected, rel=1e-5)


def test_rome_s_delta_p2_is_between_two_states_that_all_cases_share(
    job: Job, tiny_dataset: list[Fact]
) -> None:
    paths = job("rome")
    edits = [
        Rows(LanguageModel.load(paths["model"]).wording, "corrected", TEMPLATES).edit(f)
        for f in chosen(tiny_dataset)
    ]
    plan = Recipe(ALGORITHMS["rome"], HYPERPARAMETERS | {"layers": [2]})
    states = [theta(paths["model"], paths["weights"], k, [2]) for k in (0, 1, 2)]
    said = [statistics.fmean(edited_perplexities(Editor(model, plan), edits)) for model in states]
    found = [row["delta_p2"] for row in parquet.read(paths["iterations"], "iterations")]
    assert found == pytest.approx([abs(b - a) for a, b in pairwise(said)], rel=1e-3)


def test_an_interrupted_job_goes_on_with_the_iteration_it_was_at(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Journal.complete

    def dies(state: Journal, k: int, *rest: Any) -> None:
        if k == 2:
            raise KeyboardInterrupt
        save(state, k, *rest)

    monkeypatch.setattr(Journal, "complete", dies)
    with pytest.raises(KeyboardInterrupt):
        job()
    monkeypatch.setattr(Journal, "complete", save)
    published().CALLS.clear()
    paths = job()
    assert len(published().CALLS) == 1  # k = 2 alone
    assert [row["k"] for row in parquet.read(paths["iterations"], "iterations")] == [1, 2]
    for tensor in load_file(paths["weights"] / "k2.safetensors").values():
        known = torch.full_like(tensor, 6 * fake_easyedit.STEP)
        torch.testing.assert_close(tensor, known, rtol=0, atol=1e-6)


def test_an_update_that_is_no_number_is_left_out(
    job: Job, checkout: Path, caplog: pytest.LogCaptureFixture
) -> None:
    main = easyedit.load_published(checkout, "memit").module
    main.UPDATE = lambda layer, weight: float("nan") if len(main.CALLS) == 2 else 0.01
    paths = job()
    before, after = (load_file(paths["weights"] / f"k{k}.safetensors") for k in (1, 2))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert parquet.read(paths["iterations"], "iterations")[1]["update_norm"] == 0.0
    assert "k=2: the model has collapsed: its update is left out" in caplog.text


def test_easyedits_chatter_stays_out_of_the_terminal(job: Job, capfd: pytest.CaptureFixture[str]) -> None:
    job()
    assert "a line a pass" not in capfd.readouterr().out


def test_layers_are_as_they_were_after_an_edit() -> None:
    model = tiny.tiny_model("llama")
    ids = torch.tensor([[5, 6, 7]])
    expected = model.model(ids).logits
    with pytest.raises(ZeroDivisionError), easyedit.tuples_between_layers(model):
        assert torch.equal(model.model(ids).logits, expected)
        assert isinstance(model.layers[0](model.model.get_input_embeddings()(ids), **rotary(model)), tuple)
        raise ZeroDivisionError
    assert torch.equal(model.model(ids).logits, expected)
    assert "forward" not in vars(model.layers[0])


def rotary(model: LanguageModel) -> dict[str, Any]:
    places = torch.arange(3)[None]
    return {"position_embeddings": model.backbone.rotary_emb(torch.zeros(1, 3, tiny.WIDTH).double(), places)}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "models/rome/layer_stats.py",
            "import no_such_package_at_all",
            r"import in this environment \(ModuleNotFoundError: No",
        ),
        ("models/memit/memit_main.py", "def apply_memit(", r"\(SyntaxError: "),
        ("models/memit/memit_main.py", "", r"\(AttributeError: .*apply_memit_to_model"),
    ],
)
def test_a_checkout_that_does_not_import_is_one_line(
    checkout: Path, file: str, text: str, message: str
) -> None:
    (checkout / "easyeditor" / file).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        easyedit.load_published(checkout, "memit")
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(checkout))
    assert not list(checkout.rglob("*.pyc"))  # nothing is written into a user's checkout


def test_what_packages_import_of_themselves_is_not_needed(checkout: Path) -> None:
    for package in ("", "models/", "models/memit/"):
        (checkout / f"easyeditor/{package}__init__.py").write_text("import no_such_package_at_all")
    easyedit.load_published(checkout, "memit")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_code_that_asks_for_cuda_by_name_runs_on_the_cpu() -> None:
    with OnCpu():
        made = torch.zeros(2, device="cuda:0").to(torch.device("cuda:1")).cuda() + torch.ones(2).to("cuda")
        moved = torch.nn.Linear(2, 1).to("cuda:0")
    assert made.tolist() == [1, 1] and made.device == moved.weight.device == torch.device("cpu")


def test_another_easyedit_than_the_one_named_is_refused(checkout: Path, tmp_path: Path) -> None:
    easyedit.load_published(checkout, "memit")
    other = fake_easyedit.write_checkout(tmp_path / "other")
    with pytest.raises(InputError, match=r"other: easyeditor\.models\.memit\.memit_main is imported from"):
        easyedit.load_published(other, "memit")
    assert str(checkout) not in sys.path


def test_a_checkout_that_wants_more_than_there_is_is_one_line(job: Job, checkout: Path) -> None:
    file = checkout / "easyeditor/models/memit/memit_hparams.py"
    file.write_text(file.read_text().replace("layers: List[int]", "layers: List[int]; null_space: str", 1))
    with pytest.raises(InputError, match=r"MEMITHyperParams wants \['null_space'\], which this workflow"):
        job()


def test_nothing_is_downloaded_where_a_checkout_looks_for_moments_elsewhere(job: Job, checkout: Path) -> None:
    file = checkout / "easyeditor/models/rome/layer_stats.py"
    file.write_text(file.read_text().replace('f"{ds_name}_stats"', '"elsewhere"'))
    with pytest.raises(InputError, match="did not find the second moments and wanted to download text"):
        job()


def test_a_text_that_easyedit_cannot_put_together_names_its_case() -> None:
    fact = Fact(7, "r", "Rome", "{} lies in", "{Italy}", "x", (), ())
    with pytest.raises(InputError, match=r"^case 7: braces in a text, which EasyEdit cannot edit$"):
        easyedit._request(fact)


def test_a_folder_without_the_algorithm_is_no_checkout(tmp_path: Path, checkout: Path) -> None:
    check_checkout(checkout, "memit", "here")
    with pytest.raises(
        InputError, match=r"^here: no checkout of EasyEdit at .*/nowhere, expected easyeditor/"
    ):
        check_checkout(tmp_path / "nowhere", "memit", "here")
    (checkout / "easyeditor/models/pmet/pmet_main.py").unlink()  # as in the snapshot on PyPI
    with pytest.raises(InputError, match=r"expected easyeditor/models/pmet/pmet_main\.py in it$"):
        check_checkout(checkout, "pmet", "here")


def test_the_commit_of_a_checkout_is_told_with_whether_it_was_changed(checkout: Path) -> None:
    assert commit_of(checkout) is None  # no repository
    git = ["git", "-C", str(checkout), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert commit_of(checkout) == head.stdout.strip()
    (checkout / "untracked").write_text("")
    assert commit_of(checkout) == head.stdout.strip()
    (checkout / "easyeditor/__init__.py").write_text("# another\n")
    assert commit_of(checkout) == f"{head.stdout.strip()}-changed"
    assert commit_of(checkout / "easyeditor") is None  # inside another repository


@dataclass
class FewHyperparameters:
    """As few as an engine can be made with."""

    layers: list[int]


@pytest.mark.parametrize("drawn", [2, 40], ids=["kept as keys", "more of them than they have numbers"])
def test_alphaedit_finds_in_its_module_the_keys_of_all_iterations_before(
    drawn: int, tmp_path: Path, tiny_dataset: list[Fact]
) -> None:
    tiny.save_tiny_model(tmp_path / "model")
    model, written, found = LanguageModel.load(tmp_path / "model"), {2: [], 3: []}, []
    module = ModuleType("alphaedit_main")
    module.CONTEXT_TEMPLATES_CACHE = None

    def compute_ks(model: Any, tokenizer: Any, requests: Any, hparams: Any, layer: int) -> torch.Tensor:
        written[layer].append(torch.randn(drawn, tiny.KEYS))
        return written[layer][-1]

    def apply(model: Any, tokenizer: Any, requests: Any, hparams: Any, **options: Any) -> None:
        found.append(module.cache_c.clone())
        for layer in hparams.layers:
            module.compute_ks(model, tokenizer, requests, hparams, layer)

    module.compute_ks = compute_ks
    hyperparameters = {"layers": [2, 3], "v_num_grad_steps": 1}
    recipe = Recipe(ALGORITHMS["alphaedit"], hyperparameters, "released", iterations=4, engine="easyedit")
    factors = {layer: torch.eye(tiny.KEYS, dtype=torch.float64) for layer in (2, 3)}
    editor = Editor(model, recipe, factors, workers=Workers(Journal(tmp_path / "state", "")))
    edits = [Rows(model.wording, "released", TEMPLATES).edit(fact) for fact in chosen(tiny_dataset)]
    material = easyedit.Material(tmp_path / "model", "tiny", TEMPLATES, None, tmp_path / "scratch")
    published = easyedit.Published(module, apply, FewHyperparameters)
    iterate(editor, edits, easyedit.Engine(published, editor, tiny_dataset, material).take)
    assert len(found) == 4
    for before, cache in enumerate(found):
        for place, layer in enumerate((2, 3)):
            keys = torch.cat([torch.zeros(1, tiny.KEYS), *written[layer][:before]])
            torch.testing.assert_close(cache[place], keys.T @ keys, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of EasyEdit is on PyPI, where that can be installed."""
    folder = tmp_path_factory.mktemp("snapshot")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, SNAPSHOT]
    if subprocess.run(pip, capture_output=True).returncode:
        pytest.skip(f"{SNAPSHOT} cannot be installed here")
    return folder


@pytest.fixture(params=["EASYEDIT", SNAPSHOT])
def real(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A real checkout, imported anew."""
    pytest.importorskip("datasets", reason="EasyEdit needs the package datasets (docs/easyedit.md)")
    if request.param == "EASYEDIT" and "EASYEDIT" not in os.environ:
        pytest.skip("needs EASYEDIT, the path of a real checkout")
    found = os.environ["EASYEDIT"] if request.param == "EASYEDIT" else request.getfixturevalue("snapshot")
    yield Path(found)
    for name in [name for name in sys.modules if name.partition(".")[0] == "easyeditor"]:
        del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "changes", "iterations"),
    [
        ("memit", {}, 2),
        ("rome", {"layers": [2]}, 2),
        ("pmet", {}, 2),
        ("emmet", {"layers": [2], "mom2_update_weight": 1, "emmet_lambda": 0.1}, 2),
        ("alphaedit", {"nullspace_threshold": 0.1, "L2": 0.02}, 2),
        ("memit_fe", {}, 2),
    ],
)
def test_a_real_checkout_makes_the_updates_of_our_released_protocol(
    algorithm: str,
    changes: dict[str, Any],
    iterations: int,
    real: Path,
    tmp_path: Path,
    tiny_dataset: list[Fact],
    moments_of: Any,
) -> None:
    if not (real / apply_module(algorithm).replace(".", "/")).with_suffix(".py").exists():
        pytest.skip(f"this checkout has no {algorithm}")
    tiny.save_tiny_model(tmp_path / "model")
    ours, theirs = (LanguageModel.load(tmp_path / "model") for _ in range(2))
    hyperparameters = HYPERPARAMETERS | changes
    plan = Recipe(ALGORITHMS[algorithm], hyperparameters, "released", iterations=iterations)
    facts, spaced = chosen(tiny_dataset), plan.algorithm.released_space("tiny")
    edits = [Rows(ours.wording, "released", TEMPLATES, spaced).edit(f) for f in facts]
    moments = moments_of(ours, hyperparameters["layers"])
    for layer, moment in moments.items():
        write_moment(moment, tmp_path / f"moments/{layer}.safetensors", {"count": "899"})
    used = {} if algorithm == "rome" else moments
    factors = factors_of(used, plan) if used else {}
    iterate(Editor(ours, plan, factors, workers=Workers(Journal(tmp_path / "ours", ""))), edits)
    published = easyedit.load_published(real, algorithm)
    given = (TEMPLATES, tmp_path / "moments" if used else None, tmp_path / "scratch")
    material = easyedit.Material(tmp_path / "model", "tiny", *given)
    plan = replace(plan, engine="easyedit")
    other = Editor(theirs, plan, factors, workers=Workers(Journal(tmp_path / "theirs", "")))
    iterate(other, edits, easyedit.Engine(published, other, facts, material).take)
    for layer in hyperparameters["layers"]:
        expected = ours.cumulative_update(layer)
        assert (theirs.cumulative_update(layer) - expected).norm() < 1e-3 * expected.norm()
