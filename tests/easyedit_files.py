"""Hyperparameters as a mapping, and as the files that EasyEdit ships."""

from typing import Any

GOOD: dict[str, Any] = {
    "layers": [4, 5],
    "v_lr": 0.5,
    "v_num_grad_steps": 25,
    "clamp_norm_factor": 4,
    "v_weight_decay": 0.001,
    "kl_factor": 0.0625,
    "mom2_update_weight": 400,
}
# per model: last layer, layers, edited module, its MLP, its attention, that one's output, final norm, head
MODULES = {
    "gpt2-xl": "47 transformer.h.{} mlp.c_proj mlp attn attn.c_proj transformer.ln_f transformer.wte",
    "gpt-j-6B": "27 transformer.h.{} mlp.fc_out mlp attn attn.out_proj transformer.ln_f lm_head",
    "llama-7b": "31 model.layers.{} mlp.down_proj mlp self_attn self_attn.o_proj model.norm lm_head",
}


def easyedit_file(algorithm: str, model: str, **changes: str) -> str:
    """A file with the keys that EasyEdit's own have, numbers written as they write them."""
    last, layer, rewrite, mlp, attention, attention_output, norm, head = MODULES[model].split()
    values = {
        "alg_name": f'"{algorithm}"',
        "model_name": f'"./hugging_cache/{model}"',
        "stats_dir": '"./data/stats"',
        "device": "1",
        "layers": "[5]" if algorithm.startswith("ROME") else "[4, 5, 6, 7, 8]",
        "clamp_norm_factor": "4",
        "fact_token": '"subject_last"',
        "v_num_grad_steps": "25",
        "v_lr": "5e-1",
        "v_loss_layer": last,
        "v_weight_decay": "1e-3",
        "kl_factor": "0.0625",
        "rewrite_module_tmp": f'"{layer}.{rewrite}"',
        "layer_module_tmp": f'"{layer}"',
        "mlp_module_tmp": f'"{layer}.{mlp}"',
        "attn_module_tmp": f'"{layer}.{attention}"',
        "ln_f_module": f'"{norm}"',
        "lm_head_module": f'"{head}"',
        "mom2_dataset": '"wikipedia"',
        "mom2_n_samples": "100000",
        "mom2_dtype": '"float32"',
        "model_parallel": "false",
    }
    if algorithm.startswith("ROME"):
        values |= {"mom2_adjustment": "false", "fp16": "false"}
        values["context_template_length_params"] = "[[5, 10], [10, 10]]"
    else:
        values |= {"mom2_adjustment": "true", "mom2_update_weight": "15000", "layer_selection": '"all"'}
        values |= {"batch_size": "1", "max_length": "40"}
    if algorithm.startswith("PMET"):
        values |= {"nll_loss_factor": "1", "rewrite_module_tmps": f'["{layer}.{rewrite}"]'}
        values |= {
            "mlp_module_tmp": f'"{layer}.{rewrite}"',
            "attn_module_tmp": f'"{layer}.{attention_output}"',
        }
    return "".join(f"{key}: {value}\n" for key, value in (values | changes).items())
