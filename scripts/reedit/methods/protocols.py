"""The two protocols as data: the paper's equations made definite, and what the published code computes.

One field for each row of the design's section 5, named for what it does; docs/protocols.md has them in words.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from reedit.errors import InputError


@dataclass(frozen=True)
class Protocol:
    """How rows are made, measured and scored. The defaults are `corrected`, the paper's equations."""

    name: str
    joint_tokens: bool = True  # prompt and target tokenised as one text; else the target alone, put behind it
    subject_end: str = "exact"  # its last token is found in the row; published: counted in the text up to it
    own_means: bool = True  # a mean over the rewriting rows, one over the neighbors; else one over all rows
    given_subjects: bool = False  # a neighbor's subject as the dataset says it, whatever its text says
    scaled_perplexity: bool = False  # PMET: of the NLL as the loss scales it
    accumulates: bool = False  # AlphaEdit: leaves alone all earlier keys, its own too, as they are by then
    looks_ahead: bool = False  # ROME: p(theta_{k+1}, h-hat) is of the next iteration's first passes
    loose_labels: bool = False  # scores: what follows as many tokens as the prompt has, against the dataset
    behind_fails: bool = True  # an edit has failed where target_true leads; else where accuracy is 0
    me_ppl: str = "ppl"  # the column of schema "collapse": of N - 1 tokens, with BOS; or as published
    left_padding: bool = False  # learned positions of the scores' rows count what fills them up on the left
    drops_zeros: bool = False  # the harmonic mean leaves zeros out
    whole_percent: bool = False  # specificity is rounded before the score


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("corrected"),
        Protocol(
            "released",
            joint_tokens=False,
            subject_end="published",
            own_means=False,
            given_subjects=True,
            scaled_perplexity=True,
            accumulates=True,
            looks_ahead=True,
            loose_labels=True,
            behind_fails=False,
            me_ppl="ppl_released",
            left_padding=True,
            drops_zeros=True,
            whole_percent=True,
        ),
    )
}


def protocol_of(name: str) -> Protocol:
    """The protocol of that name; InputError for another one."""
    if name not in PROTOCOLS:
        raise InputError(f"protocol: unknown value {name!r}, expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
