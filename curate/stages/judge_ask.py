"""Rows in, verdicts out: every row's questions asked, the pairs that are least sure asked again, replies in the order of the rows."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain
from math import ceil

import numpy as np

from curate.judges.asking import Ask
from curate.judges.order import in_order
from curate.judges.statistics import hard_votes
from curate.judges.statistics.active import ActiveChoice
from curate.judges.statistics.estimates import Estimate
from curate.judges.statistics.soft_labels import gap, log_odds
from curate.stages.asked import Row
from curate.stages.judge import Factuality, JudgeModel, Pairwise, Ranking, Rated
from curate.stages.judge_again import Again, tally
from curate.stages.judge_questions import Question, pair_question, pairs, questions
from curate.stages.judge_units import Judged

Asked = Pairwise | Rated | Ranking | Factuality
_UNKNOWN_JUDGE = hard_votes.VoteModel(Estimate(0.0, 0.0, 0.0, 0), 1.65)
"""No lean, and the spread that the fit starts from: one pair's votes tell neither."""


async def verdicts(stage: Asked, units: Callable[[], Iterator[Judged]], ask: Ask, window: int) -> AsyncIterator[list[Row]]:
    """Verdicts of one row after the other; where pairs are asked again, of one round after the other."""
    again = tally(stage) if isinstance(stage, Pairwise) else None

    async def first(unit: Judged) -> list[Row]:
        if isinstance(stage, Pairwise) and stage.active:
            return await _active(stage, unit, ask)
        return await _answers(questions(stage, unit), ask)

    async for found in in_order(units(), first, window):
        if again:
            again.note(found)
        yield found
    while again and (wanted := again.wanted()):
        async for found in _round(stage, units, wanted, ask, window):
            again.note(found)
            yield found


async def _round(
    stage: Pairwise, units: Callable[[], Iterator[Judged]], wanted: dict[str, list[Again]], ask: Ask, window: int
) -> AsyncIterator[list[Row]]:
    judges = {judge.name: judge for judge in stage.judges}

    async def once_more(unit: Judged) -> list[Row]:
        known = {answer.id: answer for answer in unit.answers}
        asked = [
            pair_question(stage, unit, judges[one.judge], (known[one.a], known[one.b]), order, one.draw)
            for one in wanted[unit.id]
            for order in (0, 1)
        ]
        return await _answers(asked, ask)

    async for found in in_order((unit for unit in units() if unit.id in wanted), once_more, window):
        yield found


async def _answers(asked: list[Question], ask: Ask) -> list[Row]:
    """The verdicts of questions that do not wait for each other, in their order."""
    replies = await asyncio.gather(*(ask(question.call) for question in asked))
    return list(chain.from_iterable(question.verdicts(reply) for question, reply in zip(asked, replies, strict=True)))


async def _active(stage: Pairwise, unit: Judged, ask: Ask) -> list[Row]:
    found = await asyncio.gather(*(_active_judge(stage, unit, judge, ask) for judge in stage.judges))
    return list(chain.from_iterable(found))


async def _active_judge(stage: Pairwise, unit: Judged, judge: JudgeModel, ask: Ask) -> list[Row]:
    """One judge's verdicts on the pairs that matter most, one after the other; a chain through all answers is the least."""
    count = len(unit.answers)
    most = max(count - 1, ceil(stage.active * len(pairs(unit)) - 1e-9))
    choice = ActiveChoice(count, stage.seed)
    found: list[Row] = []
    for _ in range(most):
        place = next(iter(choice.next(1)), None)
        if place is None:
            break
        i, j = sorted(place)
        pair = (unit.answers[i], unit.answers[j])
        said = await _answers([pair_question(stage, unit, judge, pair, order) for order in (0, 1)], ask)
        found += said
        if (logit := _log_odds(said)) is not None:
            choice.observe((i, j), logit)
    return found


def _log_odds(said: list[Row]) -> float | None:
    """That the pair's first answer is better, by the verdicts of both orders; None where none can be read."""
    zero, one = (verdict["logit"] for verdict in said)
    if zero is not None and one is not None:
        return float(gap(zero, one))
    won = [{"first": 1.0, "tie": 0.5, "second": 0.0}.get(verdict["label"]) for verdict in said]
    if won == [None, None]:
        return None
    votes = hard_votes.Votes(*(np.array([part]) for value in won for part in (value or 0.0, float(value is not None))))
    return float(log_odds(_UNKNOWN_JUDGE.probability(votes))[0])
