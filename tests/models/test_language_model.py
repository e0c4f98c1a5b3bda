"""Named access to the edited parts, whatever the architecture stores them as."""

import json
from pathlib import Path

import pytest
import torch
from tiny import (
    ALL_ARCHITECTURES,
    ARCHITECTURES,
    FURTHER_ARCHITECTURES,
    LAYERS,
    WIDTH,
    WINDOW,
    save_tiny_model,
    tiny_config,
    tiny_model,
    tiny_network,
    tiny_tokenizer,
)
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, Qwen3_5Config

from reedit.errors import InputError
from reedit.models.assumed import check_forward
from reedit.models.hooks import captured, stopped_after
from reedit.models.language_model import LanguageModel
from reedit.models.layouts import LAYOUTS, Layout, layout_of

IDS = torch.tensor([[5, 40, 80, 7, 99, 12]])


def noise(model: LanguageModel, layer: int, seed: int) -> torch.Tensor:
    return 0.1 * torch.randn(model.weight(layer).shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("keys", [64, WIDTH], ids=["oblong", "square"])
def test_a_weight_maps_keys_to_values_whatever_its_storage(architecture: str, keys: int) -> None:
    """Also where it is square, so that its shape cannot tell how it is stored."""
    model = tiny_model(architecture, keys=keys)
    module = model.mlp_output(2)
    weight = model.weight(2)
    assert weight.shape == (WIDTH, keys)
    key = torch.randn(keys, dtype=torch.float64)
    bias = getattr(module, "bias", None)
    value = weight.double() @ key + (0 if bias is None else bias)
    assert torch.allclose(module(key), value, rtol=1e-6, atol=1e-6)
    update = noise(model, 2, 0)
    model.set_weight(2, weight + update)
    assert torch.allclose(module(key), value + update.double() @ key, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("keys", [64, WIDTH], ids=["oblong", "square"])
def test_exported_updates_give_a_fresh_model_the_same_logits(architecture: str, keys: int) -> None:
    model = tiny_model(architecture, keys=keys)
    unedited = model.model(IDS).logits
    for layer in (1, 4):
        for seed in (1, 2):  # cumulative: two changes
            model.set_weight(layer, model.weight(layer) + noise(model, layer, seed))
    updates = model.export_updates([1, 4])
    for name, update in updates.items():
        assert update.shape == model.model.get_parameter(name).shape
        assert update.dtype == torch.float32 and update.is_contiguous()
    fresh = tiny_model(architecture, keys=keys)
    fresh.import_updates(updates, [1, 4])
    logits = fresh.model(IDS).logits
    assert torch.allclose(logits, model.model(IDS).logits, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(logits, unedited, rtol=1e-2, atol=1e-2)
    by_hand = tiny_network(architecture, keys=keys).eval()  # as a user would, without the library
    with torch.no_grad():
        for name, update in updates.items():
            by_hand.get_parameter(name).add_(update)
        assert torch.allclose(by_hand(IDS).logits.double(), logits, rtol=1e-3, atol=1e-3)


def test_imported_updates_replace_those_before() -> None:
    model = tiny_model("llama", dtype=torch.float32)
    logits = model.model(IDS).logits
    zero = {name: torch.zeros_like(update) for name, update in model.export_updates([1, 2]).items()}
    for layer in (1, 2):
        model.set_weight(layer, model.weight(layer) + noise(model, layer, 3))
    first = model.export_updates([1, 2])
    model.import_updates(zero, [1, 2])
    assert torch.equal(model.model(IDS).logits, logits)
    model.import_updates(first, [1, 2])
    model.import_updates(first, [1, 2])
    assert all(torch.allclose(model.export_updates([1, 2])[name], first[name], atol=1e-6) for name in first)


def test_small_updates_survive_in_a_model_of_half_precision() -> None:
    """Edited weights are kept in fp32: many updates below bf16's resolution add up."""
    model = tiny_model("llama", dtype=torch.bfloat16)
    before = model.weight(2).clone()
    step = torch.full_like(before, 1e-5)
    for _ in range(200):
        model.set_weight(2, model.weight(2) + step)
    assert torch.allclose(model.cumulative_update(2), torch.full_like(before, 2e-3), rtol=1e-2, atol=1e-6)
    stored = model.mlp_output(2).weight
    assert stored.dtype == torch.bfloat16
    assert torch.equal(stored, model.weight(2).bfloat16())


@pytest.mark.parametrize("architecture", ALL_ARCHITECTURES)
@pytest.mark.parametrize("layer", [0, 3, LAYERS - 2, LAYERS - 1])
def test_the_upper_part_of_a_model_finishes_what_the_lower_began(architecture: str, layer: int) -> None:
    model = tiny_model(architecture)
    with captured({}, {"hidden": model.layers[layer]}) as seen:
        whole = model.backbone(input_ids=IDS, use_cache=False)[0]
    upper = model.upper(layer)(seen["hidden"], use_cache=False)
    assert torch.allclose(upper, whole, rtol=1e-10, atol=1e-10)
    assert torch.equal(model.backbone(input_ids=IDS, use_cache=False)[0], whole), "the model itself is whole"
    assert len(model.layers) == LAYERS


def test_hooks_are_gone_after_an_exception(llama: LanguageModel) -> None:
    with (
        pytest.raises(RuntimeError, match="inside"),
        captured({"in": llama.mlp_output(1)}, {"out": llama.layers[1]}),
        stopped_after(llama.layers[2]),
    ):
        raise RuntimeError("inside")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.model.modules())


def test_a_stopped_pass_runs_no_later_layer_and_keeps_what_was_captured(llama: LanguageModel) -> None:
    ran = []
    handle = llama.layers[3].register_forward_hook(lambda *_: ran.append(3))
    with (
        captured({"key": llama.mlp_output(2)}, {"out": llama.layers[2]}) as seen,
        stopped_after(llama.layers[2]),
    ):
        llama.backbone(input_ids=IDS, use_cache=False)
    handle.remove()
    assert ran == [] and seen["key"].shape == (1, 6, 64) and seen["out"].shape == (1, 6, WIDTH)


@pytest.mark.parametrize("layers", [[-1], [0, LAYERS], [LAYERS + 3]])
def test_a_layer_that_does_not_exist_is_an_input_error(layers: list[int], llama: LanguageModel) -> None:
    with pytest.raises(InputError, match=f"the model has layers 0 to {LAYERS - 1}"):
        llama.check_layers(layers)


@pytest.mark.parametrize("layers", [[], [3, 2], [2, 2]])
def test_layers_must_rise(layers: list[int], llama: LanguageModel) -> None:
    with pytest.raises(InputError, match="each above the one before"):
        llama.check_layers(layers)
    llama.check_layers([0, 2, LAYERS - 1])


def test_an_unknown_architecture_is_an_input_error_that_lists_the_known() -> None:
    network = tiny_network("llama")
    network.config.model_type = "mamba"
    with pytest.raises(InputError, match="no layout for the architecture 'mamba'; known: llama"):
        LanguageModel(network, tiny_tokenizer())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_model_loads_as_it_was(architecture: str, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", 4, architecture)
    loaded = LanguageModel.load(tmp_path / "m", device="cpu")
    assert torch.equal(loaded.model(IDS).logits, tiny_network(architecture, 4).eval()(IDS).logits)
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.parameters())
    text = "Kyoto lies in"
    assert loaded.tokenizer(text)["input_ids"] == tiny_tokenizer()(text)["input_ids"]
    half = LanguageModel.load(tmp_path / "m", "bfloat16", "cpu")
    assert half.model.dtype == torch.bfloat16
    reduced = LanguageModel.load(tmp_path / "m", "tfloat32", "cpu")  # as float32 where there is no TF32
    assert torch.equal(reduced.model(IDS).logits, loaded.model(IDS).logits)
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_folder_without_a_model_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a model that loads") as caught:
        LanguageModel.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_weights_in_a_pickle_are_not_read(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(tiny_network().state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="not a model that loads"):
        LanguageModel.load(tmp_path)


@pytest.mark.parametrize("architecture", ALL_ARCHITECTURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_logits_are_those_of_the_models_own_pass(architecture: str, dtype: torch.dtype) -> None:
    """Gemma's are capped at 5 here, so that they are far from what its output layer says."""
    model = tiny_model(architecture, dtype=dtype)
    with torch.no_grad():
        final, own = model.backbone(input_ids=IDS)[0], model.model(IDS).logits
    found = model.logits(final)
    assert found.dtype == torch.float32 and torch.equal(found, own.float())
    if architecture == "gemma3_text":
        assert found.abs().max() <= 5 < 2 * model.head(final).abs().max()


EVERY = (*ALL_ARCHITECTURES, *FURTHER_ARCHITECTURES)


def test_every_layout_has_a_tiny_model() -> None:
    assert {name.removesuffix("_untied") for name in EVERY} == LAYOUTS.keys() - {"qwen3_5"}


def test_of_a_model_that_also_sees_the_text_part_is_loaded(tmp_path: Path) -> None:
    """Qwen 3.5, which comes with the tower for images alone."""
    eyes = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 4, "out_hidden_size": 32}
    text = tiny_config("qwen3_5_text", 64).to_dict() | {"tie_word_embeddings": False}
    config = Qwen3_5Config(text_config=text, vision_config=eyes | {"patch_size": 4})
    network = AutoModelForImageTextToText.from_config(config).eval()
    network.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model = LanguageModel.load(tmp_path, device="cpu")
    assert model.layout is layout_of(tmp_path) is LAYOUTS["qwen3_5_text"]
    with torch.no_grad():
        assert torch.allclose(model.model(IDS).logits, network(input_ids=IDS).logits, atol=1e-4)


@pytest.mark.parametrize("architecture", EVERY)
def test_every_architecture_passes_the_door(architecture: str) -> None:
    """Scaled and capped logits, multipliers and parts of a pass are the model's own."""
    model = tiny_model(architecture, dtype=torch.float32)
    check_forward(model, "m")
    final, own = model.backbone(input_ids=IDS)[0], model.model(IDS).logits
    assert torch.equal(model.logits(final), own)


OTHERWISE = {  # architectures that no row of LAYOUTS is enough for, with one that nearly is
    "hyperclovax": ({"residual_multiplier": 0.5}, LAYOUTS["llama"], "what its MLP says"),
    "gpt_neo": (
        {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 3},
        Layout("transformer", "h", "attn", "mlp.c_proj", positions="wpe"),
        "by their keys and values alone",
    ),
    "opt": (
        {"ffn_dim": 64, "word_embed_proj_dim": 16},
        Layout("model.decoder", "layers", "self_attn", "fc2"),
        "",
    ),
}


@pytest.mark.parametrize("kind", OTHERWISE)
def test_what_no_row_of_layouts_can_say_is_refused_in_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, layout, told = OTHERWISE[kind]
    monkeypatch.setitem(LAYOUTS, kind, layout)
    sizes = {"vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = AutoConfig.for_model(kind, **sizes, num_attention_heads=4, initializer_range=0.2, **own)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f": a {kind} model that .*{told}: no way to edit") as caught:
        LanguageModel.load(tmp_path, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_model_whose_positions_see_later_ones_is_refused() -> None:
    config = AutoConfig.for_model(
        **tiny_config("gemma3_text", 64).to_dict() | {"use_bidirectional_attention": True}
    )
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with pytest.raises(InputError, match=r"m: a gemma3_text model that .* a mask that shows later positions"):
        check_forward(LanguageModel(network, tiny_tokenizer()), "m")


@pytest.mark.parametrize("architecture", ["mistral", "phi3", "gemma2", "gemma3_text", "qwen2", "cohere2"])
def test_what_positions_see_is_what_the_models_own_pass_says(architecture: str) -> None:
    """A window of eight shows the position itself and seven before it."""
    model = tiny_model(architecture)
    at = torch.arange(20)
    behind = at[:, None] - at
    full, window = behind >= 0, (behind >= 0) & (behind < WINDOW)
    types = getattr(model.model.config, "layer_types", None) or ["sliding_attention"] * LAYERS
    for length in (20, 11):  # the shorter from what is known of the longer
        for layer, found in model.visible(length).items():
            seen = window if types[layer] == "sliding_attention" else full
            assert torch.equal(found, seen[:length, :length])


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("qwen2", {"use_sliding_window": False, "sliding_window": WINDOW}),
        ("llama", {"sliding_window": WINDOW}),
    ],
    ids=["switched off", "not of this architecture"],
)
def test_a_window_that_a_model_does_not_use_hides_nothing(architecture: str, settings: dict) -> None:
    config = tiny_config(architecture, 64).to_dict()
    config = AutoConfig.for_model(**{k: v for k, v in config.items() if k != "layer_types"} | settings)
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    visible = LanguageModel(network, tiny_tokenizer()).visible(20)
    assert all(seen.equal(torch.ones(20, 20, dtype=torch.bool).tril()) for seen in visible.values())


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation"])
def test_flash_attention_is_not_used_whatever_a_model_asks_for(name: str, tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {name: "flash_attention_2"}))
    model = LanguageModel.load(tmp_path, device="cpu")
    assert model.model.config._attn_implementation == "eager"
    model.model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(InputError, match="m: attention by 'flash_attention_2', expected eager or sdpa"):
        check_forward(model, "m")
