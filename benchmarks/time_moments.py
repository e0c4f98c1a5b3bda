"""Second moments: ours against a bare forward pass over the same batches, stopped at the last measured layer.

    python benchmarks/time_moments.py --documents 200
    python benchmarks/time_moments.py --texts documents.txt

The bare pass collects nothing and finds its texts tokenised; ours tokenises them and accumulates.
"""

import argparse
import sys
from pathlib import Path

import torch
from material import arguments, joined_documents, load, read_settings
from measuring import chunks, print_machine, print_table, ratio, timed

from reedit.models.batches import by_length, padded
from reedit.models.hooks import stopped_after
from reedit.models.language_model import LanguageModel
from reedit.models.tokens import encode
from reedit.statistics.moments import Reading, collect_moments


@torch.no_grad()
def bare_pass(model: LanguageModel, rows: list[list[int]], last: int, budget: int) -> None:
    """Forward passes in the batches that collect_moments makes, up to layer `last`."""
    for batch in by_length([len(row) for row in rows], budget):
        ids, mask = padded([rows[i] for i in batch], 0, model.device)
        with stopped_after(model.layers[last]):
            model.backbone(input_ids=ids, attention_mask=mask, use_cache=False)


def read_texts(chosen: argparse.Namespace, model: LanguageModel) -> list[str]:
    """The lines of --texts, or documents made of world facts."""
    if chosen.texts is None:
        return joined_documents(model, chosen.documents)
    lines = chosen.texts.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip()][: chosen.documents]


def main() -> None:
    """Time both in alternation over the same documents, print a table."""
    parser = arguments(__doc__)
    parser.add_argument("--texts", type=Path, help="one document a line; by default made of world facts")
    parser.add_argument("--documents", type=int, default=200, help="at most")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--budget", type=int, default=4096, help="positions per forward pass, for both")
    parser.add_argument("--layers", type=int, nargs="+", help="measured; by default config.yaml's")
    parser.add_argument("--rounds", type=int, default=4)
    chosen = parser.parse_args()
    model = load(chosen)
    layers = chosen.layers or read_settings()["layers"]
    texts = read_texts(chosen, model)
    tokenised = {text: encode(model.tokenizer, text)[: chosen.max_tokens] for text in texts}

    def bare(part: list[str]) -> None:
        bare_pass(model, [tokenised[text] for text in part], max(layers), chosen.budget)

    def ours(part: list[str]) -> int:
        return collect_moments(model, part, layers, Reading(chosen.max_tokens, chosen.budget))[1]

    bare(texts[:2])  # warm-up
    ours(texts[:2])
    tokens, bare_seconds, our_seconds = 0, [], []
    for part in chunks(texts, chosen.rounds):
        _, spent = timed(model.device, lambda part=part: bare(part))
        bare_seconds.append(spent)
        count, spent = timed(model.device, lambda part=part: ours(part))
        our_seconds.append(spent)
        tokens += count
        print(
            f"{count} tokens: bare {count / bare_seconds[-1]:.0f} per s, ours {count / spent:.0f}",
            file=sys.stderr,
        )
    rates = [tokens / sum(bare_seconds), tokens / sum(our_seconds)]
    print(f"Second moments of layers {layers} over {len(texts)} documents, {tokens} tokens.\n")
    columns = ["way", "s", "tokens per s", "share of the bare rate (rounds)"]
    rows = [["bare forward pass", f"{sum(bare_seconds):.1f}", f"{rates[0]:.0f}", ""]]
    share = ratio(bare_seconds, our_seconds)
    rows.append(["ours", f"{sum(our_seconds):.1f}", f"{rates[1]:.0f}", share])
    print_table(columns, rows)
    print_machine(model.device, "float32")


if __name__ == "__main__":
    main()
