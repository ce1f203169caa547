"""What a pair rule is: a Candidates row comes in, Preference rows go out, or the reason why there are none."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple, Self

import orjson
import xxhash
from pydantic import Field, model_validator

from curate.config import Model
from curate.formats import Refused
from curate.formats.laws import broken_law
from curate.formats.turns import turn
from curate.pairs.scores import Answer, scored
from curate.rows import content_id

Row = dict[str, object]
PAIR_REASONS = frozenset({"tie", "no_pair", "under_margin", "no_such_rating"})
"""What a pair rule refuses for; any other refusal is a law's."""


class Pair(NamedTuple):
    """A better answer over a worse one; `margin` in units of the rating, or in places of a ranking."""

    chosen: Row
    rejected: Row
    margin: float | None


class Lawful(NamedTuple):
    """Pairs with their columns `prompt`, `chosen`, `rejected`, `probability` and `margin`, made of so many scored answers."""

    pairs: list[tuple[Row, Pair]]
    answers: int


Weight = Annotated[float, Field(allow_inf_nan=False)]


class PairRule(Model):
    """Which answers are set against each other."""

    version: ClassVar[int] = 2

    most: int | None = Field(None, ge=1, description="Pairs of one prompt at most; a seeded hash picks them.")
    seed: int = Field(1, ge=0, description="Of the choice among a prompt's pairs and among tied answers.")

    @property
    def name(self) -> str:
        return self.use  # type: ignore[attr-defined]

    def reads(self) -> list[Path]:
        """Files whose content enters the identity: a rule has none."""
        return []

    def weight(self, answers: int, pairs: int) -> float:
        """What one of a prompt's `pairs` counts, made of so many scored `answers`: together at most 1."""
        return 1 / pairs

    def found(self, row: Row) -> tuple[list[Pair], int]:
        """The row's pairs, and of how many answers they were made. Raises Refused where it gives none."""
        raise NotImplementedError

    def margin(self, row: Row, pair: Pair) -> float | None:
        """What a trainer may read as the distance of the two answers."""
        return pair.margin

    def rows(self, row: Row) -> list[Row]:
        """Preference rows of one Candidates row, all of one group. Raises Refused: one of PAIR_REASONS, or a law."""
        made = self.lawful(row)
        weight, known = self.weight(made.answers, len(made.pairs)), orjson.loads(row["metadata"] or b"{}")
        return [_whole(row, fields, pair, weight, known) for fields, pair in made.pairs]

    def lawful(self, row: Row) -> Lawful:
        """The row's pairs that keep the laws, `most` of them. Raises Refused as `rows` does."""
        pairs, answers = self.found(row)
        lawful: list[tuple[Row, Pair]] = []
        law = None
        for pair in self.preferred(pairs):
            fields = _fields(row, pair, self.margin(row, pair))
            broken = broken_law("preference", fields)
            law = law or broken
            if broken is None:
                lawful.append((fields, pair))
            if len(lawful) == self.most:
                break
        if not lawful:
            raise Refused(law)
        return Lawful(lawful, answers)

    def preferred(self, pairs: list[Pair]) -> list[Pair]:
        """The pairs in the order in which `most` takes them: by lot."""
        if self.most is None or len(pairs) <= self.most:
            return pairs
        return sorted(pairs, key=lambda pair: _lot(pair, self.seed))


