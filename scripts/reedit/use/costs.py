"""Work, memory and disk of a job, from the shape of its model alone.

Work counts the matrix products: two operations for each weight and position, as many again for a gradient.
The positions of a row are those typical of CounterFact and ZsRE; what a device makes of it, plan.py says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reedit.evaluate.answers import NEW_TOKENS
from reedit.methods.hyperparameters import reads_moments
from reedit.methods.recipe import Recipe
from reedit.settings.definitions import Shape, Texts
from reedit.statistics.corpora import tokens_of

GB = 1e9
# tokens of a prefixed row, of it from the subject's end on, of a prompt with its target, labels of a row
ROW, TAIL, BARE, LABELS = 23, 8, 12, 3
PROMPTS = 13  # scored a case: its own, two paraphrases, ten neighbors
ITEMS = 6  # prompts of a case's groups, and their premises
OPENINGS, TEXT = 10, 100  # generation prompts of a case, and tokens of a text that a model makes of one
ARTICLE = 600  # tokens of a document, on average, as far as max_tokens lets it
WORKSPACE = 4.0  # GB for batches that keep a GPU busy; where there is less, they get smaller


@dataclass(frozen=True)
class Cost:
    """One job: GB on the GPU, of the machine and of disk; operations in single and in double precision."""

    rule: str
    gpu: float
    host: float
    disk: float
    work: float
    double: float = 0.0
    share: float = 0.5  # of a device's peak that such work reaches, by assumption


@dataclass(frozen=True)
class Sizes:
    """How much an edit job has to do: edits, their rows by kind, and the processes that share it."""

    edits: int
    templates: int  # prefixes of an edit
    assisting: int = 0
    processes: int = 1


def iteration_work(shape: Shape, recipe: Recipe, sizes: Sizes, k: int = 1) -> float:
    """Operations of iteration k: of each stage OPTIMIZATION and SPREAD's passes, then the perplexities.

    Of the processes each makes its share of OPTIMIZATION, and all of the rest.
    """
    if not recipe.algorithm.finds_targets:  # bare rows, once through all layers, then from the edited ones on
        above = (shape.layers - recipe.layers[0]) * shape.block
        above += LABELS / BARE * shape.vocabulary * shape.width
        return sizes.edits * BARE * (2 * 3 * shape.parameters + 6 * recipe.passes * above)
    rows = 1 + sizes.templates + sizes.assisting
    head = rows * LABELS * shape.vocabulary * shape.width
    setup = 2 * (rows + 1) * ROW * shape.parameters
    work = 2 * rows * ROW * shape.parameters  # the perplexities
    for layers in recipe.algorithm.stages(recipe.layers):
        passes = 4 * ((rows + 1) * TAIL * (shape.layers - 1 - layers[-1]) * shape.block + head)
        work += 2 * rows * (ROW - TAIL) * (layers[-1] + len(layers)) * shape.block
        if k == 1 or not recipe.spread_only:
            work += (recipe.passes * passes + setup) / sizes.processes
    return sizes.edits * work


def edit_cost(shape: Shape, recipe: Recipe, sizes: Sizes) -> Cost:
    """An edit job that makes all its iterations and keeps the weights of every k.

    Of several processes each has a GPU and a copy of the model: GB of one GPU, of the machine for all.
    """
    iterations, layers = recipe.extend_to or recipe.iterations, len(recipe.layers)
    edited = layers * shape.width * shape.keys * 4
    weights = shape.parameters * 4 + 2 * edited
    factor, double, kept = 0, 0.0, 0
    if reads_moments(recipe.algorithm, recipe.hyperparameters):
        factor = shape.keys**2 * 8
        together = recipe.batch or sizes.edits
        solve = 2 * shape.keys**2 + 4 * shape.keys * together + 2 * shape.width * shape.keys
        double = layers * (iterations * solve * sizes.edits + shape.keys**3 / 3)
        if recipe.protected != "none" and recipe.batch:
            double += layers * iterations * protected_work(shape.keys, sizes.edits, recipe.batch)
            kept = layers * sizes.edits * shape.keys * 4
            kept += layers * shape.keys**2 * 8 * (sizes.edits > shape.keys)  # their sums, once they are many
    width = 4 * (recipe.ideal_editor is not None) + 8 * (recipe.algorithm.solves == "refreshed")
    counting = layers * shape.keys**2 * width  # what goes on from step to step, in memory and on disk
    return Cost(
        rule="edit_facts",
        gpu=(weights + 2 * factor) / GB + WORKSPACE,
        host=sizes.processes * (weights + layers * factor + kept + counting) / GB,
        disk=(iterations * ((1 + len(recipe.along(sizes.edits))) * edited + counting) + counting) / GB,
        work=sum(iteration_work(shape, recipe, sizes, k) for k in range(1, iterations + 1)),
        double=double,
        share=0.15 if recipe.algorithm.one_by_one else 0.5,  # one edit at a time keeps no large GPU busy
    )


def protected_work(keys: int, edits: int, batch: int) -> float:
    """Operations in double precision by which the keys of earlier batches raise a layer's solves (solve.py).

    Of fewer of them than a key has numbers the solve of all, else that of their sum of k k^T, which goes on
    from batch to batch: what is added, and what a batch has in it itself.
    """
    many = 2 * keys**3 + keys**3 / 3 + 2 * keys**2 * batch + 6 * keys**2 * batch
    found = 0.0
    for earlier in range(batch, edits, batch):
        few = keys**2 * earlier + keys * earlier * (earlier + 2 * batch) + earlier**3 / 3
        found += few if earlier <= keys else many
    return found


def score_cost(shape: Shape, edits: int, kept: float) -> Cost:
    """Scores of the unedited model and of `kept` states of all edits."""
    weights = shape.parameters * 4 / GB
    work = (1 + kept) * edits * PROMPTS * (BARE + 2 * LABELS) * shape.parameters * 2
    return Cost("score_edits", weights + WORKSPACE, weights, 0.005 * (1 + kept), work)


def generation_cost(shape: Shape, edits: int, kept: float, tokens: int = NEW_TOKENS) -> Cost:
    """What the unedited model and `kept` states say of every prompt, token by token."""
    return _answers_cost("generate_answers", shape, edits * PROMPTS * (BARE + tokens), kept)


def groups_cost(shape: Shape, edits: int, kept: float, tokens: int = NEW_TOKENS) -> Cost:
    """The same of the prompts of groups, of which each case has so many on average."""
    return _answers_cost("ask_groups", shape, edits * ITEMS * (BARE + tokens), kept)


def _answers_cost(rule: str, shape: Shape, tokens: int, kept: float) -> Cost:
    weights = shape.parameters * 4 / GB
    work = (1 + kept) * tokens * shape.parameters * 2
    return Cost(rule, weights + WORKSPACE, weights, 0.005 * (1 + kept), work, share=0.1)


def text_cost(shape: Shape, edits: int, kept: float) -> Cost:
    """The texts that the unedited model and `kept` states go on with, token by token."""
    weights = shape.parameters * 4 / GB
    work = (1 + kept) * edits * OPENINGS * TEXT * shape.parameters * 2
    return Cost("generate_texts", weights + WORKSPACE, weights, 0.005 * (1 + kept), work, share=0.1)


def norm_cost(shape: Shape, layers: Sequence[int], kept: int) -> Cost:
    """The singular values of the edited weights in `kept` states and of the unedited ones, in fp64."""
    weights, matrix = shape.parameters * 4 / GB, shape.width * shape.keys
    values = 4 * shape.width * matrix
    gpu = weights + 3 * 8 * matrix / GB  # the weight, its copy that LAPACK destroys, room to work
    return Cost("measure_norms", gpu, weights, 0.001, 0.0, (1 + kept) * len(layers) * values)


def tokens_read(shape: Shape, corpus: Texts) -> int:
    """How many tokens of a corpus are read, as far as its definition tells."""
    most = corpus.samples * min(corpus.max_tokens, ARTICLE)
    return min(most, tokens_of(corpus.tokens, shape.keys) or most)


def moment_cost(shape: Shape, layers: Sequence[int], tokens: int) -> Cost:
    """One pass up to the last measured layer, for all layers; on disk also what is kept for a kill, twice."""
    matrix = shape.keys**2 * 4 / GB  # of numbers in single precision
    weights, sums = shape.parameters * 4 / GB, len(layers) * 2 * matrix * 9 / 16
    work = tokens * (2 * max(layers) * shape.block + 1.1 * len(layers) * shape.keys**2)
    gpu, host, disk = weights + sums + WORKSPACE, weights + sums + matrix, len(layers) * matrix + 2 * sums
    return Cost("collect_moments", gpu, host, disk, work)


def filter_cost(shape: Shape, cases: int) -> Cost:
    """The unedited model's word on ten neighbors a case, some of them continued."""
    weights = shape.parameters * 4 / GB
    work = cases * 10 * BARE * 3 * shape.parameters
    return Cost("filter_neighbors", weights + WORKSPACE, weights, 0.01, work)
