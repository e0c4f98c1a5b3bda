"""The design's sections 4 and 5 carried out naively: the oracle for the fast implementation.

One edit at a time, one row at a time, full forward passes through the whole model, vectors added by hooks,
explicit inverses. Shares no code with the library but the types of its inputs.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reedit.prepare.facts import Fact, Neighbor

# what OPTIMIZATION adds its vectors to; the last one is what the weights are to say
BLOCK, MLP = ("block",), ("mlp",)
PARTS = {"rome": MLP, "r_rome": MLP, "memit": BLOCK, "pmet": ("attention", "mlp")}
PARTS |= dict.fromkeys(("emmet", "alphaedit", "blue", "encore", "memit_fe", "nse", "betaedit"), BLOCK)


class Names(NamedTuple):
    """Where an architecture keeps its blocks and, within a block, attention and the edited module."""

    blocks: str
    attention: str
    edited: str
    norm: str | None = None  # that the edited module's output goes through before it is added
    scale: str | None = None  # of the configuration: what it is multiplied by then


LLAMA = Names("model.layers", "self_attn", "mlp.down_proj")
NAMES = {  # of those that are not as Llama
    "olmo2": LLAMA._replace(norm="post_feedforward_layernorm"),
    "gemma2": LLAMA._replace(norm="post_feedforward_layernorm"),
    "gemma3_text": LLAMA._replace(norm="post_feedforward_layernorm"),
    "gpt2": Names("transformer.h", "attn", "mlp.c_proj"),
    "gptj": Names("transformer.h", "attn", "mlp.fc_out"),
    "gpt_neox": Names("gpt_neox.layers", "attention", "mlp.dense_4h_to_h"),
    "gpt_bigcode": Names("transformer.h", "attn", "mlp.c_proj"),
    "phi": LLAMA._replace(edited="mlp.fc2"),
    "starcoder2": LLAMA._replace(edited="mlp.c_proj"),
    "granite": LLAMA._replace(scale="residual_multiplier"),
    "glm4": LLAMA._replace(norm="post_mlp_layernorm"),
    "olmo3": LLAMA._replace(norm="post_feedforward_layernorm"),
    "exaone4": LLAMA._replace(norm="post_feedforward_layernorm"),
}


@dataclass
class Row:
    ids: list[int]
    labels: list[int]  # of the last len(labels) positions
    position: int  # t


@dataclass
class NaiveEdit:
    rewriting: list[Row]  # the bare prompt first
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
    spaced: bool = True,
) -> NaiveEdit:
    """`spaced`: whether the released protocol tokenises target_new with its leading space."""

    def row(before: str, subject: str, after: str, target: str, space: str = " ") -> Row:
        prompt = before + subject + after
        position = len(tokenizer(before + subject)["input_ids"]) - 1
        if protocol == "corrected":
            whole = tokenizer(prompt + " " + target)["input_ids"]
            start = len(tokenizer(prompt)["input_ids"])
            return Row(whole[:-1], whole[start:], position)
        labels = tokenizer(space + target, add_special_tokens=False)["input_ids"]
        return Row(tokenizer(prompt + tokenizer.decode(labels[:-1]))["input_ids"], labels, position)

    before, after = fact.prompt.split("{}")
    space = " " if spaced else ""
    rewriting = [row(before, fact.subject, after, fact.target_new, space)]
    for template in templates:
        prefix = template[: -len("{}")]
        rewriting.append(row(prefix + before, fact.subject, after, fact.target_new, space))
    neighbors = []
    for neighbor in assistants:
        given = protocol == "released" and neighbor.given is not None
        subject = neighbor.given if given else neighbor.subject
        start = neighbor.given_start if given else neighbor.start
        assert subject is not None
        head, tail = neighbor.prompt[:start], neighbor.prompt[start + len(subject) :]
        prefix = templates[0][: -len("{}")] if prefixed else ""
        neighbors.append(row(prefix + head, subject, tail, neighbor.object))
    kl = tokenizer(f"{fact.subject} is a")["input_ids"]
    return NaiveEdit(rewriting, neighbors, kl, len(tokenizer(fact.subject)["input_ids"]) - 1, protocol)


def names_of(network: nn.Module) -> Names:
    return NAMES.get(network.config.model_type, LLAMA)


def scale_of(network: nn.Module, part: str) -> float:
    """What a part's output is multiplied by where it is added to the residual stream."""
    scale = names_of(network).scale
    return getattr(network.config, scale) if scale and part == "mlp" else 1.0


