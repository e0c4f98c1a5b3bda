"""Iterative editing: OPTIMIZATION and SPREAD again at theta_k until the perplexity gap closes.

Paper, section 3.1; design, section 4 (Iteration).

    editor = Editor(model, recipe, factors, workers=Workers(Journal(folder, fingerprint)))
    done = iterate(editor, edits)  # the model is at the last theta then
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from torch import Tensor

from reedit.edit.editor import Editor, Update
from reedit.edit.edits import Edit
from reedit.edit.fine_tuning import fine_tune
from reedit.edit.found import Found, in_turn, joined
from reedit.edit.ideal_editor import Take, joining
from reedit.edit.journal import Iteration
from reedit.edit.lost import tell_lost
from reedit.edit.measured import begin, edited_perplexities, measured
from reedit.edit.optimization.optimize import optimize
from reedit.edit.spread.rounds import spread_in_rounds
from reedit.edit.spread.spread import spread
from reedit.edit.ultraedit import ultraedit
from reedit.edit.written import Batch
from reedit.methods.recipe import Recipe, Step


def iterate(editor: Editor, edits: Sequence[Edit], take: Take | None = None) -> list[Iteration]:
    """theta_2, theta_3, ... until |p(theta_{k+1}, h-hat) - p(theta_k, h-bar)| <= 1, or as the recipe has it.

    Iterations that the journal holds are not repeated. `take`: another engine's way to take a step than ours.
    """
    take = take or own_way(editor.recipe)
    editor, done = editor.resumed()
    while not editor.recipe.is_over([iteration.row for iteration in done]):
        start = begin(editor, edits, len(done) + 1)
        found = one_iteration(editor, edits, start.k, take)  # from theta_k to theta_{k+1}
        updates = editor.settled(found)
        ahead = editor.recipe.looks_ahead
        edited = look_ahead(editor, edits, start.k + 1, take) if ahead else edited_perplexities(editor, edits)
        iteration = measured(editor, edits, start, found, edited)
        done.append(editor.completed(iteration, updates))
    return done


def one_iteration(editor: Editor, edits: Sequence[Edit], k: int, take: Take) -> Found:
    """Batch after batch, each on what the one before it wrote; what was found for every edit.

    Those that the journal holds are not repeated.
    """
    steps = editor.recipe.steps(k, len(edits), editor.memory.held)
    editor.memory.begin()
    done = editor.reached(k)
    left = [step for step in steps if step.batch >= len(done)]
    for number, of_batch in groupby(editor.workers.begin(left, editor.recipe, done), attrgetter("batch")):
        done.append(one_batch(editor, edits, of_batch, take))
        if number < steps[-1].batch:
            editor.reach(k, number, done[-1])
    device = editor.model.device  # what the journal gives back is on the CPU
    found = joined((batch.places, batch.found.to(device)) for batch in done)
    tell_lost(edits, found)
    return found


def one_batch(editor: Editor, edits: Sequence[Edit], steps: Iterable[Step], take: Take) -> Batch:
    """Step after step, each on what the one before it wrote."""
    turns: dict[tuple[int, ...], list[Found]] = {}
    keys: dict[int, Tensor] = {}
    for step in steps:
        found, update = take(editor, [edits[place] for place in step.places], step)
        keys |= editor.write(step, update)
        turns.setdefault(step.places, []).append(found)
    places = [place for turn in turns for place in turn]
    within = {place: number for number, place in enumerate(places)}
    parts = (([within[place] for place in turn], in_turn(stages)) for turn, stages in turns.items())
    return Batch(places, joined(parts), keys)


def ours(editor: Editor, edits: Sequence[Edit], step: Step) -> tuple[Found, Update]:
    """The paper's section 2: OPTIMIZATION finds h-bar, which makes the target likely; SPREAD has W say it."""
    return written(editor, edits, step, optimize(editor, edits, step))


def written(editor: Editor, edits: Sequence[Edit], step: Step, found: Found) -> tuple[Found, Update]:
    """SPREAD of what OPTIMIZATION found, once or in rounds."""
    way = spread_in_rounds if editor.recipe.algorithm.in_rounds else spread
    return way(editor, edits, step, found)


def own_way(recipe: Recipe) -> Take:
    """How a recipe has a step taken."""
    take = TAKES[recipe.algorithm.takes]
    return joining(take, recipe.ideal_editor) if recipe.ideal_editor else take


TAKES: Mapping[str, Take] = {"targets": ours, "gradients": fine_tune, "pairs": ultraedit}  # Algorithm.takes


def look_ahead(editor: Editor, edits: Sequence[Edit], k: int, take: Take) -> list[float]:
    """p(theta_k, h-hat) of each edit as iteration k begins with it, on what the edits before it have left.

    The iteration is made and not applied; what OPTIMIZATION finds is kept for when it is.
    """
    ahead = replace(editor, memory=editor.memory.copy(), workers=replace(editor.workers), ahead=True)
    with editor.model.restored(editor.recipe.layers):
        return one_iteration(ahead, edits, k, take).ppl_initial
