"""BetaEdit: a null space that is found anew as edits come, and what leaks out of it is weighed (IJCAI 2026).

Directions below the threshold are not empty: C weighs in them with lambda1, beside the keys of all earlier
edits K_p. Every tau edits they are found anew, in (K_p K_p^T / n + lambda1 C) / (lambda1 + 1), n edits in.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from reedit.edit.editor import Editor
from reedit.edit.spread.solve import Preserved, layer_update, null_space


def refreshed_update(editor: Editor, layer: int, keys: Tensor, residual: Tensor) -> Tensor:
    """R K^T P (K K^T P + K_p K_p^T P + lambda1 C P + L2 I)^-1 in its basis, [d, key].

    `keys` [m, key], `residual` [m, d]; the editor's factor of a layer is C itself.
    """
    known = editor.recipe.hyperparameters
    moment = editor.factors[layer].to(keys.device)
    earlier = editor.memory.product(layer, keys.device)
    earlier = None if earlier is None else earlier.to(moment)
    basis = _basis(editor, layer, moment, earlier)
    weighed = known["lambda1"] * moment
    weighed = weighed if earlier is None else weighed + earlier
    return layer_update(keys, residual, Preserved("null_space", basis, known["L2"], None, "L2", weighed))


def _basis(editor: Editor, layer: int, moment: Tensor, earlier: Tensor | None) -> Tensor:
    """The basis [key, r] that holds now, in what the editor's memory goes on counting."""
    known, running = editor.recipe.hyperparameters, editor.memory.running
    name, since = f"basis.{layer}", f"since.{layer}"
    written = editor.memory.known(layer)  # keys of earlier edits
    if name not in running or written - int(running[since]) >= known["tau"]:
        mixed = moment
        if earlier is not None and name in running:
            mixed = (earlier / written + known["lambda1"] * moment) / (known["lambda1"] + 1)
        running[name] = space_of(mixed, known, layer).cpu()
        running[since] = torch.tensor(float(written))
    return running[name].to(moment)


def space_of(moment: Tensor, known: Mapping[str, Any], layer: int) -> Tensor:
    """An orthonormal basis of where a moment is below the threshold, [key, r]."""
    values, vectors = torch.linalg.eigh(moment)
    return null_space(values, vectors, known["nullspace_threshold"], layer)
