"""What a pair rule is: a Candidates row comes in, Preference rows go out, or the reason why there are none."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import orjson
import xxhash
from pydantic import Field

from curate.config import Model
from curate.formats import Refused
from curate.formats.laws import broken_law
from curate.formats.turns import turn
from curate.pairs.scores import Answer, scored
from curate.rows import content_id

Row = dict[str, object]


class Pair(NamedTuple):
    """A better answer over a worse one; `margin` in units of the rating, or in places of a ranking."""

    chosen: Row
    rejected: Row
    margin: float | None


class PairRule(Model):
    """Which answers are set against each other; equal scores are ties, and a tie is never a pair."""

    version: ClassVar[int] = 1

    by: str | None = Field(
        None, min_length=1, description="`rank`, `mean` of the ratings, or a rating's name; by default ranks where a row has them, else the mean."
    )
    min_margin: float = Field(0, ge=0, description="Scores (or ranks) closer than this make no pair.")
    most: int | None = Field(None, ge=1, description="Pairs of one prompt at most; a seeded hash picks them.")
    seed: int = Field(1, ge=0, description="Of the choice among a prompt's pairs and among tied answers.")

    @property
    def name(self) -> str:
        return self.use  # type: ignore[attr-defined]

    def reads(self) -> list[Path]:
        """Files whose content enters the identity: a rule has none."""
        return []

    def pairs(self, answers: list[Answer]) -> Iterator[Pair]:
        """Pairs of a row's scored answers, the best first; scores that are equal never meet."""
        raise NotImplementedError

    def weight(self, answers: int, pairs: int) -> float:
        """What one of a prompt's `pairs` counts, made of so many scored `answers`: together at most 1."""
        return 1 / pairs

    def found(self, row: Row) -> tuple[list[Pair], int]:
        """The row's pairs, and of how many answers they were made. Raises Refused where it gives none."""
        answers = scored(row["candidates"], self.by, self.seed)
        if len(answers) < 2:
            raise Refused("no_pair")
        if answers[0].score == answers[-1].score:
            raise Refused("tie")
        wide = [pair for pair in self.pairs(answers) if pair.margin is None or pair.margin >= self.min_margin]
        if not wide:
            raise Refused("under_margin")
        return wide, len(answers)

    def rows(self, row: Row) -> list[Row]:
        """Preference rows of one Candidates row, all of one group. Raises Refused: no_pair, tie, under_margin or a law."""
        pairs, answers = self.found(row)
        rated, known = self._rated(row), orjson.loads(row["metadata"] or b"{}")
        lawful: list[tuple[Row, Pair]] = []
        law = None
        for pair in self.preferred(pairs):
            fields = _fields(row, pair, pair.margin if rated else None)
            broken = broken_law("preference", fields)
            law = law or broken
            if broken is None:
                lawful.append((fields, pair))
            if len(lawful) == self.most:
                break
        if not lawful:
            raise Refused(law)
        weight = self.weight(answers, len(lawful))
        return [_whole(row, fields, pair, weight, known) for fields, pair in lawful]

    def preferred(self, pairs: list[Pair]) -> list[Pair]:
        """The pairs in the order in which `most` takes them: by lot."""
        if self.most is None or len(pairs) <= self.most:
            return pairs
        return sorted(pairs, key=lambda pair: _lot(pair, self.seed))

    def _rated(self, row: Row) -> bool:
        """Places of a ranking are no distances, so they are no margin that a trainer may read."""
        return self.by != "rank" and not (self.by is None and any(one["rank"] is not None for one in row["candidates"]))


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

    Places are the candidates' `positions` in the metadata, from 1; answers that were judged one by one, or in
    both orders, have none.
    """
    answers, places = row["candidates"], known.get("positions")
    shown = isinstance(places, list) and len(places) == len(answers)
    found: Row = {}
    for side, number in (("chosen", chosen), ("rejected", rejected)):
        found[f"{side}_model"] = answers[number]["model"]
        found[f"{side}_position"] = places[number] if shown else None
    return {name: value for name, value in found.items() if value is not None}
