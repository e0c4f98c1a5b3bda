"""What transformers 5 writes in its own words, said in those of transformers 4 beside them.

Much of the world still runs 4.x: serving stacks, other editors. It passes over keys that it does not know,
and takes its defaults in silence: a base of 10,000 for a rotary embedding of another one.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reedit.storage.files import write_text

Settings = dict[str, Any]
# What tokenizer.json says and no more, in 4.x and in 5.x; other classes rebuild parts of it.
TOKENIZER_CLASS = "PreTrainedTokenizerFast"
FULL, SLIDING = "full_attention", "sliding_attention"


def state_for_older(folder: Path) -> None:
    """Have transformers 4 read the model and tokenizer of `folder` as transformers 5 does.

    A file that says more afterwards is a new one: others that share its bytes by a hard link stay.
    """
    template = folder / "chat_template.jinja"  # of 4.x only the later releases look for it
    told = template.read_text(encoding="utf-8") if template.is_file() else None
    _rewrite(folder / "config.json", with_older_settings)
    if (folder / "tokenizer.json").is_file():
        _rewrite(folder / "tokenizer_config.json", lambda settings: with_older_tokenizer(settings, told))


def with_older_settings(settings: Mapping[str, Any]) -> Settings:
    """A config.json's object with rotary embeddings, windows and dtype in transformers 4's words, too."""
    older: Settings = {}
    if settings.get("dtype"):
        older["torch_dtype"] = settings["dtype"]
    rope = settings.get("rope_parameters")
    if isinstance(rope, dict) and isinstance(rope.get(FULL), dict):  # by the kind of a layer's attention
        older |= _older_rope(rope[FULL], settings.get("model_type"))
        if isinstance(rope.get(SLIDING), dict) and "rope_theta" in rope[SLIDING]:
            older["rope_local_base_freq"] = rope[SLIDING]["rope_theta"]
    elif isinstance(rope, dict):
        older |= _older_rope(rope, settings.get("model_type"))
    if pattern := _pattern(settings.get("layer_types") or ()):
        older["sliding_window_pattern"] = pattern
    return {**settings, **{key: value for key, value in older.items() if key not in settings}}


def _older_rope(rope: Mapping[str, Any], kind: Any) -> Settings:
    """The keys of one rotary embedding."""
    theta, part = rope.get("rope_theta"), rope.get("partial_rotary_factor")
    names = (
        ("rotary_emb_base", "rotary_pct") if kind == "gpt_neox" else ("rope_theta", "partial_rotary_factor")
    )
    older = {name: value for name, value in zip(names, (theta, part), strict=True) if value is not None}
    scaling = {
        key: value for key, value in rope.items() if key not in ("rope_theta", "partial_rotary_factor")
    }
    if scaling.get("rope_type", "default") == "default":
        return older
    if kind == "phi3":  # which takes these three alone, and calls the first of them so
        scaling = {"type": scaling["rope_type"]} | {
            key: scaling[key] for key in ("short_factor", "long_factor") if key in scaling
        }
    return older | {"rope_scaling": scaling}


def _pattern(kinds: list[str]) -> int | None:
    """n where every n-th layer attends to all and the others to a window; None where it is not so."""
    if SLIDING not in kinds or FULL not in kinds:
        return None
    n = kinds.index(FULL) + 1
    return n if list(kinds) == [SLIDING if (i + 1) % n else FULL for i in range(len(kinds))] else None


def with_older_tokenizer(settings: Mapping[str, Any], template: str | None) -> Settings:
    """A tokenizer_config.json's object beside a tokenizer.json, with a class and names that both know.

    `template`: of a chat, where it stands in a file of its own.
    """
    changed = {**settings, "tokenizer_class": TOKENIZER_CLASS}
    changed.setdefault("clean_up_tokenization_spaces", False)  # 5.x has no other default
    if isinstance(changed.get("extra_special_tokens"), list):
        changed.setdefault("additional_special_tokens", changed.pop("extra_special_tokens"))
    if template is not None:
        changed.setdefault("chat_template", template)
    return changed


def _rewrite(path: Path, change: Callable[[Settings], Settings]) -> None:
    if not path.is_file():
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    if (after := change(before)) != before:
        write_text(path, json.dumps(after, indent=2, ensure_ascii=False) + "\n")
