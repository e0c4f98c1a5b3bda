"""What a model says to a prompt by itself: free generation up to a natural stop, no answer in the input.

speech = Speech.of(model, chat=True)
said(model, ["What is the capital of France?"], speech)  # ["The capital of France is Paris."]

So *The mirage of model editing* (Yang et al. 2025) asks: scores are teacher-forced, each token of an answer
asked for after those before it, which a model that has to speak for itself may never reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reedit.errors import InputError
from reedit.evaluate.answers import NEW_TOKENS, has_stopped, up_to_stop
from reedit.jobs.progress import progress
from reedit.models.generation import generate
from reedit.models.language_model import LanguageModel
from reedit.models.tokens import Wording


@dataclass(frozen=True)
class Speech:
    """How a model is let speak: what is put around a prompt, and how many tokens it may say at most."""

    wording: Wording
    tokens: int = NEW_TOKENS

    @classmethod
    def of(cls, model: LanguageModel, chat: bool = True, tokens: int = NEW_TOKENS) -> "Speech":
        """As its texts are put to a model already; with `chat` through its template, where it has one.

        Raises InputError for a template that changes what is said.
        """
        if not (chat and model.tokenizer.chat_template and model.wording.special):
            return cls(model.wording, tokens)
        try:
            return cls(Wording.of(model.tokenizer, model.wording.separator, chat=True), tokens)
        except InputError as error:
            told = str(error).removeprefix("chat: true, but ")
            raise InputError(
                f"{told}; generation: {{chat: false}} asks for free answers without it"
            ) from error

    def fits(self, model: LanguageModel, prompt: str) -> bool:
        """Whether the model can read a prompt and what it may say to it."""
        return len(self.wording.encode(prompt)) + self.tokens <= model.model.config.max_position_embeddings


def said(model: LanguageModel, prompts: Sequence[str], speech: Speech, name: str = "") -> list[str]:
    """What a model says to each prompt, up to its first natural stop (answers.up_to_stop).

    `name`: of the progress that is shown, if it is. Raises InputError for a prompt that is too long.
    """
    asked = [speech.wording.encode(prompt) for prompt in prompts]
    report = progress(name, len(asked)) if name else None
    ids = generate(model, asked, speech.tokens, report=report, ended=has_stopped)
    return [up_to_stop(model.tokenizer.decode(one, skip_special_tokens=True)) for one in ids]
