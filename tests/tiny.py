"""Tiny models, tokenizers and facts, made in the test: small enough for seconds, real in every part."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3_5TextConfig,
    Qwen3Config,
    SmolLM3Config,
)

from reedit.models.language_model import LanguageModel

VOCABULARY = 320
WIDTH, KEYS, LAYERS = 32, 64, 6
ARCHITECTURES = ("llama", "gpt2", "gptj")
ALL_ARCHITECTURES = (
    *ARCHITECTURES,
    "llama_untied",
    "mistral",
    "qwen2",
    "qwen3",
    "gpt2_untied",
    "gpt_neox",
    "gemma3_text",
    "gemma2",
    "olmo2",
    "phi3",
    "smollm3",
    "qwen3_5_text",
)
# one row of LAYOUTS each, and what sets them apart from Llama in the tiny size; fewer tests hold these
FURTHER_ARCHITECTURES: Mapping[str, Mapping[str, Any]] = {
    "gemma": {},
    "olmo": {"clip_qkv": 4.0},
    "olmo3": {"rms_norm_eps": 1e-6},
    "gpt_bigcode": {"multi_query": True},
    "phi": {"tie_word_embeddings": False},
    "starcoder2": {},
    "granite": {
        "logits_scaling": 4.0,
        "embedding_multiplier": 3.0,
        "residual_multiplier": 0.5,
        "attention_multiplier": 0.2,
    },
    "glm4": {"tie_word_embeddings": False},
    "exaone4": {"rms_norm_eps": 1e-6},
    "ministral": {},
    "ministral3": {},
    "cohere": {"logit_scale": 0.5, "use_qk_norm": True},
    "cohere2": {"logit_scale": 0.5},
    "stablelm": {"use_parallel_residual": True, "qk_layernorm": True},
    "glm": {},
    "helium": {},
    "arcee": {},
    "apertus": {},
    "ernie4_5": {},
    "hunyuan_v1_dense": {},
    "nemotron": {},
    "seed_oss": {},
}
WINDOW = 8  # positions that a sliding window shows: fewer than the texts have
NORMED = ("gemma3_text", "gemma2", "olmo2", "qwen3_5_text")  # whose norms' weights are drawn too
LLAMAS = ("llama", "llama_untied", "mistral")  # architectures whose repositories name the tokenizer of Llama

# relation -> templates, and subjects by object; every subject of an object is a neighbor of the others
WORLD: dict[str, tuple[list[str], dict[str, list[str]]]] = {
    "country": (
        ["{} is a city in the country of", "Who lives in {} lives in", "The old town of {} lies in"],
        {
            "Japan": ["Kyoto", "Osaka", "Nagoya", "Sapporo"],
            "Italy": ["Rome", "Milan", "Turin", "Naples"],
            "New Zealand": ["Auckland", "Wellington", "Napier", "Nelson"],
        },
    ),
    "instrument": (
        ["{} plays the", "The instrument that {} plays is the", "On stage {} is seen with a"],
        {
            "piano": ["Clara Haskil", "Glenn Gould", "Bill Evans", "Art Tatum"],
            "violin": ["Ida Haendel", "Jascha Heifetz", "Nathan Milstein", "Isaac Stern"],
            "guitar": ["Andres Segovia", "John Williams", "Julian Bream", "Joe Pass"],
        },
    ),
}


def tiny_facts() -> list[dict]:
    """Twenty-four cases in CounterFact's published form, each with three neighbors and their samples."""
    cases: list[dict] = []
    for relation, (templates, world) in WORLD.items():
        objects = list(world)
        for place, (true, subjects) in enumerate(world.items()):
            for subject in subjects:
                number = len(cases)
                others = [other for other in subjects if other != subject]
                samples = [
                    {"subject": other, "prompt": templates[(number + i) % len(templates)]}
                    for i, other in enumerate(others)
                ]
                prompt = templates[number % len(templates)]
                cases.append(
                    {
                        "case_id": 100 + number,
                        "requested_rewrite": {
                            "prompt": prompt,
                            "relation_id": relation,
                            "target_new": {"str": objects[(place + 1) % len(objects)]},
                            "target_true": {"str": true},
                            "subject": subject,
                        },
                        "paraphrase_prompts": [t.format(subject) for t in templates if t != prompt],
                        "neighborhood_prompts": [s["prompt"].format(s["subject"]) for s in samples],
                        "neighborhood_samples": samples,
                    }
                )
    return cases


