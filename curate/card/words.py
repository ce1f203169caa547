"""What only the user can say of a dataset: the recipe's `card:` block in, the words for the card out.

Words are no part of an artifact's identity, so they lie beside it, in `card.json` of the
recipe's directory, which every `run` writes anew.
"""

from pathlib import Path
from typing import Annotated

import orjson
from pydantic import Field

from curate.artifact import Artifact, write_json
from curate.config import Model

FILE = "card.json"
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]

QUESTIONS = {
    "motivation": "why was this dataset made?",
    "intended_use": "what is it for, and what is it not for?",
    "licence": "under which licence is it passed on?",
    "contact": "where can people ask for their data to be removed?",
}
"""What a card asks for where the recipe does not say it."""


class CardWords(Model):
    """What the card says in the user's own words."""

    pretty_name: str | None = Field(None, min_length=1, description="Title of the dataset; by default made of the recipe's name.")
    motivation: str | None = Field(None, min_length=1, description="Why the dataset was made.")
    intended_use: str | None = Field(None, min_length=1, description="What it is for, and what it is not for.")
    limits: str | None = Field(None, min_length=1, description="Limits that no receipt can know.")
    licence: str | None = Field(None, min_length=1, description="SPDX id or URL under which the dataset is passed on; by default its rows' own.")
    contact: str | None = Field(None, min_length=1, description="Address or URL for requests to be left out.")
    languages: list[Language] = Field([], description="ISO 639 codes of rows whose language no step has identified.")
    citation: str | None = Field(None, min_length=1, description="How the dataset is cited, as BibTeX or a sentence.")
    tags: list[str] = Field([], description="Further tags of the Hub.")

    def missing(self) -> list[str]:
        """A line for each word that the card needs and the recipe does not have."""
        return [f"card.{name} is missing: {question}" for name, question in QUESTIONS.items() if getattr(self, name) is None]


class Told(Model):
    """What a recipe tells of its artifacts without being part of their identity."""

    description: str = Field("", description="What comes out, in a sentence.")
    command: str | None = Field(None, description="The command that makes the artifact again.")
    words: CardWords = Field(CardWords(), description="The recipe's `card:` block.")


def note(home: Path, told: Told) -> None:
    """Write what the recipe tells beside its artifacts."""
    write_json(home / FILE, told.model_dump(mode="json", exclude_defaults=True))


def told_of(artifact: Artifact) -> Told:
    """What its recipe tells; where nothing is written, the command that its receipt gives."""
    path = artifact.path.parent / FILE
    told = Told.model_validate(orjson.loads(path.read_bytes())) if path.is_file() else Told()
    return told if told.command else told.model_copy(update={"command": f"curate run {artifact.receipt.recipe}.yaml"})
