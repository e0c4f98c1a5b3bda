"""A checkout of EasyEdit as far as our adapter sees one: module layout, signatures, and edits that are known.

Its "edit" adds `STEP` times the number of requests to every edited weight, or what `UPDATE` says.
"""

from pathlib import Path

STEP = 0.001

HYPERPARAMETERS = """
from dataclasses import dataclass
from typing import List

@dataclass
class {algorithm}HyperParams:
    layers: List[int]
    fact_token: str
    v_num_grad_steps: int
    v_lr: float
    v_loss_layer: int
    v_weight_decay: float
    clamp_norm_factor: float
    kl_factor: float
    mom2_adjustment: bool
    rewrite_module_tmp: str
    layer_module_tmp: str
    mlp_module_tmp: str
    attn_module_tmp: str
    ln_f_module: str
    lm_head_module: str
    mom2_dataset: str
    mom2_n_samples: int
    mom2_dtype: str
    alg_name: str
    device: int
    model_name: str
    stats_dir: str
    {more}
    max_length: int = 40
    model_parallel: bool = False
"""
MORE = {
    "rome": "context_template_length_params: List[List[int]]",
    "memit": "layer_selection: str; mom2_update_weight: float",
    "pmet": "layer_selection: str; mom2_update_weight: float; nll_loss_factor: float;"
    " rewrite_module_tmps: List[str]",
}

MAIN = """
import dataclasses
import torch
from ..rome.layer_stats import layer_stats
from .{name}_hparams import {algorithm}HyperParams

CONTEXT_TEMPLATES_CACHE = None
CALLS = []  # what every call was given
UPDATE = None  # a function of (layer, weight) for another update

def apply_{name}_to_model(model, tok, {requests}, hparams, copy=False, return_orig_weights=False, **kwargs):
    requests = {requests}
    print("a line a pass")
    parameters = dict(model.named_parameters())
    first = model.get_submodule(hparams.layer_module_tmp.format(0))
    shapes = []
    hook = first.register_forward_hook(lambda module, args, out: shapes.append(type(out).__name__))
    batch = tok([r["prompt"].format(r["subject"]) for r in requests], return_tensors="pt", padding=True)
    model(**batch.to(model.device))
    hook.remove()
    call = dataclasses.asdict(hparams)
    call |= {{"requests": requests, "templates": CONTEXT_TEMPLATES_CACHE, "layer_returns": shapes[0]}}
    call |= {{"architecture": model.config._name_or_path, "repository": model.name_or_path}}
    call |= {{"padding": tok.padding_side, "head": f"{{hparams.lm_head_module}}.weight" in parameters}}
    call["modules"] = [
        name for name in (hparams.ln_f_module, *(
            template.format(1) for template in
            (hparams.attn_module_tmp, hparams.mlp_module_tmp, hparams.rewrite_module_tmp)
        )) if model.get_submodule(name) is not None
    ]
    if hparams.mom2_adjustment:
        call["moments"] = {{
            layer: layer_stats(
                model, tok, hparams.rewrite_module_tmp.format(layer), hparams.stats_dir, hparams.mom2_dataset,
                to_collect=["mom2"], sample_size=hparams.mom2_n_samples, precision=hparams.mom2_dtype,
            )
            for layer in hparams.layers
        }}
    CALLS.append(call)
    with torch.no_grad():
        for layer in hparams.layers:
            weight = parameters[hparams.rewrite_module_tmp.format(layer) + ".weight"]
            weight[...] += UPDATE(layer, weight) if UPDATE else {step} * len(requests)
    return model, {{}}
"""

# ROME's way with files of statistics: the path, the keys, a sum divided by its count
LAYER_STATS = """
from pathlib import Path
import numpy
import torch

load_dataset = None

def layer_stats(model, tok, layer_name, stats_dir, ds_name, to_collect, sample_size, precision):
    name = model.config._name_or_path.replace("/", "_")
    file = f"{layer_name}_{precision}_{'-'.join(sorted(to_collect))}_{sample_size}.npz"
    path = Path(stats_dir) / name / f"{ds_name}_stats" / file
    if not path.exists():
        load_dataset(ds_name)
    found = numpy.load(path)
    assert found["sample_size"] == sample_size
    return torch.from_numpy(found["mom2.mom2"]) / int(found["mom2.count"])
"""


def write_checkout(folder: Path) -> Path:
    """A fake checkout in `folder`."""
    files = {"__init__.py": "", "models/__init__.py": "", "models/rome/layer_stats.py": LAYER_STATS}
    for name, more in MORE.items():
        words = {"name": name, "algorithm": name.upper(), "step": STEP}
        words["requests"] = "request" if name == "rome" else "requests"
        files[f"models/{name}/__init__.py"] = ""
        files[f"models/{name}/{name}_main.py"] = MAIN.format(**words)
        files[f"models/{name}/{name}_hparams.py"] = HYPERPARAMETERS.format(more=more, **words)
    for path, text in files.items():
        place = folder / "easyeditor" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder
