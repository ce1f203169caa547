"""Where a judge that is asked in one order saw each answer: a judged row in, the same with the places in its metadata out.

Places are what the step `shortcuts` finds a lean by. Of answers that were judged alone, or in both orders, there are none to
tell; and those that an earlier judge left say nothing of this one's labels.
"""

import orjson

from curate.stages.asked import Row, metadata_of
from curate.stages.judge import Judge, Pairwise, Ranking
from curate.stages.judge_questions import orders, pairs, ranking_orders
from curate.stages.judge_units import Answer, Judged, side_answer

_PLACES = ("positions", "shown", "chosen_position", "rejected_position")
_OTHER = {f"{one}_{what}": f"{other}_{what}" for one, other in (("chosen", "rejected"), ("rejected", "chosen")) for what in ("model", "position")}


def seen(stage: Judge, unit: Judged) -> list[list[Answer]]:
    """The answers of each comparison in the order in which they were shown; none where that is not one order."""
    if not isinstance(stage, Pairwise | Ranking) or stage.orders == "both":
        return []
    if isinstance(stage, Pairwise):
        return [list(pair[::-1] if orders(stage, unit, pair)[0] else pair) for pair in pairs(unit)]
    return [[unit.answers[place] for place in ranking_orders(stage, unit)[order]] for order in orders(stage, unit)]


def with_places(stage: Judge, unit: Judged, row: Row) -> Row:
    """The row with the places of its answers: of a pair each side's, from 1; of more answers, in `shown`, their numbers by comparison."""
    if not isinstance(stage, Pairwise | Ranking):
        return row
    known = metadata_of(row)
    kept = {name: value for name, value in known.items() if name not in _PLACES}
    made = kept | _places(seen(stage, unit), row)
    return row if made == known else {**row, "metadata": orjson.dumps(made, option=orjson.OPT_SORT_KEYS).decode()}


def _places(shown: list[list[Answer]], row: Row) -> Row:
    if not shown:
        return {}
    ids = [[answer.id for answer in answers] for answers in shown]
    if "chosen" in row:
        return {f"{side}_position": ids[0].index(side_answer(row, side).id) + 1 for side in ("chosen", "rejected")}
    numbers = {one["id"]: number for number, one in enumerate(row["candidates"])}
    return {"shown": [[numbers[answer] for answer in answers] for answers in ids]}


def other_sides(metadata: Row) -> Row:
    """What is told of the sides of a pair, once they have changed places."""
    return {_OTHER.get(name, name): value for name, value in metadata.items()}
