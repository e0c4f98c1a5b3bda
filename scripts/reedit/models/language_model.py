"""A causal language model and its tokenizer, by the layout of its architecture."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
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
from reedit.models.layouts import layout_of_kind
from reedit.models.tokenizers import load_tokenizer
from reedit.models.tokens import Wording
from reedit.models.upper import FrozenCache, Upper, told_masks


def wide(tensor: Tensor) -> Tensor:
    """In fp32 where it is smaller."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


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

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.layout = layout_of_kind(model.config.model_type)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.wording = Wording(tokenizer)  # a job that asks otherwise puts its own here
        self._unedited: dict[int, Tensor] = {}  # layer -> W of theta_1, fp32
        self._edited: dict[int, Tensor] = {}  # layer -> W of the weights as they are now, fp32
        self._visible: dict[int, Tensor] = {}  # of the longest text yet; see `visible`

    @classmethod
    def load(cls, folder: Path | str, dtype: str = "float32", device: str | None = None) -> "LanguageModel":
        """Load a prepared model folder; CUDA where there is one, else the CPU.

        dtype: float32, tfloat32 (weights in float32, their products by the GPU's TF32 units, which round
        what they multiply to 10 bits; as float32 elsewhere), bfloat16 or float16.
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
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{folder}: not a model that loads: {str(error).splitlines()[0]}") from error
        if loading["missing_keys"] or loading["mismatched_keys"]:  # would be filled with random numbers
            missing = sorted(map(str, [*loading["missing_keys"], *loading["mismatched_keys"]]))
            raise InputError(
                f"{folder}: {len(missing)} tensors are missing or of another shape: {missing[0]}"
            )
        loaded = cls(model.to(device), tokenizer)
        loaded.check_forward(str(folder))
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

    def check_layers(self, layers: list[int]) -> None:
        """Raise InputError if a layer does not exist or the list is not strictly increasing."""
        count = len(self.layers)
        for layer in layers:
            if not 0 <= layer < count:
                raise InputError(f"hyperparameters: layers: {layer}: the model has layers 0 to {count - 1}")
        if not layers or any(later <= earlier for earlier, later in pairwise(layers)):
            raise InputError(f"hyperparameters: layers: {layers}: expected each above the one before")

    @torch.no_grad()
    def check_forward(self, name: str) -> None:
        """Raise InputError, about the model `name`, for one that is not what is assumed of it here.

        Additive masks (edit/optimization/buckets.py) are read neither by flash nor by flex attention. A pass
        over a few tokens tells the rest, whatever the configuration calls it: `logits`, `after_attention` and
        `upper` are the model's own pass in pieces, and what an MLP says is added to the residual stream as it
        is.
        """
        attention = self.model.config._attn_implementation
        if attention not in ("eager", "sdpa"):
            raise InputError(f"{name}: attention by {attention!r}, expected eager or sdpa")
        kind = self.model.config.model_type
        try:
            other = next((told for told, *pair in self._in_pieces() if not _alike(*pair)), None)
        except ValueError as error:
            other = f"hides positions from its layers by {error}"
        if other:
            raise InputError(f"{name}: a {kind} model that {other}: no way to edit it is known here")

    def _in_pieces(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """What to say where a piece of a pass, which comes second, is not what it should be."""
        ids = torch.arange(10, device=self.device)[None] % self.model.config.vocab_size
        ends = sorted({0, len(self.layers) - 1})
        inputs = {f"entering {i}": self.layers[i] for i in ends}
        outputs = {f"attention {i}": self.attention(i) for i in ends}
        outputs |= {f"hidden {i}": self.layers[i] for i in ends} | {"final": self.backbone}
        with captured(inputs, outputs) as seen:
            own = self.model(input_ids=ids, use_cache=False).logits
        yield "scales its logits in a way not known", self.logits(seen["final"]), wide(own)
        for layer in ends:
            entering, attention, hidden = (seen[f"{x} {layer}"] for x in ("entering", "attention", "hidden"))
            again = self.after_attention(layer, entering, attention)
            yield "does not add to the residual stream what its attention says", again, hidden
            more = hidden / self.mlp_scale
            with self.mlp(layer).register_forward_hook(lambda _, args, out, more=more: out + more):
                doubled = self.after_attention(layer, entering, attention)
            yield "does not add to the residual stream what its MLP says", doubled, 2 * hidden
        # then all above the first layer at new positions, behind kept ones of which some are another row's
        hidden, (kept, cut) = seen["hidden 0"], (8, 5) if self.can_cut(0) else (0, 0)
        before, new = torch.arange(kept, device=self.device), torch.arange(cut, 10, device=self.device)
        read, own = torch.cat([before, new]), torch.cat([before < cut, new >= cut])
        final = self.upper(0)(
            hidden[:, cut:],
            {
                i: added((visible[new][:, read] & own)[None, None], hidden.dtype)
                for i, visible in self.visible(10).items()
                if i > 0
            },
            position_ids=new[None],
            past_key_values=self.frozen(0, hidden[:, :kept]),
            use_cache=False,
        )
        told = "does not read earlier positions by their keys and values alone"
        yield told, final, seen["final"][:, cut:]

    def check_length(self, ids: Sequence[int], shift: int = 0) -> None:
        """Raise InputError for a text of more tokens, from position `shift` on, than the model takes."""
        limit = self.model.config.max_position_embeddings
        if shift + len(ids) > limit:
            raise InputError(
                f"a text of {shift + len(ids)} tokens, {self.tokenizer.decode(list(ids[:20]))!r}...:"
                f" the model takes at most {limit}"
            )

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
    def frozen(self, layer: int, hidden: Tensor) -> FrozenCache | None:
        """Keys and values of the layers after `layer`, whose output at the first p positions is `hidden`.

        [r, p, d]. A row's own positions are its first ones, which see nothing of what fills it up: no mask is
        needed. None where there is nothing to keep.
        """
        after = range(layer + 1, len(self.layers))
        if not hidden.shape[1] or not after:
            return None
        cache = DynamicCache()
        with stopped_after(self.layers[-1]):
            self.upper(layer)(hidden, past_key_values=cache, use_cache=True)
        return FrozenCache(
            {i: cache.layers[i].keys for i in after}, {i: cache.layers[i].values for i in after}
        )


def added(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """What hides positions where it is added to attention's logits, of the same shape."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)


