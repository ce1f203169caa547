"""Pair rules: a prompt with K judged answers comes in, pairs of a better and a worse answer go out.

A new rule is one class in `rules.py` and its name in `AnyPairRule`.
"""

from typing import Annotated

from pydantic import Field

from curate.pairs.rule import PAIR_REASONS, PairRule
from curate.pairs.rules import Adjacent, AllPairs, BestWorst, Margin, RevisionOverOriginal

AnyPairRule = Annotated[BestWorst | AllPairs | Adjacent | Margin | RevisionOverOriginal, Field(discriminator="use")]
"""Every pair rule, by its name under `use`."""

__all__ = ["PAIR_REASONS", "Adjacent", "AllPairs", "AnyPairRule", "BestWorst", "Margin", "PairRule", "RevisionOverOriginal"]