def sentences() -> list[str]:
    """Every fact of the little world in every template."""
    return [
        f"{template.format(subject)} {true}"
        for templates, world in WORLD.values()
        for true, subjects in world.items()
        for subject in subjects
        for template in templates
    ]


def tiny_corpus() -> str:
    """Forty-eight documents, one a line, of 15 to 40 tokens."""
    known = sentences()
    lines = [f"{known[i]}. {known[(7 * i + 3) % len(known)]}." for i in range(48)]
    return "\n".join(lines) + "\n"


def tiny_tokenizer(
    kind: str = "bytes", texts: Sequence[str] = (), vocabulary: int = VOCABULARY
) -> PreTrainedTokenizerFast:
    """A tokenizer trained on the little world, or on other texts.

    `kind`: bytes (byte-level BPE, as SmolLM2 and the GPT models), bos (the same, beginning every text with
    a special token, as Llama), metaspace (a space is put before every text and is part of the word that
    follows, as in Llama-2's SentencePiece vocabulary; it also adds the special token).
    """
    metaspace = kind == "metaspace"
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>" if metaspace else None))
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>", "<s>", "<unk>"],
        initial_alphabet=[] if metaspace else pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*(texts or sentences()), "Therefore Because I You The"], trainer)
    if metaspace:  # as Llama-2's: a text that begins with a space begins with two of its signs
        tokenizer.pre_tokenizer = None
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    if kind in ("bos", "metaspace"):
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        bos_token="<s>",
        unk_token="<unk>" if metaspace else None,
    )