def _alike(found: Tensor, expected: Tensor) -> bool:
    """Whether both are the same but for rounding; numbers that are not finite tell nothing."""
    slack = 0.1 if torch.finfo(expected.dtype).bits == 16 else 0.01
    distance, size = wide(found - expected).norm(), wide(expected).norm()
    return not (distance > slack * size)


class _StopForward(Exception):
    """Raised in a hook to end a forward pass whose rest is not needed."""


@contextmanager
def captured(
    inputs: Mapping[str, nn.Module], outputs: Mapping[str, nn.Module]
) -> Iterator[dict[str, Tensor]]:
    """Collect the first input or output tensor of modules by name; hooks are gone on every way out."""
    seen: dict[str, Tensor] = {}

    def keep_input(name: str):
        return lambda module, args: seen.__setitem__(name, args[0])

    def keep_output(name: str):
        return lambda module, args, out: seen.__setitem__(name, out if isinstance(out, Tensor) else out[0])

    handles = [m.register_forward_pre_hook(keep_input(n)) for n, m in inputs.items()]
    handles += [m.register_forward_hook(keep_output(n)) for n, m in outputs.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def stopped_before(module: nn.Module) -> Iterator[None]:
    """End any forward pass inside the block when `module` is reached; its other pre-hooks have run."""
    with _stopped(module.register_forward_pre_hook(_stop)):
        yield


@contextmanager
def stopped_after(module: nn.Module) -> Iterator[None]:
    """End any forward pass inside the block once `module` has run; its other hooks have run."""
    with _stopped(module.register_forward_hook(_stop)):
        yield


def _stop(*_: object) -> None:
    raise _StopForward


@contextmanager
def _stopped(handle: RemovableHandle) -> Iterator[None]:
    try:
        yield
    except _StopForward:
        pass
    finally:
        handle.remove()
