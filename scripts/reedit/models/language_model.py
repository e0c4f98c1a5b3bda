"""A causal language model and its tokenizer, by the layout of its architecture."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as transformers_logging

from reedit.errors import InputError
from reedit.jobs.device import job_device
from reedit.models.assumed import check_forward
from reedit.models.hooks import captured, stopped_after, stopped_before
from reedit.models.layouts import layout_of_kind
from reedit.models.numbers import wide
from reedit.models.tokenizers import load_tokenizer
from reedit.models.tokens import Wording
from reedit.models.upper import FrozenCache, Upper, told_masks


class _Given(nn.Module):
    """Stands for a module whose output is known."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, *args: object, **kwargs: object) -> object:
        return self.output


class LanguageModel:
    """A model in evaluation mode without gradients, with named access to the parts that are edited.

    The weight of an edited layer is always spoken of as W of shape [d, key] (output, input), whatever
    its storage. Edited weights are kept in fp32 and cast for the forward pass (design, section 4).
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, wording: Wording | None = None
    ) -> None:
        self.layout = layout_of_kind(model.config.model_type)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.wording = wording or Wording(tokenizer)
        self._unedited: dict[int, Tensor] = {}  # layer -> W of theta_1, fp32
        self._edited: dict[int, Tensor] = {}  # layer -> W of the weights as they are now, fp32
        self._visible: dict[int, Tensor] = {}  # of the longest text yet; see `visible`

    @classmethod
    def load(
        cls,
        folder: Path | str,
        dtype: str = "float32",
        device: str | None = None,
        wording: Mapping[str, Any] | None = None,
    ) -> "LanguageModel":
        """Load a prepared model folder; CUDA where there is one, else the CPU.

        dtype: float32, tfloat32 (weights in float32, their products by the GPU's TF32 units, which round
        what they multiply to 10 bits; as float32 elsewhere), bfloat16 or float16.
        wording: separator and chat, as `Wording.of` takes them, where prompts are not put plainly.
        Raises InputError if the folder does not hold a model that loads from safetensors alone.
        """
        device = device or job_device()
        reduced = dtype == "tfloat32" and device != "cpu"
        torch.set_float32_matmul_precision("high" if reduced else "highest")
        transformers_logging.disable_progress_bar()  # the job's own log says what is going on
        try:
            tokenizer = load_tokenizer(folder)
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            # off the CPU sdpa where the architecture has it, which those that cap attention's logits have
            # not; never what a file asks for, as flash attention
            config._attn_implementation = "eager" if device == "cpu" else None
            model, loading = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                output_loading_info=True,
                dtype=torch.float32 if dtype == "tfloat32" else getattr(torch, dtype),
                use_safetensors=True,
                trust_remote_code=False,
            )
        except InputError:
            raise
        except Exception as error:  # whatever the libraries raise on hostile or damaged files
            told = str(error).strip().partition("\n")[0] or type(error).__name__
            raise InputError(f"{folder}: not a model that loads: {told}") from error
        if loading["missing_keys"] or loading["mismatched_keys"]:  # would be filled with random numbers
            missing = sorted(map(str, [*loading["missing_keys"], *loading["mismatched_keys"]]))
            raise InputError(
                f"{folder}: {len(missing)} tensors are missing or of another shape: {missing[0]}"
            )
        loaded = cls(model.to(device), tokenizer, Wording.of(tokenizer, **(wording or {})))
        check_forward(loaded, str(folder))
        return loaded

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def backbone(self) -> nn.Module:
        return self.model.get_submodule(self.layout.backbone)

    @property
    def layers(self) -> nn.ModuleList:
        return self.backbone.get_submodule(self.layout.layers)

    @property
    def head(self) -> nn.Module:
        """The linear map at the model's end; `logits` is what the model makes of it."""
        return self.model.get_output_embeddings()

    def logits(self, final: Tensor) -> Tensor:
        """What the model says where its final hidden states are `final` [..., d]: [..., vocabulary].

        By its own forward pass, scaled and capped as that has it, in its own precision, then fp32 at least.
        """
        rows = final.reshape(1, -1, final.shape[-1])
        above = copy.copy(self.model)
        above._modules = above._modules | {
            self.layout.backbone: _Given(BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=rows))
        }
        logits = above(inputs_embeds=rows, use_cache=False).logits
        return wide(logits).reshape(*final.shape[:-1], logits.shape[-1])

    def mlp_output(self, layer: int) -> nn.Module:
        """The edited module of a layer; its input is the key, its output the value."""
        return self.layers[layer].get_submodule(self.layout.mlp_output)

    def mlp_norm(self, layer: int) -> nn.Module | None:
        """The norm that the edited module's output goes through before the residual stream, if any."""
        norm = self.layout.mlp_norm
        return self.layers[layer].get_submodule(norm) if norm else None

    def mlp(self, layer: int) -> nn.Module:
        """The module whose output, `mlp_scale` times, is what a layer's MLP adds to the residual stream."""
        return self.mlp_norm(layer) or self.mlp_output(layer)

    @property
    def mlp_scale(self) -> float:
        """What the output of `mlp` is multiplied by on its way into the residual stream."""
        name = self.layout.mlp_scale
        return getattr(self.model.config, name) if name else 1.0

    def attention(self, layer: int) -> nn.Module:
        """The attention module of a layer, or what stands in its place."""
        return self.layers[layer].get_submodule(self._attention_name(layer))

    def keeps_keys(self, layer: int) -> bool:
        """Whether a layer reads earlier positions by their keys and values alone, as attention does."""
        return hasattr(self.layers[layer], self.layout.attention)

    def can_cut(self, layer: int) -> bool:
        """Whether keys and values are all that the layers after `layer` need of earlier positions."""
        return all(self.keeps_keys(after) for after in range(layer + 1, len(self.layers)))

    def _attention_name(self, layer: int) -> str:
        return self.layout.attention if self.keeps_keys(layer) else str(self.layout.recurrent)

    def module_name(self, layer: int | str) -> str:
        """The edited module's own name in the model; "{}" for that of any layer."""
        return self.layout.module_name(layer)

    def parameter_name(self, layer: int) -> str:
        """The edited parameter's own name in the model's state dict."""
        return f"{self.module_name(layer)}.weight"

    def widest_key(self, layers: Sequence[int]) -> int:
        """The most numbers that what the edited module of one of `layers` reads has."""
        return max(self._oriented(layer).shape[1] for layer in layers)  # not weight(), which keeps copies

    def check_layers(self, layers: list[int]) -> None:
        """Raise InputError if a layer does not exist or the list is not strictly increasing."""
        count = len(self.layers)
        for layer in layers:
            if not 0 <= layer < count:
                raise InputError(f"hyperparameters: layers: {layer}: the model has layers 0 to {count - 1}")
        if not layers or any(later <= earlier for earlier, later in pairwise(layers)):
            raise InputError(f"hyperparameters: layers: {layers}: expected each above the one before")

    def check_length(self, ids: Sequence[int], shift: int = 0, where: str = "") -> None:
        """Raise InputError for a text of more tokens, from position `shift` on, than the model reads."""
        self.wording.check_length(ids, self.model.config.max_position_embeddings, where, shift)

    def lighter(self, dtype: torch.dtype) -> "LanguageModel":
        """A copy of its own in a smaller number format, half the size in bfloat16."""
        return LanguageModel(copy.deepcopy(self.model).to(dtype), self.tokenizer, self.wording)

    def weight(self, layer: int) -> Tensor:
        """W of a layer as it is now: fp32 at least, [d, key]."""
        if layer not in self._edited:
            self._edited[layer] = wide(self._oriented(layer)).clone()
            self._unedited[layer] = self._edited[layer].clone()
        return self._edited[layer]

    def set_weight(self, layer: int, weight: Tensor) -> None:
        """Replace W of a layer; `weight` is [d, key]."""
        self.weight(layer)  # remembers theta_1 before the first change
        self._edited[layer] = wide(weight)
        self._oriented(layer).copy_(weight)

    @contextmanager
    def restored(self, layers: Sequence[int]) -> Iterator[None]:
        """Whatever happens to W of these layers inside the block, it is bit for bit as before afterwards."""
        before = {layer: self.weight(layer) for layer in layers}
        try:
            yield
        finally:
            for layer, weight in before.items():
                self.set_weight(layer, weight)

    @contextmanager
    def unedited(self, layers: Sequence[int]) -> Iterator[None]:
        """Within: W of these layers as it was loaded; afterwards as before."""
        with self.restored(layers):
            for layer in layers:
                self.set_weight(layer, self._unedited[layer])
            yield

    def gradients(
        self, layers: Sequence[int], loss: Callable[[], Tensor]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """A loss [], and its gradient by W of some layers, fp32 at least, [d, key] each."""
        parameters = [self.mlp_output(layer).weight for layer in layers]
        for parameter in parameters:
            parameter.requires_grad_(True)
        try:
            with torch.enable_grad():
                value = loss()
                found = torch.autograd.grad(value, parameters)
        finally:
            for parameter in parameters:
                parameter.requires_grad_(False)
        pairs = zip(layers, found, strict=True)
        return value.detach(), {layer: wide(self._stored(layer, gradient)) for layer, gradient in pairs}

    def adopt_weight(self, layer: int) -> None:
        """Take what the module holds for W of a layer: other code than ours has written there.

        theta_1 is what `weight` found at its first call, so that call has to come before.
        """
        self._edited[layer] = wide(self._oriented(layer)).clone()

    def cumulative_update(self, layer: int) -> Tensor:
        """theta_now - theta_1 of a layer: fp32 at least, [d, key]."""
        return self.weight(layer) - self._unedited[layer]

    def set_cumulative_update(self, layer: int, update: Tensor) -> None:
        """Make W of a layer theta_1 + `update`, [d, key]."""
        self.weight(layer)
        self.set_weight(layer, self._unedited[layer] + update.to(self.device))

    def export_updates(self, layers: list[int]) -> dict[str, Tensor]:
        """Cumulative updates under the parameters' own names and shapes, fp32, on the CPU."""
        return {
            self.parameter_name(layer): self._stored(layer, self.cumulative_update(layer).float())
            .cpu()
            .contiguous()
            for layer in layers
        }

    def import_updates(self, updates: Mapping[str, Tensor], layers: list[int]) -> None:
        """The reverse of `export_updates`."""
        for layer in layers:
            self.set_cumulative_update(layer, self._stored(layer, updates[self.parameter_name(layer)]))

    def _oriented(self, layer: int) -> Tensor:
        """A view of the stored parameter as [d, key]."""
        return self._stored(layer, self.mlp_output(layer).weight.data)

    def _stored(self, layer: int, weight: Tensor) -> Tensor:
        """[d, key] <-> the parameter's own shape: Conv1D keeps [key, d], Linear [d, key]."""
        return weight.T if isinstance(self.mlp_output(layer), Conv1D) else weight

    def after_attention(self, layer: int, entering: Tensor, attention: Tensor) -> Tensor:
        """The output of a layer from its input and a given output of its attention, each [.., .., d]."""
        block = copy.copy(self.layers[layer])
        # attention proper also says its weights
        given = _Given((attention, None) if self.keeps_keys(layer) else attention)
        block._modules = block._modules | {self._attention_name(layer): given}
        output = block(entering, position_embeddings=None)
        return output[0] if isinstance(output, tuple) else output

    def upper(self, after: int) -> Upper:
        """The backbone from the input of layer `after + 1` on, sharing all weights; see Upper.

        Called with the output of layer `after`, for -1 with what enters the first layer.
        """
        return Upper(self.backbone, self.layout.layers, after + 1)

    def visible(self, length: int) -> dict[int, Tensor]:
        """Layer by layer which position of a text sees which, bool [length, length], as the model has it.

        Windows and whatever else hides positions included. Layers that see alike share a tensor; those
        that do not read earlier positions by their keys are left out.
        """
        known = next(iter(self._visible.values()), torch.empty(0))
        if len(known) < length:
            ids = torch.zeros(1, length, dtype=torch.long, device=self.device)
            layers = {i: layer for i, layer in enumerate(self.layers) if self.keeps_keys(i)}
            run = partial(self.backbone, input_ids=ids, use_cache=False)
            self._visible = told_masks(run, layers, length)
        cropped = {seen: seen[:length, :length] for seen in self._visible.values()}
        return {layer: cropped[seen] for layer, seen in self._visible.items()}

    @torch.no_grad()
    def frozen(
        self, layers: range, entering: Tensor | None, **given: Any
    ) -> tuple[Tensor | None, FrozenCache | None]:
        """Keys and values of some layers, and what enters the layer above them, [r, p, d]; None at the end.

        `entering` [r, p, d]: the input of the first of them at rows' first positions, which see nothing of
        what fills them up, so that no mask is needed; or None, with `input_ids` among what is `given`. With
        `masks`, `position_ids` and `past_key_values` they follow kept ones, whose keys stand before theirs.
        """
        cache, kept = DynamicCache(), given.pop("past_key_values", None)
        for layer in layers if kept else ():
            cache.update(kept.keys[layer], kept.values[layer], layer)
        ends = layers.stop == len(self.layers)
        above = {} if ends else {"above": self.layers[layers.stop]}
        stop = stopped_after(self.layers[-1]) if ends else stopped_before(above["above"])
        with captured(above, {}) as seen, stop:
            self.upper(layers.start - 1)(entering, past_key_values=cache, use_cache=True, **given)
        return seen.get("above"), FrozenCache(
            {layer: cache.layers[layer].keys for layer in layers},
            {layer: cache.layers[layer].values for layer in layers},
        )
