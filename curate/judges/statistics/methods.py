"""The ways in which many verdicts become one label a pair, by name: settings need no more of statistics than that."""

from typing import Literal

Method = Literal["logits", "probabilities", "bradley_terry", "dawid_skene", "majority"]
