"""Greedy generation in batches by transformers' own `generate`, with nothing but its most likely tokens."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import torch
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from reedit.models.batches import halving, list_halves, padded
from reedit.models.language_model import LanguageModel

# of the others, transformers' mask for a padded row overflows in the softmax, which is in float32: NaN
PADDABLE = (torch.float32, torch.bfloat16)


@torch.no_grad()
def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    budget: int = 4096,
    report: Callable[[int], None] | None = None,
    ended: Callable[[str], bool] | None = None,
) -> list[tuple[int, ...]]:
    """The greedy continuation of each prompt, at most `new_tokens` tokens, without what ends the text.

    `ended` tells by the text so far that nothing more of it is asked for; a token or two may follow. Equal
    prompts are read once, in left-padded batches of at most `budget` positions, the new ones included;
    `report` is called with the prompts done so far. Raises InputError for a prompt that with its continuation
    is longer than the model can read.
    """
    for prompt in prompts:
        model.check_length([*prompt, *[0] * new_tokens])
    counts = Counter(map(tuple, prompts))
    ends = ending_tokens(model)
    settings = greedy(new_tokens, ends)

    def run(batch: list[tuple[int, ...]]) -> dict[tuple[int, ...], tuple[int, ...]]:
        # padded() fills up on the right: of the reversed prompts, turned around again, that is the left
        ids, mask = padded([prompt[::-1] for prompt in batch], settings.pad_token_id, model.device)
        ids, mask = ids.flip(1), mask.flip(1)  # [b, length]
        more = {"stopping_criteria": _stopping(model, ids.shape[1], ended)} if ended else {}
        with speaking(model.model):
            texts = model.model.generate(ids, attention_mask=mask, generation_config=settings, **more)
        new = texts[:, ids.shape[1] :].tolist()
        return {prompt: _up_to_end(text, ends) for prompt, text in zip(batch, new, strict=True)}

    said: dict[tuple[int, ...], tuple[int, ...]] = {}
    done = 0
    batches = _batches(counts, new_tokens, budget, padding=model.model.dtype in PADDABLE)
    for found in halving(batches, run, list_halves):
        said |= found
        done += sum(counts[prompt] for prompt in found)
        if report:
            report(done)
    return [said[tuple(prompt)] for prompt in prompts]


class _Ended(StoppingCriteria):
    """Ends each text of a batch by itself."""

    def __init__(self, model: LanguageModel, start: int, ended: Callable[[str], bool]) -> None:
        self.tokenizer, self.start, self.ended = model.tokenizer, start, ended

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        texts = self.tokenizer.batch_decode(input_ids[:, self.start :], skip_special_tokens=True)
        return torch.tensor([self.ended(text) for text in texts], device=input_ids.device)


def _stopping(model: LanguageModel, start: int, ended: Callable[[str], bool]) -> StoppingCriteriaList:
    """What ends texts whose prompts take up to position `start`."""
    return StoppingCriteriaList([_Ended(model, start, ended)])


def ending_tokens(model: LanguageModel) -> list[int]:
    """The tokens that end a text: the tokenizer's, and the model's own (Llama 3 has several)."""
    own = model.model.generation_config.eos_token_id
    own = own if isinstance(own, list) else [own]
    return list(dict.fromkeys(token for token in [model.tokenizer.eos_token_id, *own] if token is not None))


def greedy(new_tokens: int, ends: list[int]) -> GenerationConfig:
    """The most likely token each time. What pads is masked in front and cut off behind: any token will do."""
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_new_tokens=new_tokens,
        eos_token_id=ends or None,
        pad_token_id=ends[0] if ends else 0,
    )


@contextmanager
def speaking(network: PreTrainedModel) -> Iterator[None]:
    """What `generate` of transformers needs around it: no settings but ours, and a head without views.

    It fills in whatever ours leave open from those that a model ships with: a temperature would not matter,
    but a repetition penalty, a shortest length or a forced token would. And it gives the head a view, of the
    last position of each text: in bfloat16 torch on a CPU copies the vocabulary's weight for every one.
    """
    shipped = network.generation_config
    hook = network.get_output_embeddings().register_forward_pre_hook(_contiguous)
    try:
        network.generation_config = GenerationConfig()
        yield
    finally:
        hook.remove()
        network.generation_config = shipped


def _contiguous(_: torch.nn.Module, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    return (given[0].contiguous(),)


def _batches(
    prompts: Iterable[tuple[int, ...]], new_tokens: int, budget: int, padding: bool
) -> Iterator[list[tuple[int, ...]]]:
    """The prompts, longest first, in few batches; without `padding` each is of one length."""
    ordered = sorted(prompts, key=len, reverse=True)
    groups = [ordered] if padding else [list(group) for _, group in groupby(ordered, key=len)]
    for group in groups:
        while group:
            size = max(1, budget // (len(group[0]) + new_tokens))
            yield group[:size]
            group = group[size:]


def _up_to_end(ids: Sequence[int], ends: Sequence[int]) -> tuple[int, ...]:
    end = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return tuple(ids[:end])
