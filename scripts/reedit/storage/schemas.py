"""The columns of every Parquet file: the results contract of the design's section 3 and what is beside it."""

import pyarrow as pa

NEIGHBOR = pa.struct(
    [
        ("subject", pa.string()),  # null where unknown
        ("prompt", pa.string()),  # full text
        ("object", pa.string()),
        ("given", pa.string()),  # the subject that the published data names; null where it is no other one
        ("start", pa.int64()),  # the character of the prompt at which the subject stands; null where unknown
        ("given_start", pa.int64()),  # the same of `given`
    ]
)

PREMISE = pa.struct([("prompt", pa.string()), ("answers", pa.list_(pa.string()))])

METRICS = ("efficacy", "generalization", "specificity")
MEASURES = [
    "efficacy_accuracy",
    "efficacy_success",
    "generalization_accuracy",
    "generalization_success",
    "specificity_accuracy",
    "specificity_success",
    "score_accuracy",
    "score_success",
]

TOLD = ("fluency", "consistency")  # measures of the texts that a model goes on with
EXACT = tuple(f"{metric}_exact" for metric in METRICS)  # of its own answers, see reedit.evaluate.answers

AFTER = ("after", pa.int64())  # edits of iteration k that were written; null where it was complete
METHOD = [  # what rows over the trials of one method begin with
    ("model", pa.string()),
    ("dataset", pa.string()),
    ("method", pa.string()),
    ("algorithm", pa.string()),
    ("protocol", pa.string()),
    ("edits", pa.int64()),
    ("trials", pa.int64()),
]

