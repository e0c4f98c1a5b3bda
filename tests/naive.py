"""The design's section 4 carried out naively: the oracle for the fast implementation.

One edit at a time, one row at a time, full forward passes through the whole model, delta added by a hook,
explicit inverses. Shares no code with the library but the types of its inputs.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reedit.facts import Fact, Neighbor

BLOCKS = {"llama": "model.layers", "gpt2": "transformer.h", "gptj": "transformer.h"}
MLP_OUTPUT = {"llama": "mlp.down_proj", "gpt2": "mlp.c_proj", "gptj": "mlp.fc_out"}


@dataclass
class Row:
    ids: list[int]
    labels: list[int]  # of the last len(labels) positions
    position: int  # t


@dataclass
class NaiveEdit:
    rewriting: list[Row]
    neighbors: list[Row]
    kl: list[int]  # "{subject} is a"
    kl_position: int
    protocol: str


def naive_edit(
    tokenizer: Any,
    fact: Fact,
    templates: Sequence[str],
    assistants: Sequence[Neighbor],
    prefixed: bool,
    protocol: str,
) -> NaiveEdit:
    def row(before: str, subject: str, after: str, target: str) -> Row:
        prompt = before + subject + after
        position = len(tokenizer(before + subject)["input_ids"]) - 1
        if protocol == "corrected":
            whole = tokenizer(prompt + " " + target)["input_ids"]
            start = len(tokenizer(prompt)["input_ids"])
            return Row(whole[:-1], whole[start:], position)
        labels = tokenizer(" " + target, add_special_tokens=False)["input_ids"]
        return Row(tokenizer(prompt + tokenizer.decode(labels[:-1]))["input_ids"], labels, position)

    before, after = fact.prompt.split("{}")
    rewriting = [row(before, fact.subject, after, fact.target_new)]
    for template in templates:
        prefix = template[: -len("{}")]
        rewriting.append(row(prefix + before, fact.subject, after, fact.target_new))
    neighbors = []
    for neighbor in assistants:
        assert neighbor.subject is not None
        head, tail = neighbor.prompt.split(neighbor.subject, 1)
        prefix = templates[0][: -len("{}")] if prefixed else ""
        neighbors.append(row(prefix + head, neighbor.subject, tail, neighbor.object))
    kl = tokenizer(f"{fact.subject} is a")["input_ids"]
    return NaiveEdit(rewriting, neighbors, kl, len(tokenizer(fact.subject)["input_ids"]) - 1, protocol)


def block(network: nn.Module, layer: int) -> nn.Module:
    return network.get_submodule(BLOCKS[network.config.model_type])[layer]


def edited_module(network: nn.Module, layer: int) -> nn.Module:
    return block(network, layer).get_submodule(MLP_OUTPUT[network.config.model_type])


@contextmanager
def added(network: nn.Module, layer: int, position: int, delta: Tensor) -> Iterator[None]:
    """Within the block every forward pass has delta added to the layer's output at the position."""

    def add(module: nn.Module, args: Any, output: Any) -> Any:
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[:, position] += delta
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = block(network, layer).register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def log_probabilities(network: nn.Module, ids: Sequence[int]) -> Tensor:
    return network(input_ids=torch.tensor([list(ids)])).logits[0].log_softmax(-1)  # [length, vocabulary]


def states(network: nn.Module, layer: int, ids: Sequence[int], position: int) -> tuple[Tensor, Tensor]:
    """The key of the layer and the layer's output at a position."""
    seen: dict[str, Tensor] = {}
    handles = [
        edited_module(network, layer).register_forward_pre_hook(
            lambda module, args: seen.__setitem__("key", args[0][0, position])
        ),
        block(network, layer).register_forward_hook(
            lambda module, args, out: seen.__setitem__(
                "hidden", (out[0] if isinstance(out, tuple) else out)[0, position]
            )
        ),
    ]
    with torch.no_grad():
        network(input_ids=torch.tensor([list(ids)]))
    for handle in handles:
        handle.remove()
    return seen["key"].clone(), seen["hidden"].clone()


def row_nll(network: nn.Module, row: Row) -> Tensor:
    """Sum of the NLL of the row's labels."""
    log_p = log_probabilities(network, row.ids)
    first = len(row.ids) - len(row.labels)
    return -sum(log_p[first + j, label] for j, label in enumerate(row.labels))


def losses(edit: NaiveEdit, rewriting: Sequence[Tensor], neighbors: Sequence[Tensor]) -> tuple[Any, Any]:
    """The NLL part of the loss, and the logarithm of the perplexity, from each row's NLL."""
    tokens = len(edit.rewriting[0].labels)
    if edit.protocol == "released":
        mean = sum([*rewriting, *neighbors]) / (len(rewriting) + len(neighbors)) / tokens
        return mean, mean
    mean = sum(nll / len(row.labels) for nll, row in zip(rewriting, edit.rewriting, strict=True))
    mean = mean / len(rewriting)
    if not neighbors:
        return mean, mean
    own = sum(nll / len(row.labels) for nll, row in zip(neighbors, edit.neighbors, strict=True))
    return mean + own / len(neighbors), mean


@dataclass
class NaiveOptimized:
    hidden: Tensor
    delta: Tensor
    steps: int
    ppl_initial: float
    ppl_target: float
    norms: list[float]  # of delta after every update