def module_of(network: nn.Module, layer: int, part: str) -> nn.Module:
    """The module whose output is the part's, before it is added to the residual stream."""
    names = names_of(network)
    block = network.get_submodule(names.blocks)[layer]
    if part == "block":
        return block
    attention = "linear_attn" if hasattr(block, "linear_attn") else names.attention  # Qwen 3.5
    parts = {"attention": attention, "mlp": names.norm or names.edited, "edited": names.edited}
    return block.get_submodule(parts[part])


@contextmanager
def hooked(network: nn.Module, layer: int, part: str, hook: Callable[..., Any]) -> Iterator[None]:
    handle = module_of(network, layer, part).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def added(
    network: nn.Module, layer: int, position: int, delta: Tensor, parts: Sequence[str]
) -> Iterator[None]:
    """Within the block every forward pass has each part's row of delta added to its output at t."""

    def adding(vector: Tensor) -> Callable[..., Any]:
        def add(module: nn.Module, args: Any, output: Any) -> Any:
            changed = (output[0] if isinstance(output, tuple) else output).clone()
            changed[:, position] += vector
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return add

    with ExitStack() as hooks:
        for part, vector in zip(parts, delta, strict=True):
            hooks.enter_context(hooked(network, layer, part, adding(vector / scale_of(network, part))))
        yield


def state(network: nn.Module, layer: int, ids: Sequence[int], position: int, part: str) -> Tensor:
    """The part's output at a position, as the stream gets it; with part "key" the edited module's input."""
    seen: list[Tensor] = []

    def hear(module: nn.Module, args: Any, output: Any) -> None:
        if part == "key":
            output = args
        seen.append((output[0] if isinstance(output, tuple) else output)[0, position].clone())

    with torch.no_grad(), hooked(network, layer, "edited" if part == "key" else part, hear):
        network(input_ids=torch.tensor([list(ids)]))
    return seen[0] * scale_of(network, part)


def row_state(network: nn.Module, layer: int, row: Row, part: str) -> Tensor:
    return state(network, layer, row.ids, row.position, part)


def log_probabilities(network: nn.Module, ids: Sequence[int]) -> Tensor:
    return network(input_ids=torch.tensor([list(ids)])).logits[0].log_softmax(-1)  # [length, vocabulary]


def row_nll(network: nn.Module, row: Row) -> tuple[Tensor, bool]:
    """Sum of the NLL of the row's labels, and whether each label is the argmax."""
    log_p = log_probabilities(network, row.ids)
    first = len(row.ids) - len(row.labels)
    nll = -sum(log_p[first + j, label] for j, label in enumerate(row.labels))
    return nll, all(log_p[first + j].argmax() == label for j, label in enumerate(row.labels))


def is_transposed(network: nn.Module) -> bool:
    """Whether the edited weight is stored as [key, d]: GPT-2's Conv1D."""
    return network.config.model_type == "gpt2"


def add_update(network: nn.Module, layer: int, update: Tensor) -> None:
    parameter = module_of(network, layer, "edited").weight
    with torch.no_grad():
        parameter += update.T if is_transposed(network) else update


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


def full_factor(algorithm: str, settings: Mapping[str, Any]) -> float:
    """What the NLL is multiplied by: PMET's setting, in its normal passes."""
    return settings.get("nll_loss_factor", 1) if algorithm == "pmet" else 1


def perplexity(edit: NaiveEdit, log_perplexity: Tensor, factor: float) -> float:
    """Released: of the NLL as the loss has it, with its factor."""
    return float(torch.exp(log_perplexity * (factor if edit.protocol == "released" else 1)))


@dataclass
class NaiveOptimized:
    hidden: Tensor  # [vectors, d]: unedited, of the bare prompt at t, in the order of PARTS
    delta: Tensor  # [vectors, d]
    steps: int
    ppl_initial: float
    ppl_target: float
    norms: list[list[float]]  # after every update, of each vector
    factors: list[float]  # of the NLL in every pass

    @property
    def target(self) -> Tensor:
        """z of the vector that SPREAD and ROME write, [d]."""
        return (self.hidden + self.delta)[-1]