SCHEMAS: dict[str, pa.Schema] = {
    "facts": pa.schema(
        [
            ("case_id", pa.int64()),
            ("relation", pa.string()),
            ("subject", pa.string()),
            ("prompt", pa.string()),
            ("target_new", pa.string()),
            ("target_true", pa.string()),
            ("paraphrases", pa.list_(pa.string())),
            ("neighbors", pa.list_(NEIGHBOR)),
        ]
    ),
    # what a model goes on from, in the order of "facts"
    "generation_prompts": pa.schema(
        [
            ("case_id", pa.int64()),
            ("prompts", pa.list_(pa.string())),  # full texts; some may be equal
            ("target_id", pa.string()),  # of target_new; null where the data names none
        ]
    ),
    # what is asked of a case beside its scored prompts, case by case, group by group
    "groups": pa.schema(
        [
            ("case_id", pa.int64()),
            ("group", pa.string()),
            ("item", pa.int64()),  # of the case's prompts of the group
            ("prompt", pa.string()),  # full text
            ("answers", pa.list_(pa.string())),  # teacher forcing takes the first; the others are aliases
            ("judged", pa.string()),  # answers (one is to be given), or unchanged (what it says stays)
            ("premises", pa.list_(PREMISE)),  # what the unedited model has to know; null where nobody tells
        ]
    ),
    "neighbors": pa.schema(
        [
            ("case_id", pa.int64()),
            ("neighbor", pa.int64()),  # position in the case's list of neighbors
            ("subject", pa.string()),
            ("prompt", pa.string()),  # full text
            ("object", pa.string()),
            ("predicted", pa.string()),
            ("kept", pa.bool_()),
            ("order", pa.int64()),  # rank in which neighbors are taken as assistants
        ]
    ),
    "split": pa.schema([("trial", pa.int64()), ("position", pa.int64()), ("case_id", pa.int64())]),
    "prefixes": pa.schema([("template", pa.string())]),
    "tracing": pa.schema(
        [
            ("case_id", pa.int64()),
            ("kind", pa.string()),  # what is restored: hidden, mlp or attention
            ("layer", pa.int64()),  # the first of those in which it is restored
            ("layers", pa.int64()),  # how many they are
            ("sample", pa.int64()),  # of the noise
            ("p_clean", pa.float64()),
            ("p_corrupted", pa.float64()),
            ("p_restored", pa.float64()),
        ]
    ),
    "tuning": pa.schema(
        [
            ("part", pa.string()),  # layers, optimization, spread, or held out: facts that no other part saw
            ("number", pa.int64()),  # of the attempt, in its part
            ("role", pa.string()),  # of what is held out: found, most specific, fastest, in use
            ("front", pa.bool_()),  # whether no other attempt of the part is better in every goal
            ("layers", pa.list_(pa.int64())),
            ("hyperparameters", pa.string()),  # JSON
            ("edits", pa.int64()),
            ("nll", pa.float64()),  # log p(theta_1, h-bar), the mean over the facts
            ("size", pa.float64()),  # ||delta|| / ||h||, likewise
            ("passes", pa.float64()),  # of OPTIMIZATION, likewise
            *[(f"{metric}{end}", pa.float64()) for metric in METRICS for end in ("", "_low", "_high")],
            *[(f"more_{metric}{end}", pa.float64()) for metric in METRICS for end in ("", "_low", "_high")],
            ("seconds", pa.float64()),
        ]
    ),
    "targets": pa.schema(
        [
            ("k", pa.int64()),
            ("case_id", pa.int64()),
            ("steps", pa.int64()),  # updates of the target made
            ("ppl_initial", pa.float64()),
            ("ppl_target", pa.float64()),
            ("ppl_edited", pa.float64()),
            ("hidden_norm", pa.float64()),
            ("delta_norm", pa.float64()),
            ("residual_before", pa.float64()),
            ("residual_after", pa.float64()),
        ]
    ),
    "iterations": pa.schema(
        [("k", pa.int64())]
        + [
            (name, pa.float64())
            for name in [
                "ppl_initial",
                "ppl_target",
                "ppl_edited",
                "delta_p",
                "delta_p2",
                "ppl_initial_median",
                "ppl_target_median",
                "ppl_edited_median",
                "ppl_initial_gmean",
                "ppl_target_gmean",
                "ppl_edited_gmean",
                "update_norm",
                "weight_norm",
                "seconds_optimization",
                "seconds_spread",
                "seconds_total",
                "peak_memory_mb",
            ]
        ]
    ),
    "scores": pa.schema(
        [
            ("k", pa.int64()),
            ("case_id", pa.int64()),
            ("metric", pa.string()),
            ("prompt", pa.string()),
            ("accuracy", pa.float64()),
            ("success", pa.float64()),
            ("exact_match", pa.float64()),
            ("logp_new", pa.float64()),
            ("logp_true", pa.float64()),
            ("predicted", pa.string()),
            AFTER,
        ]
    ),
    # one row per k, checkpoint and item of a group, in the order of the cases' editing
    "portability": pa.schema(
        [
            ("k", pa.int64()),
            ("case_id", pa.int64()),
            ("group", pa.string()),
            ("item", pa.int64()),
            (
                "accuracy",
                pa.float64(),
            ),  # share of the first answer's tokens that are the argmax; null: not asked
            ("exact_match", pa.float64()),  # 0 or 1: all of them are
            ("generated", pa.string()),  # what the model says by itself, up to a natural stop
            ("judged_true", pa.float64()),  # 0 or 1: it gives one of the answers
            ("premise_known", pa.bool_()),  # at k = 0; null later, and where no premises are told
            AFTER,
        ]
    ),
    # greedy generation after the prompt alone; as scores, one row per k, case, metric and prompt
    "generations": pa.schema(
        [
            ("k", pa.int64()),
            ("case_id", pa.int64()),
            ("metric", pa.string()),
            ("prompt", pa.string()),
            ("answer", pa.string()),  # target_new; for specificity the neighbor's own object
            ("generated", pa.string()),  # as it was said, without special tokens
            ("exact", pa.float64()),  # 0 or 1, see reedit.evaluate.answers
            ("contains", pa.float64()),
            ("judged_true", pa.float64()),  # 0 or 1, by the judge: without one the same as contains
            AFTER,
        ]
    ),
    # what the model goes on with, drawn by chance; one row per k and case
    "texts": pa.schema(
        [
            ("k", pa.int64()),
            ("case_id", pa.int64()),
            ("texts", pa.list_(pa.string())),  # prompt included, one for each of generation_prompts
            ("fluency", pa.float64()),  # bits, see reedit.evaluate.fluency
            ("consistency", pa.float64()),  # a cosine; null where the target has no reference texts
            AFTER,
        ]
    ),
    "collapse": pa.schema(
        [
            ("k", pa.int64()),
            ("text", pa.string()),
            ("ppl_released", pa.float64()),
            ("ppl", pa.float64()),
            AFTER,
        ]
    ),
    # one row per k (0 = unedited) and edited layer, of W_k
    "norms": pa.schema(
        [
            ("k", pa.int64()),
            ("layer", pa.int64()),
            ("weight_norm", pa.float64()),  # Frobenius
            ("condition", pa.float64()),  # the largest by the smallest singular value
            AFTER,
        ]
    ),
    # one row per task and metric of lm-evaluation-harness
    "downstream": pa.schema(
        [
            ("task", pa.string()),
            ("metric", pa.string()),
            ("value", pa.float64()),
            ("stderr", pa.float64()),  # null where the harness gives none
            ("documents", pa.int64()),  # null for a group of tasks
            AFTER,
        ]
    ),
    # one row per run (a trial is part of a run) and k; measures are fractions, null where not measured
    "runs": pa.schema(
        [
            ("entry", pa.int64()),  # position of the entry in the configuration's `runs`
            ("model", pa.string()),
            ("dataset", pa.string()),
            ("format", pa.string()),  # of the dataset
            ("method", pa.string()),
            ("algorithm", pa.string()),
            ("assisted", pa.bool_()),
            ("prefixed", pa.bool_()),  # whether the assisting neighbors carry a prefix
            ("protocol", pa.string()),
            ("trial", pa.int64()),
            ("k", pa.int64()),
            ("edits", pa.int64()),
        ]
        + [(name, pa.float64()) for name in MEASURES]
        + [
            (name, pa.float64())
            for name in [
                "me_ppl",  # mean over the texts, by the run's protocol
                "ppl_initial",
                "ppl_target",
                "ppl_edited",
                "delta_p",
                "delta_p2",
            ]
        ]
    ),
    # one row per run, k and case; null where not measured (k = 0 has no perplexity, an unkept k no score)
    "cases": pa.schema(
        [
            ("model", pa.string()),
            ("dataset", pa.string()),
            ("method", pa.string()),
            ("algorithm", pa.string()),
            ("assisted", pa.bool_()),
            ("protocol", pa.string()),
            ("trial", pa.int64()),
            ("k", pa.int64()),
            ("case_id", pa.int64()),
            ("ppl_initial", pa.float64()),
            ("ppl_target", pa.float64()),
            ("ppl_edited", pa.float64()),
        ]
        + [(name, pa.float64()) for name in MEASURES if not name.startswith("score")]
        + [("under_edit", pa.bool_())]  # after k = 1, by the run's protocol: the same at every k
    ),
    # the course of one case, one row per k from 1
    "example": pa.schema(
        [
            ("model", pa.string()),
            ("dataset", pa.string()),
            ("method", pa.string()),
            ("trial", pa.int64()),
            ("case_id", pa.int64()),
            ("prompt", pa.string()),  # with its subject
            ("target_new", pa.string()),
            ("target_true", pa.string()),
            ("under_edit", pa.bool_()),
            ("k", pa.int64()),
            ("ppl_initial", pa.float64()),
            ("ppl_target", pa.float64()),
            ("ppl_edited", pa.float64()),
            ("efficacy_accuracy", pa.float64()),
        ]
    ),
    # one row per comparison and measure: method at k minus reference at reference_k, as fractions
    "differences": pa.schema(
        [
            ("row", pa.int64()),
            ("comparison", pa.string()),  # iteration, stopping, assistance or method
            ("model", pa.string()),
            ("dataset", pa.string()),
            ("algorithm", pa.string()),
            ("protocol", pa.string()),
            ("edits", pa.int64()),
            ("method", pa.string()),
            ("k", pa.int64()),  # the largest of a trial
            ("k_min", pa.int64()),  # the smallest: another one where trials stand at different k
            ("role", pa.string()),  # selected, last (criterion not met) or unjudged (no delta_p)
            ("reference", pa.string()),
            ("reference_k", pa.int64()),
            ("reference_k_min", pa.int64()),
            ("reference_role", pa.string()),  # the same, first or highest
            ("trials", pa.int64()),
            ("pairs", pa.int64()),  # cases judged on both sides, of all trials
            ("measure", pa.string()),
            ("mean", pa.float64()),  # over cases, then over trials
            ("low", pa.float64()),  # 95 % paired bootstrap interval over cases within trials
            ("high", pa.float64()),
        ]
    ),
    # one row per table row and measure: mean over trials, spread, bootstrap interval
    "table": pa.schema(
        [
            ("row", pa.int64()),
            ("model", pa.string()),
            ("dataset", pa.string()),
            ("format", pa.string()),
            ("method", pa.string()),  # "unedited" for k = 0
            ("algorithm", pa.string()),
            ("assisted", pa.bool_()),
            ("prefixed", pa.bool_()),
            ("protocol", pa.string()),
            ("k", pa.int64()),  # the largest of a trial
            ("k_min", pa.int64()),  # the smallest: another one where trials stand at different k
            ("role", pa.string()),  # why it is shown, see reedit.report.rows.lines
            ("collapsed", pa.bool_()),  # ME-PPL above ten times the unedited model's, or not finite
            ("edits", pa.int64()),
            ("trials", pa.int64()),
            ("measure", pa.string()),
            ("mean", pa.float64()),
            ("spread", pa.float64()),  # standard deviation over trials, null for one trial
            ("low", pa.float64()),  # 95 % bootstrap interval over cases within trials
            ("high", pa.float64()),
        ]
    ),
    # one row per method and number of edits after which all trials have a state; means over trials
    "along": pa.schema(
        [
            *METHOD,
            ("k", pa.int64()),
            ("after", pa.int64()),  # edits of iteration k that were written; 0: the unedited model
            ("me_ppl", pa.float64()),
            # of all cases that are edited by then, and of those of the first batch
            *[
                (f"{which}_{metric}_accuracy{end}", pa.float64())
                for which in ("every", "first")
                for metric in METRICS
                for end in ("", "_low", "_high")
            ],
            # of the texts and answers of all cases that are edited by then; null where none were asked for
            *[(f"{name}{end}", pa.float64()) for name in (*TOLD, *EXACT) for end in ("", "_low", "_high")],
        ]
    ),
    # one row per method and k from 0; means over trials, null where not measured
    "norm_summary": pa.schema(
        [
            *METHOD,
            ("k", pa.int64()),  # the largest of a trial
            ("k_min", pa.int64()),  # the smallest: another one where trials stand at different k
            ("update_norm", pa.float64()),  # of this iteration, all edited layers together
            ("growth", pa.float64()),  # weight norm by the unedited; this and condition: of the worst layer
            ("condition", pa.float64()),
            ("condition_growth", pa.float64()),  # by the unedited weights' of the same layer
            ("residual_before", pa.float64()),  # ||z - h|| before SPREAD by ||h||, mean over cases
            ("residual_after", pa.float64()),
            ("reading", pa.string()),  # blowing up, more SPREAD, settled: see reedit.report.rows.norms
        ]
    ),
    # one row per method on a dataset: what its edits took
    "hardware": pa.schema(
        [
            ("model", pa.string()),
            ("dataset", pa.string()),
            ("method", pa.string()),
            ("algorithm", pa.string()),
            ("device", pa.string()),
            ("peak_memory_mb", pa.float64()),  # the largest of all trials and k
            ("seconds", pa.float64()),  # of all iterations, mean over trials
            ("iterations", pa.int64()),  # the most of a trial
            ("edits", pa.int64()),
            ("trials", pa.int64()),
        ]
    ),
    # one row per reported cell and line that stands for it, and per measured cell the paper has no number for
    "comparison": pa.schema(
        [
            ("table", pa.int64()),
            ("model", pa.string()),  # the paper's names
            ("dataset", pa.string()),
            ("method", pa.string()),
            ("role", pa.string()),  # unedited, first, selected, a stopping rule (Table 4), iteration
            ("k", pa.int64()),  # the paper's; null where it has no such line
            ("edits", pa.int64()),
            ("run", pa.string()),  # ours, {model}/{dataset}/{method}; null where none stands for the line
            ("protocol", pa.string()),
            ("run_k", pa.int64()),
            ("run_k_min", pa.int64()),
            ("run_edits", pa.int64()),
            ("measure", pa.string()),
            ("reported", pa.float64()),  # fractions and perplexities, as in "table"
            ("measured", pa.float64()),
            ("low", pa.float64()),  # 95 % bootstrap interval; of perplexities mean -+ 2 spreads over trials
            ("high", pa.float64()),
            ("difference", pa.float64()),  # measured - reported
            ("tolerance", pa.float64()),  # how far the number behind a printed one may be from it
            ("least", pa.float64()),  # from here to `most` a measured number agrees: as far as the tolerance,
            ("most", pa.float64()),  # a score as far as its parts can move it, too
            ("verdict", pa.string()),  # agrees, within interval, differs, slip, not measured, not reported
            ("note", pa.string()),
        ]
    ),
    # one row per model: cases that pass the neighbor filter run anew, and those of a published list
    "eligible": pa.schema(
        [
            ("model", pa.string()),
            ("cases", pa.int64()),  # of the pool that is filtered
            ("eligible", pa.int64()),
            ("published", pa.int64()),
            ("both", pa.int64()),
            ("only_anew", pa.int64()),
            ("only_published", pa.int64()),  # in the pool
            ("not_in_pool", pa.int64()),
        ]
    ),
    # one row per run, task and metric, and per checkpoint: the edited model beside the unedited one
    "downstream_summary": pa.schema(
        [
            ("model", pa.string()),
            ("dataset", pa.string()),
            ("method", pa.string()),
            ("task", pa.string()),
            ("metric", pa.string()),
            ("trial", pa.int64()),
            ("k", pa.int64()),
            ("documents", pa.int64()),
            ("unedited", pa.float64()),  # null where it was not asked
            ("edited", pa.float64()),
            ("difference", pa.float64()),
            ("stderr", pa.float64()),  # of the edited model's
            AFTER,
        ]
    ),
}
