"""The loop held to the oracle of naive.py, iteration by iteration."""

from collections.abc import Sequence

import pytest
import torch
from naive import NaiveIteration

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit
from reedit.edit.iteration import one_iteration, ours
from reedit.edit.measured import edited_perplexities


def hold_to(expected: Sequence[NaiveIteration], editor: Editor, edits: Sequence[Edit]) -> None:
    """Targets, perplexities and updates to 1e-5 at each k, as the editor goes on."""
    model, wanted = editor.model, editor.recipe
    for k, naive in enumerate(expected, start=1):
        weights = {layer: model.weight(layer) for layer in wanted.layers}
        found = one_iteration(editor, edits, k, ours)
        assert found.ppl_initial == pytest.approx([one.ppl_initial for one in naive.optimized], rel=1e-5)
        assert found.ppl_target == pytest.approx([one.ppl_target for one in naive.optimized], rel=1e-5)
        assert found.steps == [one.steps for one in naive.optimized]
        target = torch.stack([one.hidden + one.delta for one in naive.optimized])
        assert (found.hidden + found.delta - target).norm() < 1e-5 * target.norm()
        assert set(naive.updates) <= set(wanted.layers)
        for layer, before in weights.items():
            update = naive.updates.get(layer, torch.zeros_like(before))
            assert (model.weight(layer) - before - update).norm() <= 1e-5 * update.norm()
        edited = edited_perplexities(editor, edits)
        assert edited == pytest.approx(naive.edited, rel=1e-5)
        editor.settled(found)
        said = zip(edited, found.ppl_target, strict=True)
        editor.begin_after([{"ppl_edited": after, "ppl_target": target} for after, target in said])
