"""Iterative editing: OPTIMIZATION and SPREAD again at theta_k until the perplexity gap closes.

Paper, section 3.1; design, section 4 (Iteration).
"""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial

from torch import Tensor

from reedit.edit.carried import Carried
from reedit.edit.editing import (
    Computed,
    apply,
    compute,
    edited_perplexities,
    perplexities_before,
)
from reedit.edit.edits import Edit
from reedit.edit.iteration_rows import iteration_rows, tell
from reedit.edit.ranks import ALONE, Ranks
from reedit.edit.resumption import Iteration, State
from reedit.methods.recipe import Schedule
from reedit.models.language_model import LanguageModel
from reedit.storage.tensors import read_tensors


def iterate(
    model: LanguageModel,
    edits: Sequence[Edit],
    factors: Mapping[int, Tensor],
    schedule: Schedule,
    state: State,
    ranks: Ranks = ALONE,
) -> list[Iteration]:
    """All iterations of a run; those that `state` holds are not repeated.

    `factors`: by layer, what the algorithm reads of the second moments (preservation.py); none for ROME
    without mom2_adjustment.
    `ranks` share the edits of OPTIMIZATION; the leading one writes `state`.
    """
    layers = schedule.layers
    done = resumed(model, layers, state)
    carried = state.carried(len(done)) if done else Carried()
    ahead: Computed | None = None
    while not done or not schedule.is_over(
        [i.row["delta_p"] for i in done], [i.row["delta_p2"] for i in done]
    ):
        k, start = len(done) + 1, time.monotonic()
        before = done[-1] if done else None
        computed = ahead or compute(
            *(model, edits, factors, schedule, k),
            saved=partial(state.optimized, k),
            ranks=ranks,
            before=before,
            carried=carried,
        )
        started = perplexities_before(model, edits, schedule, before, computed.found)
        updates, carried = apply(model, computed, k), computed.carried
        cumulative = model.export_updates(layers)
        model.import_updates(
            cumulative, layers
        )  # what is saved, to the last bit: a resumed run goes on alike
        if schedule.looks_ahead:
            saved = partial(state.optimized, k + 1)
            ahead = compute(model, edits, factors, schedule, k + 1, saved=saved, ranks=ranks)
        edited = ahead.found.ppl_initial if ahead else edited_perplexities(model, edits, schedule)
        iteration = iteration_rows(
            model, edits, schedule.algorithm, layers, k, computed.found, updates, started, edited
        )
        iteration.row["seconds_optimization"] = computed.seconds_optimization
        iteration.row["seconds_spread"] = computed.seconds_spread
        iteration.row["seconds_total"] = time.monotonic() - start + computed.seconds_earlier
        if ranks.leads:
            state.save(k, iteration, cumulative, carried)
        iteration = ranks.agreed(iteration)
        done.append(iteration)
        tell(iteration)
    return done


def resumed(model: LanguageModel, layers: list[int], state: State) -> list[Iteration]:
    """The complete iterations of `state`, with the model's weights as the last of them left them."""
    done = [state.load(k) for k in range(1, state.completed() + 1)]
    if done:
        logging.getLogger("reedit").info("resuming after iteration %d", len(done))
        model.import_updates(read_tensors(state.weights(len(done)), str(model.device)), layers)
    return done