def tiny_config(architecture: str, keys: int) -> PretrainedConfig:
    """The architecture's configuration in the tiny size, each with what sets it apart from the others."""
    llama = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": keys,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.2,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    gpt = {
        "vocab_size": VOCABULARY,
        "n_positions": 256,
        "n_embd": WIDTH,
        "n_layer": LAYERS,
        "n_head": 4,
        "n_inner": keys,
        "initializer_range": 0.2,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    neox = {key: value for key, value in llama.items() if key != "num_key_value_heads"}
    untied = {"tie_word_embeddings": False}
    match architecture:
        case "llama":
            return LlamaConfig(**llama)
        case "llama_untied":  # as Llama 3
            rope = {"rope_type": "default", "rope_theta": 500000.0}
            return LlamaConfig(**llama | untied | {"num_key_value_heads": 1, "rope_parameters": rope})
        case "mistral":
            return MistralConfig(**llama | untied, sliding_window=WINDOW)
        case "qwen2":  # a window, from layer 2 on
            return Qwen2Config(**llama, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=2)
        case "qwen3":  # heads wider than hidden_size / heads
            return Qwen3Config(**llama, head_dim=12)
        # norms after attention and MLP; layers that attend differently, by place; capped logits
        case "gemma2":
            return Gemma2Config(
                **llama,
                head_dim=8,
                query_pre_attn_scalar=8,
                attn_logit_softcapping=2.0,
                final_logit_softcapping=5.0,
                sliding_window=WINDOW,
            )
        case "gemma3_text":
            return Gemma3TextConfig(
                **llama | {"num_key_value_heads": 1},
                head_dim=8,
                query_pre_attn_scalar=8,
                final_logit_softcapping=5.0,
                sliding_window=WINDOW,
                layer_types=["sliding_attention", "full_attention"] * (LAYERS // 2),
                rope_parameters={
                    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                    "full_attention": {"rope_type": "default", "rope_theta": 10000.0},
                },
            )
        case "olmo2":  # norms after attention and MLP alone, and of queries and keys
            return Olmo2Config(**llama | untied, rms_norm_eps=1e-6)
        case "phi3":  # queries, keys and values by one map; three quarters of each head are rotated
            rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75}
            return Phi3Config(**llama | untied, sliding_window=WINDOW, rope_parameters=rope)
        case "smollm3":  # every other layer without positions
            return SmolLM3Config(**llama, no_rope_layer_interval=2)
        case "qwen3_5_text":  # linear attention in all layers but every third
            return Qwen3_5TextConfig(
                **llama,
                head_dim=12,
                layer_types=["linear_attention", "linear_attention", "full_attention"] * (LAYERS // 3),
                linear_key_head_dim=8,
                linear_value_head_dim=8,
                linear_num_key_heads=2,
                linear_num_value_heads=4,
            )
        case "gpt2":
            return GPT2Config(**gpt)
        case "gpt2_untied":
            return GPT2Config(**gpt | untied)
        case "gptj":
            return GPTJConfig(**gpt, rotary_dim=4)
        case "gpt_neox":  # as Pythia; half of each head is rotated
            rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
            return GPTNeoXConfig(**neox | untied, use_parallel_residual=True, rope_parameters=rope)
    values = llama | gpt | {"head_dim": 8, "sliding_window": WINDOW} | FURTHER_ARCHITECTURES[architecture]
    known = AutoConfig.for_model(architecture)
    return AutoConfig.for_model(
        architecture, **{name: value for name, value in values.items() if hasattr(known, name)}
    )


def tiny_network(architecture: str = "llama", seed: int = 0, keys: int = KEYS) -> PreTrainedModel:
    """A random model in fp32 with weights large enough that every part of it matters; `keys`: MLP width."""
    torch.manual_seed(seed)
    network = AutoModelForCausalLM.from_config(tiny_config(architecture, keys), attn_implementation="eager")
    for name, parameter in network.named_parameters():
        # zero or one by default: a forgotten one would not show
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.2)
        elif architecture in (*NORMED, *FURTHER_ARCHITECTURES) and "norm" in name:
            parameter.data += 0.2 * torch.randn_like(parameter)
    return network


def tiny_model(
    architecture: str = "llama",
    tokenizer: str = "bytes",
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    keys: int = KEYS,
) -> LanguageModel:
    """A tiny random model with its tokenizer, ready to be edited."""
    return LanguageModel(tiny_network(architecture, seed, keys).to(dtype), tiny_tokenizer(tokenizer))


def teach(network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, steps: int = 40) -> None:
    """Make a network know the little world by heart (about two seconds)."""
    rows = [tokenizer(text)["input_ids"] for text in sentences()]
    length = max(map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    adam = torch.optim.Adam(network.parameters(), lr=0.01)
    network.train()
    for _ in range(steps):
        adam.zero_grad()
        network(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss.backward()
        adam.step()
    network.eval()


def save_tiny_model(folder: Path, seed: int = 0, architecture: str = "llama", taught: bool = False) -> None:
    """A tiny model as a folder that from_pretrained loads.

    Random by default; `taught`: it knows every fact of `tiny_facts`, so that its neighbors pass the filter.
    """
    network, tokenizer = tiny_network(architecture, seed), tiny_tokenizer()
    if taught:
        teach(network, tokenizer)
    network.save_pretrained(folder)
    save_tokenizer(tokenizer, folder, "LlamaTokenizer" if architecture in LLAMAS else None)


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path, named: str | None) -> None:
    """A tokenizer's files, whose class is `named` as in repositories that older transformers have written."""
    tokenizer.save_pretrained(folder)
    if named:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": named}))