def naive_optimize(
    network: nn.Module,
    edit: NaiveEdit,
    layer: int,
    settings: Mapping[str, Any],
    algorithm: str = "memit",
    stop_loss: float = 0.05,
) -> NaiveOptimized:
    parts, bare = PARTS[algorithm], edit.rewriting[0]
    hidden = torch.stack([row_state(network, layer, bare, part) for part in parts])  # [vectors, d]
    delta = torch.zeros_like(hidden, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=settings["v_lr"])
    with torch.no_grad():
        log_p0 = log_probabilities(network, edit.kl)[edit.kl_position]
    factor = full_factor(algorithm, settings)
    steps, led, perplexities, norms, factors = 0, 0, [], [], []
    for number in range(settings["v_num_grad_steps"]):
        nll: dict[str, list[Tensor]] = {"rewriting": [], "neighbors": []}
        said = leads = True  # whether every label of every row is the argmax; of all but the bare prompt
        for name, rows in [("rewriting", edit.rewriting), ("neighbors", edit.neighbors)]:
            for row in rows:
                with added(network, layer, row.position, delta, parts):
                    row_loss, row_said = row_nll(network, row)
                nll[name].append(row_loss)
                said = said and row_said
                leads = leads and (row_said or (row is bare and len(edit.rewriting) > 1))
        with added(network, layer, edit.kl_position, delta, parts):
            log_p = log_probabilities(network, edit.kl)[edit.kl_position]
        term, log_ppl = losses(edit, nll["rewriting"], nll["neighbors"])
        kl = settings["kl_factor"] * (log_p.exp() * (log_p - log_p0)).sum()
        decay = sum(d.norm() / h.norm() ** 2 for d, h in zip(delta, hidden, strict=True))
        loss = factor * term + kl + settings["v_weight_decay"] * decay
        perplexities.append(perplexity(edit, log_ppl.detach(), factor))
        factors.append(factor)
        if loss < stop_loss or number == settings["v_num_grad_steps"] - 1:
            break
        led += leads
        if algorithm == "encore" and led >= -settings.get("prob_cutoff", -1):
            break
        if algorithm == "pmet":
            if said and kl <= 0.01:
                break
            factor = full_factor(algorithm, settings) / (10 if said else 1)  # of the next pass
        (delta.grad,) = torch.autograd.grad(loss, delta)
        if "step_length" in settings:
            with torch.no_grad():
                for i, h in enumerate(hidden):
                    delta[i] -= settings["step_length"] * h.norm() * delta.grad[i] / delta.grad[i].norm()
        else:
            adam.step()
        steps += 1
        with torch.no_grad():
            for d, h in zip(delta, hidden, strict=True):
                radius = settings["clamp_norm_factor"] * h.norm()
                if d.norm() > radius:
                    d *= radius / d.norm()
        norms.append(delta.detach().norm(dim=1).tolist())
    return NaiveOptimized(hidden, delta.detach(), steps, perplexities[0], perplexities[-1], norms, factors)


def naive_perplexity(
    network: nn.Module, edit: NaiveEdit, algorithm: str, settings: Mapping[str, Any]
) -> float:
    """Of the same rows without delta."""
    with torch.no_grad():
        rewriting = [row_nll(network, row)[0] for row in edit.rewriting]
        neighbors = [row_nll(network, row)[0] for row in edit.neighbors]
    return perplexity(edit, losses(edit, rewriting, neighbors)[1], full_factor(algorithm, settings))