def naive_optimize(
    network: nn.Module, edit: NaiveEdit, layer: int, settings: Mapping[str, Any], stop_loss: float = 0.05
) -> NaiveOptimized:
    bare = edit.rewriting[0]
    _, hidden = states(network, layer, bare.ids, bare.position)
    delta = torch.zeros_like(hidden, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=settings["v_lr"])
    radius = settings["clamp_norm_factor"] * hidden.norm()
    with torch.no_grad():
        log_p0 = log_probabilities(network, edit.kl)[edit.kl_position]
    steps, perplexities, norms = 0, [], []
    for number in range(settings["v_num_grad_steps"]):
        nll: dict[str, list[Tensor]] = {"rewriting": [], "neighbors": []}
        for name, rows in [("rewriting", edit.rewriting), ("neighbors", edit.neighbors)]:
            for row in rows:
                with added(network, layer, row.position, delta):
                    nll[name].append(row_nll(network, row))
        with added(network, layer, edit.kl_position, delta):
            log_p = log_probabilities(network, edit.kl)[edit.kl_position]
        term, log_ppl = losses(edit, nll["rewriting"], nll["neighbors"])
        kl = (log_p.exp() * (log_p - log_p0)).sum()
        decay = settings["v_weight_decay"] * delta.norm() / hidden.norm() ** 2
        loss = term + settings["kl_factor"] * kl + decay
        perplexities.append(log_ppl.detach().exp().item())
        if loss < stop_loss or number == settings["v_num_grad_steps"] - 1:
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
        steps += 1
        with torch.no_grad():
            if delta.norm() > radius:
                delta *= radius / delta.norm()
        norms.append(float(delta.detach().norm()))
    return NaiveOptimized(hidden, delta.detach(), steps, perplexities[0], perplexities[-1], norms)


def naive_perplexity(network: nn.Module, edit: NaiveEdit) -> float:
    with torch.no_grad():
        rewriting = [row_nll(network, row) for row in edit.rewriting]
        neighbors = [row_nll(network, row) for row in edit.neighbors]
    return float(losses(edit, rewriting, neighbors)[1].exp())


def is_transposed(network: nn.Module) -> bool:
    """Whether the edited weight is stored as [key, d]: GPT-2's Conv1D."""
    return network.config.model_type == "gpt2"


def naive_spread(
    network: nn.Module,
    edits: Sequence[NaiveEdit],
    targets: Tensor,
    layers: Sequence[int],
    moments: Mapping[int, Tensor],
    weight: float,
) -> dict[int, Tensor]:
    """The updates of MEMIT, [d, key]; `network` is left alone."""
    network = copy.deepcopy(network)
    updates = {}
    for i, layer in enumerate(layers):
        keys, residuals = [], []
        for edit, target in zip(edits, targets, strict=True):
            own = [states(network, layer, row.ids, row.position)[0] for row in edit.rewriting]
            bare, prefixed = own[0], own[1:]
            keys.append(0.5 * bare + 0.5 * sum(prefixed) / len(prefixed) if prefixed else bare)
            first = edit.rewriting[0]
            current = states(network, layers[-1], first.ids, first.position)[1]
            residuals.append((target - current) / (len(layers) - i))
        k, r = torch.stack(keys, 1), torch.stack(residuals, 1)  # [key, m], [d, m]
        updates[layer] = r @ k.T @ torch.linalg.inv(weight * moments[layer].to(k.dtype) + k @ k.T)
        add_update(network, layer, updates[layer])
    return updates


def add_update(network: nn.Module, layer: int, update: Tensor) -> None:
    parameter = edited_module(network, layer).weight
    with torch.no_grad():
        parameter += update.T if is_transposed(network) else update


@dataclass
class NaiveIteration:
    optimized: list[NaiveOptimized]
    updates: dict[int, Tensor]
    edited: list[float]


def naive_iterate(
    network: nn.Module,
    edits: Sequence[NaiveEdit],
    moments: Mapping[int, Tensor],
    settings: Mapping[str, Any],
    iterations: int,
) -> list[NaiveIteration]:
    """OPTIMIZATION and SPREAD at theta_1, theta_2, ...; `network` is left alone."""
    network = copy.deepcopy(network)
    done = []
    for _ in range(iterations):
        found = [naive_optimize(network, edit, settings["layers"][-1], settings) for edit in edits]
        targets = torch.stack([one.hidden + one.delta for one in found])
        weight = settings["mom2_update_weight"]
        updates = naive_spread(network, edits, targets, settings["layers"], moments, weight)
        for layer, update in updates.items():
            add_update(network, layer, update)
        done.append(NaiveIteration(found, updates, [naive_perplexity(network, edit) for edit in edits]))
    return done


def naive_moment(network: nn.Module, layer: int, texts: Sequence[Sequence[int]]) -> tuple[Tensor, int]:
    """The average of the outer products of every token's key with itself, and how many tokens."""
    total, count = 0.0, 0
    for ids in texts:
        for position in range(len(ids)):
            key, _ = states(network, layer, ids, position)
            total, count = total + torch.outer(key, key), count + 1
    return total / count, count


def naive_greedy(network: nn.Module, ids: Sequence[int], length: int) -> list[int]:
    said = list(ids)
    with torch.no_grad():
        for _ in range(length):
            said.append(int(log_probabilities(network, said)[-1].argmax()))
    return said[len(ids) :]