class ScoredRule(PairRule):
    """A rule that goes by ranks or ratings; equal scores are ties, and a tie is never a pair."""

    by: str | None = Field(
        None,
        min_length=1,
        description="`rank`, `mean` of the ratings (verbosity and complexity left out, since more of them is no merit), or a rating's name; "
        "by default ranks where a row has them, else the mean.",
    )
    ratings: dict[str, Weight] | None = Field(
        None,
        min_length=1,
        description="Ratings that count and their weights, in place of `by`: `{helpfulness: 1, correctness: 1}`; the score is their weighted mean. "
        "A negative weight makes less of it better.",
    )
    min_margin: float = Field(0, ge=0, description="Scores (or ranks) closer than this make no pair.")

    @model_validator(mode="after")
    def _one_score(self) -> Self:
        if self.ratings and self.by is not None:
            raise ValueError("by and ratings both say what makes an answer better; keep one")
        if self.ratings and not all(self.ratings.values()):
            raise ValueError("a rating of weight 0 counts nothing; leave it out")
        return self

    def pairs(self, answers: list[Answer]) -> Iterator[Pair]:
        """Pairs of a row's scored answers, the best first; scores that are equal never meet."""
        raise NotImplementedError

    def found(self, row: Row) -> tuple[list[Pair], int]:
        """Pairs of unequal scores; Refused names why there are none."""
        answers = scored(row["candidates"], self._by(row), self.ratings, self.seed)
        if len(answers) < 2:
            raise Refused("no_pair")
        if answers[0].score == answers[-1].score:
            raise Refused("tie")
        wide = [pair for pair in self.pairs(answers) if pair.margin is None or pair.margin >= self.min_margin]
        if not wide:
            raise Refused("under_margin")
        return wide, len(answers)

    def margin(self, row: Row, pair: Pair) -> float | None:
        """Places of a ranking are no distances, so they are no margin."""
        return None if self._by(row) == "rank" else pair.margin

    def _by(self, row: Row) -> str:
        """What the row's answers are scored by."""
        if self.by is not None or self.ratings:
            return self.by or "mean"
        return "rank" if any(one["rank"] is not None for one in row["candidates"]) else "mean"


def _lot(pair: Pair, seed: int) -> int:
    return xxhash.xxh3_64_intdigest(f"{seed}:{pair.chosen['id']}:{pair.rejected['id']}".encode())


def _fields(row: Row, pair: Pair, margin: float | None) -> Row:
    sides = {name: [turn("assistant", one["text"])] for name, one in (("chosen", pair.chosen), ("rejected", pair.rejected))}
    return {"prompt": row["prompt"], **sides, "probability": _probability(pair), "margin": margin}


def _probability(pair: Pair) -> float | None:
    """How likely the better answer is better, where a judge has told it: `worth` is in log-odds; null where it says the opposite."""
    chosen, rejected = (next((one["value"] for one in side["ratings"] if one["aspect"] == "worth"), None) for side in (pair.chosen, pair.rejected))
    if chosen is None or rejected is None or chosen <= rejected:
        return None
    return 1 / (1 + math.exp(rejected - chosen))


def _whole(row: Row, fields: Row, pair: Pair, weight: float, known: Row) -> Row:
    """The pair as a row of its own; its id is the row's and the places of the two answers, so that a ledger finds it."""
    texts = [fields["prompt"], fields["chosen"], fields["rejected"]]
    chosen, rejected = (row["candidates"].index(side) for side in (pair.chosen, pair.rejected))
    sides = _sides(row, known, chosen, rejected)
    return {
        **fields,
        "weight": weight,
        "id": f"{row['id']}-{chosen}-{rejected}",
        "content_id": content_id(orjson.dumps(texts).decode()),
        "metadata": orjson.dumps(known | sides, option=orjson.OPT_SORT_KEYS).decode() if sides else row["metadata"],
        **{name: row[name] for name in ("origins", "source", "licence", "group")},
    }


def _sides(row: Row, known: Row, chosen: int, rejected: int) -> Row:
    """Who wrote each side, and the place at which whoever judged saw it: what the step `shortcuts` looks at.

    Places are the candidates' `positions` in the metadata, from 1, or their place in the comparison of both in `shown`,
    which a judge that is asked in one order leaves; answers that were judged one by one, or in both orders, have none.
    """
    answers, found = row["candidates"], {}
    places = _places(known, len(answers), chosen, rejected)
    for side, number in (("chosen", chosen), ("rejected", rejected)):
        found[f"{side}_model"] = answers[number]["model"]
        found[f"{side}_position"] = places.get(number)
    return {name: value for name, value in found.items() if value is not None}


def _places(known: Row, answers: int, chosen: int, rejected: int) -> dict[int, int | None]:
    """Places of two answers, by their numbers, as whoever judged them saw them."""
    positions, shown = known.get("positions"), known.get("shown")
    if isinstance(positions, list) and len(positions) == answers:
        return dict(enumerate(positions))
    lists = shown if isinstance(shown, list) else []
    both = next((one for one in lists if isinstance(one, list) and chosen in one and rejected in one), [])
    return {number: place for place, number in enumerate(both, 1)}