def naive_update(
    k: Tensor, r: Tensor, moment: Tensor, settings: Mapping[str, Any], algorithm: str, earlier: Tensor
) -> Tensor:
    """One layer's update [d, key] from keys [key, m] and residuals [d, m], as each paper writes it.

    `earlier`: keys that are protected, [key, n].
    """
    inverse, one = torch.linalg.inv, torch.eye(len(k), dtype=k.dtype)
    if algorithm == "emmet":  # equality: r = update k
        return r @ inverse(k.T @ inverse(moment) @ k) @ k.T @ inverse(moment)
    if algorithm == "alphaedit":
        values, vectors = torch.linalg.eigh(moment)
        free = vectors[:, values < settings["nullspace_threshold"]]
        p = free @ free.T
        return r @ k.T @ p @ inverse(earlier @ earlier.T @ p + k @ k.T @ p + settings["L2"] * one)
    if algorithm == "betaedit":
        free, weight = settings["space"], settings["lambda1"]
        p = free @ free.T
        whole = (k @ k.T + earlier @ earlier.T + weight * moment) @ p + settings["L2"] * one
        return r @ k.T @ p @ inverse(whole)
    preserved = settings["mom2_update_weight"] * moment + settings.get("update_norm_lambda", 0) * one
    preserved = preserved + earlier @ earlier.T
    if algorithm == "nse":
        activity, few, taken = k.abs().sum(1), [], 0.0
        for neuron in activity.argsort(descending=True).tolist():
            taken += float(activity[neuron])
            if taken > settings["neuron_threshold"] * float(activity.sum()):
                break
            few.append(neuron)
        update = torch.zeros(len(r), len(k), dtype=k.dtype)
        small = preserved[few][:, few] + k[few] @ k[few].T
        update[:, few] = r @ k[few].T @ inverse(small)
        return update
    return r @ k.T @ inverse(preserved + k @ k.T)


def naive_space(moment: Tensor, earlier: Tensor, settings: Mapping[str, Any], layer: int) -> Tensor:
    """BetaEdit's null space [key, r] with so many earlier keys [key, n]; `spaces` knows the last ones."""
    spaces, written, weight = settings["spaces"], earlier.shape[1], settings["lambda1"]
    if layer not in spaces or written - spaces[layer][1] >= settings["tau"]:
        mixed = moment.to(earlier.dtype)
        if layer in spaces:
            mixed = (earlier @ earlier.T / written + weight * mixed) / (weight + 1)
        values, vectors = torch.linalg.eigh(mixed)
        spaces[layer] = vectors[:, values < settings["nullspace_threshold"]], written
    return spaces[layer][0]


def before_norm(network: nn.Module, layer: int, key: Tensor, change: Tensor) -> Tensor:
    """What the edited module has to say more, [d], for `change` [d] to be added to the residual stream."""
    change = change / scale_of(network, "mlp")
    if not names_of(network).norm:
        return change
    value, gain = module_of(network, layer, "edited")(key), module_of(network, layer, "mlp").weight
    if network.config.model_type.startswith("gemma"):  # its norms say by how much more than one
        gain = 1 + gain
    floor = 0.1 * gain.abs().median()
    rms = (value @ value / len(value)) ** 0.5
    wanted = torch.stack([rms * c * g / (g * g + floor * floor) for c, g in zip(change, gain, strict=True)])
    return wanted - (wanted @ value) / (value @ value) * value


