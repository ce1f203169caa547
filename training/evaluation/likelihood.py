"""A model and held-out rows in; what each row costs the model, and perplexity or accuracy with intervals, out.

Pairs are scored by a reward model, or by DPO's implicit reward log p(y|x) - log p_ref(y|x)
(Rafailov et al. 2023, 4), without a reference by log p(y|x) alone.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from curate.config import UsageError
from curate.contract import Kind, Prediction, Settings, predict
from training.evaluation.checkpoint import Opened
from training.evaluation.measures import Measure, exponential, interval, mean, share_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)


class Cost(NamedTuple):
    """What the learnt tokens of one row cost a model."""

    nats: float
    tokens: int
    bytes: int
    """Of the text that the tokens stand for, in UTF-8; a token such as EOS, which is no text, costs nats and has none."""


class Gap(NamedTuple):
    """By how much a model prefers the chosen answer to a prompt."""

    prompt: str
    margin: float


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


def _taken(kind: Kind, of: Opened, rows: Iterable[dict], settings: Settings) -> Iterator[tuple[dict, Prediction]]:
    """The rows that a trainer would take, with their sequences; how many others there are, and why, is logged. Raises UsageError where it takes none."""
    left_out: Counter[str] = Counter()
    taken = 0
    for row in rows:
        prediction = predict(kind, row, of.tokenizer, settings)
        reason = prediction.stops or prediction.dropped
        if reason:
            left_out[reason] += 1
        else:
            taken += 1
            yield row, prediction
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in left_out.most_common())
    if not taken:
        raise UsageError(f"no row can be measured: {reasons or 'there is none'}; see `curate check --for {kind}`")
    if left_out:
        logger.warning("%s of %s rows are left out: %s; see `curate check --for %s`", left_out.total(), taken + left_out.total(), reasons, kind)


def costs(of: Opened, rows: Iterable[dict], settings: Settings) -> list[Cost]:
    """What each row costs that the trainer of SFT would take; one longer than `max_length` is read in windows."""
    found = []
    for _, prediction in _taken("sft", of, rows, settings.model_copy(update={"max_length": None})):
        one = prediction.sequences[0]
        scored = [number for number, trained in zip(one.input_ids[1:], one.loss[1:], strict=True) if trained]
        text = of.tokenizer.backend.decode(scored, skip_special_tokens=True)
        nats = -sum(log_likelihood(of.model, ids, loss) for ids, loss in windows(one.input_ids, one.loss, settings.max_length) if any(loss[1:]))
        found.append(Cost(nats, max(len(scored), 1), max(len(text.encode()), 1)))
    return found


def windows(ids: list[int], loss: list[bool], size: int | None) -> Iterator[tuple[list[int], list[bool]]]:
    """Pieces of at most `size` tokens; each token is scored once, those behind the first piece with half a piece or more before them."""
    size = size or len(ids)
    yield ids[:size], loss[:size]
    seen, step = size - size // 2, size // 2
    for end in range(size, len(ids), step):
        yield ids[end - seen : end + step], [False] * seen + loss[end : end + step]


def perplexity(of: Opened, rows: Iterable[dict], settings: Settings) -> dict[str, Measure]:
    """Perplexity by learnt token, and bits a byte, which compares models of different tokenizers."""
    found = costs(of, rows, settings)
    tokens = [(cost.nats, float(cost.tokens)) for cost in found]
    size = [(cost.nats / math.log(2), float(cost.bytes)) for cost in found]
    return {"perplexity": interval(tokens, lambda drawn: exponential(mean(drawn))), "bits_per_byte": interval(size, mean)}


def margins(of: Opened, reference: Opened | None, rows: Iterable[dict], settings: Settings) -> list[Gap]:
    """By how much chosen scores above rejected, in each pair that the trainer of DPO would take."""
    found = []
    for row, prediction in _taken("dpo", of, rows, settings):
        chosen, rejected = _rewards(of, reference, prediction)
        found.append(Gap(str(row.get("prompt") or row["chosen"]), chosen - rejected))
    return found


def _rewards(of: Opened, reference: Opened | None, prediction: Prediction) -> list[float]:
    if of.scores:
        return [score(of.model, one.input_ids) for one in prediction.sequences]
    made = [log_likelihood(of.model, one.input_ids, one.loss) for one in prediction.sequences]
    if reference is None:
        return made
    return [value - log_likelihood(reference.model, one.input_ids, one.loss) for value, one in zip(made, prediction.sequences, strict=True)]


def right(margin: float) -> float:
    """1 where chosen is ahead, 0.5 at a draw."""
    return (margin > 0) + 0.5 * (margin == 0)


def pairs(of: Opened, reference: Opened | None, rows: Iterable[dict], settings: Settings) -> dict[str, Measure]:
    """How often chosen scores above rejected, a draw counting half, and by how much; pairs of one prompt are drawn together."""
    by_prompt: dict[str, list[float]] = {}
    for gap in margins(of, reference, rows, settings):
        by_prompt.setdefault(gap.prompt, []).append(gap.margin)
    clusters = list(by_prompt.values())
    accuracy = share_of([[right(margin) for margin in cluster] for cluster in clusters])
    margin = interval([(sum(cluster), float(len(cluster))) for cluster in clusters], mean)
    return {"accuracy": accuracy, "margin": margin._replace(rows=accuracy.rows)}


def rewards(scorer: Opened, prompts: Iterable[list[dict]], answers: Iterable[str]) -> list[float]:
    """A reward model's number for each answer to its prompt, rendered as its trainer renders pairs."""
    found = []
    for prompt, answer in zip(prompts, answers, strict=True):
        turn = [{"role": "assistant", "content": answer}]
        prediction = predict("reward", {"prompt": prompt, "chosen": turn, "rejected": turn}, scorer.tokenizer, Settings(max_length=None))
        if prediction.stops:
            raise UsageError(f"{scorer.tokenizer.name}: {prediction.stops}: {prediction.detail}; see `curate check --for reward`")
        found.append(score(scorer.model, prediction.sequences[0].input_ids))
    return found
