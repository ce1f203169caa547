"""A model and held-out rows in; perplexity of texts or conversations, or accuracy and margin of pairs, with intervals, out.

    python -m training.evaluate perplexity MODEL DATA --split validation
    python -m training.evaluate pairs MODEL DATA --split test [--reference SFT_MODEL]

Pairs are scored by a reward model, or by DPO's implicit reward log p(y|x) - log p_ref(y|x)
(Rafailov et al. 2023, 4), without `--reference` by log p(y|x) alone. Intervals are percentile
bootstraps over rows. lm-evaluation-harness reads the same folder:

    lm_eval --model hf --model_args pretrained=MODEL --tasks truthfulqa_mc2,ifeval --apply_chat_template
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from curate.config import UsageError
from curate.contract import Settings, Tokenizer, load_tokenizer, predict
from curate.contract.files import rows_of
from training.config import Run
from training.data import source_of
from training.models import folder_of, loaded, on_gpu

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_DRAWS = 1_000
_LOW, _HIGH = 0.025, 0.975


class Measure(NamedTuple):
    """A number over rows with its 95 % interval."""

    value: float
    low: float
    high: float
    rows: int


def interval(rows: list[tuple[float, float]], statistic: Callable[[list[tuple[float, float]]], float], seed: int = 0) -> Measure:
    """A statistic of rows with its percentile bootstrap (Efron 1979). Raises UsageError where there are none."""
    if not rows:
        raise UsageError("no row could be measured; look at the data by `curate check`")
    draw = random.Random(seed)
    drawn = sorted(statistic(draw.choices(rows, k=len(rows))) for _ in range(_DRAWS))
    return Measure(statistic(rows), drawn[int(_LOW * _DRAWS)], drawn[int(_HIGH * _DRAWS)], len(rows))


def mean(rows: list[tuple[float, float]]) -> float:
    """The ratio of the sums of (value, weight)."""
    return sum(value for value, _ in rows) / sum(weight for _, weight in rows)


def log_likelihood(model: "PreTrainedModel", ids: list[int], loss: list[bool]) -> float:
    """The sum of log-probabilities of the marked tokens, in nats; the first token has none."""
    import torch

    tensor = torch.tensor([ids], device=model.device)
    with torch.no_grad():
        logps = model(input_ids=tensor).logits[0, :-1].float().log_softmax(-1)
    taken = logps.gather(1, tensor[0, 1:, None])[:, 0]
    return float(taken[torch.tensor(loss[1:], device=model.device)].sum())


def score(model: "PreTrainedModel", ids: list[int]) -> float:
    """A reward model's number for a sequence."""
    import torch

    with torch.no_grad():
        return float(model(input_ids=torch.tensor([ids], device=model.device)).logits[0, 0])


def perplexity(model: "PreTrainedModel", tokenizer: Tokenizer, rows: Iterator[dict], settings: Settings) -> dict[str, Measure]:
    """Perplexity by learnt token, and bits a byte, which compares models of different tokenizers."""
    tokens, size = [], []
    for row in rows:
        prediction = predict("sft", row, tokenizer, settings)
        if prediction.stops or prediction.dropped:
            continue
        one = prediction.sequences[0]
        text = tokenizer.decode([number for number, trained in zip(one.input_ids, one.loss, strict=True) if trained])
        lost = -log_likelihood(model, one.input_ids, one.loss)
        tokens.append((lost, max(sum(one.loss[1:]), 1)))
        size.append((lost / math.log(2), max(len(text.encode()), 1)))
    return {"perplexity": interval(tokens, lambda drawn: math.exp(mean(drawn))), "bits_per_byte": interval(size, mean)}


def pairs(
    model: "PreTrainedModel", reference: "PreTrainedModel | None", tokenizer: Tokenizer, rows: Iterator[dict], settings: Settings
) -> dict[str, Measure]:
    """How often chosen scores above rejected, a draw counting half, and by how much."""
    scores = model.config.architectures[0].endswith("SequenceClassification")
    margins = []
    for row in rows:
        prediction = predict("dpo", row, tokenizer, settings)
        if prediction.stops or prediction.dropped:
            continue
        values = [_reward(model, reference, one.input_ids, one.loss, scores) for one in prediction.sequences]
        margins.append((values[0] - values[1], 1.0))
    right = [((value > 0) + 0.5 * (value == 0), 1.0) for value, _ in margins]
    return {"accuracy": interval(right, mean), "margin": interval(margins, mean)}


def _reward(model: "PreTrainedModel", reference: "PreTrainedModel | None", ids: list[int], loss: list[bool], scores: bool) -> float:
    if scores:
        return score(model, ids)
    return log_likelihood(model, ids, loss) - (log_likelihood(reference, ids, loss) if reference else 0.0)


def evaluate(what: Literal["perplexity", "pairs"], config: Run, reference: str | None = None) -> dict[str, Measure]:
    """Measure a model on a split of an artifact or of files."""
    architecture = json.loads((folder_of(config.model) / "config.json").read_text())["architectures"][0]
    device = "cuda" if on_gpu() else "cpu"
    model = loaded(config, config.model, scores=architecture.endswith("SequenceClassification")).eval().to(device)
    tokenizer, settings = load_tokenizer(config.tokenizer or config.model, config.template), Settings(max_length=config.max_length)
    rows = (row.columns for file in source_of(config).files(config.split) for row in rows_of(file))
    if what == "perplexity":
        return perplexity(model, tokenizer, rows, settings)
    other = loaded(config, reference).eval().to(device) if reference else None
    return pairs(model, other, tokenizer, rows, settings)


def main(words: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description="Measure a model on held-out rows.")
    parser.add_argument("what", choices=["perplexity", "pairs"])
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--split", default="test")
    parser.add_argument("--reference", help="the SFT model, for DPO's implicit reward")
    parser.add_argument("--max-length", type=int, default=1024)
    given = parser.parse_args(words)
    try:
        config = Run(model=given.model, data=given.data, split=given.split, output="none", max_length=given.max_length)
        measured = evaluate(given.what, config, given.reference)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    for name, one in measured.items():
        print(f"{name}: {one.value:.4f} [{one.low:.4f}, {one.high:.4f}] over {one.rows:,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