def naive_spread(
    network: nn.Module,
    edits: Sequence[NaiveEdit],
    targets: Tensor,
    layers: Sequence[int],
    moments: Mapping[int, Tensor],
    settings: Mapping[str, Any],
    algorithm: str = "memit",
    earlier: Mapping[int, Sequence[Tensor]] | None = None,
    edited_keys: bool = False,
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """The updates of a batch, [d, key], for targets [m, d], and its keys, [key, m]; `network` stays.

    The keys are those that the updates are solved for, or of the edited model (`edited_keys`).
    """
    network = copy.deepcopy(network)
    updates, keys_by_layer = {}, {}
    if algorithm == "memit_fe":
        by_layer = [naive_replay(network, e, layers, z) for e, z in zip(edits, targets, strict=True)]
    for i, layer in enumerate(layers):
        share = (len(layers) - i) ** 0.5 if algorithm == "pmet" else len(layers) - i
        if algorithm == "memit_fe":
            share, targets = 1, torch.stack([of_edit[layer] for of_edit in by_layer])
        keys, residuals = [], []
        for edit, target in zip(edits, targets, strict=True):
            bare = row_state(network, layer, edit.rewriting[0], "key")
            keys.append(averaged_key(network, layer, edit))
            at = layer if algorithm == "memit_fe" else layers[-1]
            current = row_state(network, at, edit.rewriting[0], PARTS[algorithm][-1])
            residuals.append(before_norm(network, layer, bare, (target - current) / share))
        k, r = torch.stack(keys, 1), torch.stack(residuals, 1)  # [key, m], [d, m]
        others = torch.cat([k[:, :0], *(earlier or {}).get(layer, [])], 1)
        if algorithm == "betaedit":
            settings = {**settings, "space": naive_space(moments[layer], others, settings, layer)}
        updates[layer] = naive_update(k, r, moments[layer].to(k.dtype), settings, algorithm, others)
        keys_by_layer[layer] = k
        add_update(network, layer, updates[layer])
    if edited_keys:
        keys_by_layer = {n: torch.stack([averaged_key(network, n, e) for e in edits], 1) for n in layers}
    return updates, keys_by_layer


def naive_rounds(
    network: nn.Module,
    edits: Sequence[NaiveEdit],
    targets: Tensor,
    layers: Sequence[int],
    moments: Mapping[int, Tensor],
    settings: Mapping[str, Any],
    earlier: Mapping[int, Sequence[Tensor]],
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """NSE's updates over rounds of the edits that are far from their targets, and all edits' keys then."""
    network = copy.deepcopy(network)
    weights = {n: module_of(network, n, "edited").weight.detach() for n in layers}
    total = {n: torch.zeros_like(w.T if is_transposed(network) else w) for n, w in weights.items()}
    for _ in range(settings["max_iterations"] - 1):
        now = [row_state(network, layers[-1], edit.rewriting[0], "block") for edit in edits]
        far = [float((target - state).norm()) for target, state in zip(targets, now, strict=True)]
        left = [i for i, norm in enumerate(far) if settings["alpha"] < norm < settings["upper_bound"]]
        if left:
            some, wanted = [edits[i] for i in left], targets[left]
            updates, _ = naive_spread(network, some, wanted, layers, moments, settings, "nse", earlier)
            for layer, update in updates.items():
                add_update(network, layer, update)
                total[layer] = total[layer] + update
    return total, {n: torch.stack([averaged_key(network, n, e) for e in edits], 1) for n in layers}


def naive_replay(
    network: nn.Module, edit: NaiveEdit, layers: Sequence[int], target: Tensor
) -> dict[int, Tensor]:
    """What every layer says at t of the bare prompt where the first of them says `target`, [d] each."""
    row = edit.rewriting[0]

    def put(module: nn.Module, args: Any, out: Any) -> None:
        (out if isinstance(out, Tensor) else out[0])[0, row.position] = target

    with hooked(network, layers[0], "block", put):
        return {layer: row_state(network, layer, row, "block") for layer in layers}


def averaged_key(network: nn.Module, layer: int, edit: NaiveEdit) -> Tensor:
    """Half the bare prompt's key, half the mean of the others, [key]."""
    bare, *prefixed = [row_state(network, layer, row, "key") for row in edit.rewriting]
    return 0.5 * bare + 0.5 * sum(prefixed) / len(prefixed) if prefixed else bare


def gentler(
    network: nn.Module, layer: int, update: Tensor, regularisers: Sequence[Mapping[str, Any]]
) -> Tensor:
    """An update [d, key] regularised one way after the other against the weights as they stand."""
    weight = module_of(network, layer, "edited").weight
    weight = (weight if weight.shape == update.shape else weight.T).detach().double()
    for one in regularisers:
        if one["name"] == "rect":
            share = (update / weight).abs()
            update = update * (
                share >= share.flatten().sort().values[-math.ceil(one["keep"] * share.numel())]
            )
        elif one["name"] == "prune":
            u, s, v = torch.linalg.svd(update, full_matrices=False)
            top = torch.linalg.svd(weight).S[0]
            update = u @ torch.diag(torch.stack([x if x <= top else top + (x / top).log() for x in s])) @ v
        else:
            rows = torch.stack([row / row.norm() for row in weight])
            values, vectors = torch.linalg.eigh(rows.T @ rows)
            total, taken, few = values.sum(), 0.0, []
            for place in reversed(range(len(values))):
                few.append(vectors[:, place])
                taken = taken + values[place]
                if taken / total > one["share"]:
                    break
            few = torch.stack(few, 1)
            update = update - one["strength"] * update @ few @ few.T
    return update


def naive_rome(
    network: nn.Module,
    edits: Sequence[NaiveEdit],
    moments: Mapping[int, Tensor],
    settings: Mapping[str, Any],
    algorithm: str = "rome",
    regularisers: Sequence[Mapping[str, Any]] = (),
) -> tuple[list[NaiveOptimized], Tensor]:
    """ROME's edits one after another and their total update, [d, key]; `network` is left alone."""
    network = copy.deepcopy(network)
    (layer,) = settings["layers"]
    found, updates = [], []
    for edit in edits:
        one = naive_optimize(network, edit, layer, settings, algorithm)
        keys = torch.stack([row_state(network, layer, row, "key") for row in edit.rewriting])
        u = keys.mean(0)
        if settings.get("mom2_adjustment"):
            u = torch.linalg.inv(moments[layer].to(u.dtype)) @ u
        u = u / u.norm()
        key = keys.mean(0) if algorithm == "r_rome" else keys[0]
        # z - W k: what the module says of a key includes its bias, where it has one
        missing = one.target / scale_of(network, "mlp") - module_of(network, layer, "edited")(key)
        if names_of(network).norm:
            missing = before_norm(network, layer, keys[0], one.delta[-1])
        update = torch.outer(missing.detach(), u) / (key @ u)
        updates.append(gentler(network, layer, update, regularisers))
        add_update(network, layer, updates[-1])
        found.append(one)
    return found, sum(updates)


def naive_fine_tuning(
    network: nn.Module,
    edits: Sequence[NaiveEdit],
    settings: Mapping[str, Any],
    orders: Sequence[Sequence[int]],
    end: int | None = None,
) -> dict[int, Tensor]:
    """What fine-tuning makes of the edited weights, by layer [d, key]; `network` is left alone.

    Each of `orders` is an epoch; `end`: the token that is the last label of every target.
    """
    network, layers = copy.deepcopy(network), settings["layers"]
    weights = [module_of(network, layer, "edited").weight.requires_grad_(True) for layer in layers]
    before = [weight.detach().clone() for weight in weights]
    adam = torch.optim.Adam(weights, lr=settings["lr"], weight_decay=settings.get("weight_decay", 0.0))
    for order in orders:
        losses = []
        for start in range(0, len(order), settings["batch_size"]):
            means = []
            for place in order[start : start + settings["batch_size"]]:
                row = edits[place].rewriting[0]
                if end is not None:
                    row = Row([*row.ids, row.labels[-1]], [*row.labels, end], row.position)
                means.append(row_nll(network, row)[0] / len(row.labels))
            loss = sum(means) / len(means)
            losses += [float(loss.detach())] * len(means)
            if losses[-1] >= 0.01:
                adam.zero_grad()
                loss.backward()
                adam.step()
            for weight, was in zip(weights, before, strict=True):
                far = settings.get("norm_constraint", math.inf)
                weight.data = torch.minimum(torch.maximum(weight.data, was - far), was + far)
        if sum(losses) / len(losses) < 0.01:
            break
    found = {}
    for layer, weight, was in zip(layers, weights, before, strict=True):
        moved = (weight - was).detach()
        found[layer] = moved.T if is_transposed(network) else moved
    return found


def naive_ultraedit(
    network: nn.Module, batches: Sequence[Sequence[NaiveEdit]], settings: Mapping[str, Any]
) -> list[dict[int, Tensor]]:
    """What UltraEdit makes of each batch on what the ones before left, by layer [d, key].

    Row by row; `network` is left alone. The deviation of all pairs so far is as published: of each part of
    `batch_size` rows, the longest first, and layer n times its own variance, and the moved mean.
    """
    network, layers = copy.deepcopy(network), settings["layers"]
    count, mean, var, results = 0, 0.0, 0.0, []
    for edits in batches:
        rows = sorted((edit.rewriting[0] for edit in edits), key=lambda row: -len(row.ids))
        pairs: dict[int, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in layers}
        for number, row in enumerate(rows):
            begin = number - number % settings["batch_size"]
            some, seen = rows[begin : begin + settings["batch_size"]], {}
            total = sum(len(one.labels) for one in some)
            with ExitStack() as stack:
                for layer in layers:
                    module = module_of(network, layer, "edited")
                    module.weight.requires_grad_(True)

                    def keep(
                        _: nn.Module, args: Any, out: Tensor, layer: int = layer, seen: Any = seen
                    ) -> None:
                        out.retain_grad()
                        seen[layer] = (args[0], out)

                    stack.callback(module.register_forward_hook(keep).remove)
                (row_nll(network, row)[0] / total).backward()
            first = len(row.ids) - len(row.labels)
            for layer, (key, out) in seen.items():
                pairs[layer] += [(key[0, p].detach(), out.grad[0, p]) for p in range(first, len(row.ids))]
            for layer in layers if row is some[-1] else ():
                x = torch.stack([torch.cat(pair) for pair in pairs[layer][-total:]])
                delta = x.mean(0) - mean
                own = total * x.var(0) if total > 1 else 0 * delta
                var = var + own + count * total * delta**2 / (count + total)
                mean = mean + total * delta / (count + total)
                count += total
        updates, eps = {}, torch.finfo(torch.float32).eps
        for layer in layers:
            keys, gradients = (torch.stack(one) for one in zip(*pairs[layer], strict=True))
            scaled = (torch.cat([keys, gradients], 1) - mean) / ((var / (count - 1 + eps)).sqrt() + eps)
            key, gradient = scaled[:, : keys.shape[1]], scaled[:, keys.shape[1] :]
            values = torch.stack([-settings["lr"] * (k @ k) * g for k, g in zip(key, gradient, strict=True)])
            gram = keys.T @ keys + torch.eye(keys.shape[1], dtype=keys.dtype)
            updates[layer] = (torch.linalg.inv(gram) @ keys.T @ values).T
        for layer, update in updates.items():
            module_of(network, layer, "edited").weight.requires_grad_(False)
            add_update(network, layer, update)
        results.append(updates)
    return results


@dataclass
class NaiveIteration:
    optimized: list[NaiveOptimized]
    updates: dict[int, Tensor]  # by layer, [d, key]
    started: list[float]  # perplexities at the weights before any edit of the iteration
    edited: list[float]  # perplexities at the final weights, after all edits

    @property
    def change(self) -> float:
        """Delta p2: |p(theta_{k+1}) - p(theta_k)|, means over the same cases at two whole states."""
        return abs(sum(self.edited) / len(self.edited) - sum(self.started) / len(self.started))


def naive_iterate(
    network: nn.Module,
    edits: Sequence[NaiveEdit],
    moments: Mapping[int, Tensor],
    settings: Mapping[str, Any],
    iterations: int,
    algorithm: str = "memit",
    batch: int | None = None,
    spread_only: bool = False,
    leaves: str = "never",
    protects: str = "none",
    accumulates: bool = False,
    regularisers: Sequence[Mapping[str, Any]] = (),
) -> list[NaiveIteration]:
    """One iteration after the other, at theta_1, theta_2, ...; `network` is left alone.

    In batches, each is edited on the weights that the ones before it left. `leaves`: never, or gap;
    `protects`: keys of others, or all; `accumulates`: all that ever were, as they are in the edited model.
    """
    unedited, network = network, copy.deepcopy(network)
    layers, size = settings["layers"], batch or len(edits)
    stages = [[layers[0]], [layers[-1]]] if algorithm == "blue" else [layers]
    done: list[NaiveIteration] = []
    solved: dict[int, dict[int, list[Tensor]]] = {}  # batch -> layer -> keys
    anchors: list[float] = []  # of NAS, once it is known
    settings = {**settings, "spaces": {}}  # of BetaEdit
    for _ in range(iterations):
        found: list[NaiveOptimized] = []
        total: dict[int, Tensor] = {}
        started = [naive_perplexity(network, edit, algorithm, settings) for edit in edits]
        for start in range(0, len(edits), size):
            some = edits[start : start + size]
            ones: list[NaiveOptimized] = []
            for stage in stages:
                if algorithm in ("rome", "r_rome"):
                    now, update = naive_rome(network, some, moments, settings, algorithm, regularisers)
                    updates = {stage[0]: update}
                else:
                    now = []
                    for place, edit in enumerate(some, start=start):
                        if done and (spread_only or (leaves == "gap" and is_done(done[-1], place))):
                            now.append(repeated(network, edit, stage[-1], algorithm, place, done[-1]))
                        else:
                            at = stage[0] if algorithm == "memit_fe" else stage[-1]
                            begin = unedited if algorithm == "nse" else network
                            one = naive_optimize(begin, edit, at, settings, algorithm)
                            ppl = naive_perplexity(network, edit, algorithm, settings)
                            now.append(replace(one, ppl_initial=ppl))
                    for one in regularisers:
                        if one["name"] == "nas":
                            now = anchored(network, some, stage[-1], now, one["limit"], anchors)
                    others = [keys for b, keys in solved.items() if protects == "all" or b != start]
                    earlier = {n: [key for keys in others for key in keys.get(n, [])] for n in layers}
                    targets = torch.stack([one.target for one in now])
                    if algorithm == "nse":
                        updates, keys = naive_rounds(
                            network, some, targets, stage, moments, settings, earlier
                        )
                    else:
                        edited = accumulates and algorithm not in ("betaedit", "encore")
                        updates, keys = naive_spread(
                            network, some, targets, stage, moments, settings, algorithm, earlier, edited
                        )
                    if protects != "none":
                        before = solved.setdefault(start, {})
                        for layer, key in keys.items():
                            before[layer] = [*(before.get(layer, []) if accumulates else []), key]
                    of_updates = [one for one in regularisers if one["name"] != "nas"]
                    updates = {n: gentler(network, n, one, of_updates) for n, one in updates.items()}
                for layer, update in updates.items():
                    add_update(network, layer, update)
                    total[layer] = total.get(layer, 0) + update
                ones = [after(*pair) for pair in zip(ones, now, strict=True)] if ones else now
            found += ones
        edited = [naive_perplexity(network, edit, algorithm, settings) for edit in edits]
        done.append(NaiveIteration(found, total, started, edited))
    return done


def anchored(
    network: nn.Module,
    edits: Sequence[NaiveEdit],
    layer: int,
    found: list[NaiveOptimized],
    limit: float,
    anchors: list[float],
) -> list[NaiveOptimized]:
    """Targets whose MLP output is as long as those of the first batch are on average, of fewer than 20."""
    values = [row_state(network, layer, edit.rewriting[0], "mlp") for edit in edits]
    wanted = [value + one.delta[-1] for value, one in zip(values, found, strict=True)]
    if not anchors:
        anchors.append(sum(float(one.norm()) for one in wanted) / len(wanted))
    result = []
    for value, want, one in zip(values, wanted, found, strict=True):
        last = torch.zeros_like(value)
        if want.norm() <= limit * anchors[0]:
            last = want / want.norm() * anchors[0] - value
        result.append(replace(one, delta=torch.stack([*one.delta[:-1], last])))
    return result


def after(first: NaiveOptimized, then: NaiveOptimized) -> NaiveOptimized:
    """An edit at a second stage, counted from where the first one began."""
    return replace(then, steps=first.steps + then.steps, ppl_initial=first.ppl_initial)


def is_done(last: NaiveIteration, place: int) -> bool:
    """Whether an edit's gap of the last iteration is closed and its target has half of the probability."""
    edited, target = last.edited[place], last.optimized[place].ppl_target
    return -1 <= edited - target <= 1 and edited <= 2


def repeated(
    network: nn.Module, edit: NaiveEdit, layer: int, algorithm: str, place: int, last: NaiveIteration
) -> NaiveOptimized:
    """The target of the last iteration, with the residual that is left of it now."""
    before, parts = last.optimized[place], PARTS[algorithm]
    hidden = torch.stack([row_state(network, layer, edit.rewriting[0], part) for part in parts])
    delta = torch.zeros_like(hidden)
    delta[-1] = before.target - hidden[-1]
    return NaiveOptimized(hidden, delta, 0, last.edited[place], before.ppl_target, [], [])


def naive_moment(network: nn.Module, layer: int, texts: Sequence[Sequence[int]]) -> tuple[Tensor, int]:
    """The average of the outer products of every token's key with itself, and how many tokens."""
    total, count = 0.0, 0
    for ids in texts:
        for position in range(len(ids)):
            key = state(network, layer, ids, position, "key")
            total, count = total + torch.outer(key, key), count + 1
    return total / count, count


def naive_greedy(network: nn.Module, ids: Sequence[int], length: int) -> list[int]:
    said = list(ids)
    with torch.no_grad():
        for _ in range(length):
            said.append(int(log_probabilities(network, said)[-1].argmax()))
    return said[len(ids) :]
