"""The card itself: an artifact in, the text of its README.md and what the recipe has left unsaid out."""

import json
from pathlib import Path
from typing import NamedTuple

import yaml

from curate.artifact import Artifact
from curate.card import sections
from curate.card.croissant import croissant
from curate.card.judging import judging
from curate.card.limits import limits, rebuild
from curate.card.lineage import is_simulated, lineage
from curate.card.metadata import metadata, pretty_name
from curate.card.redact import refuse_secrets
from curate.card.sections import Page
from curate.card.words import told_of

README, CROISSANT = "README.md", "croissant.json"


class Card(NamedTuple):
    """What explains an artifact."""

    readme: str
    croissant: str
    missing: list[str]
    """A line for each word that only the user can give and has not given."""


def card(artifact: Artifact, repository: str | None = None) -> Card:
    """README.md and croissant.json of a finished artifact; with a `repository` they say how to load it from the Hub.

    Raises UsageError where a file of the artifact is missing, or a text holds a secret of this environment.
    """
    found = lineage(artifact)
    page = Page(artifact, found, told_of(artifact), is_simulated(found))
    front = yaml.safe_dump(metadata(artifact, page.told.words, page.simulated), sort_keys=False, allow_unicode=True, width=1_000)
    parts = [f"---\n{front}---\n\n# {pretty_name(artifact, page.told.words)}", *_sections(page, repository)]
    readme = "\n\n".join(part for part in parts if part) + "\n"
    described = json.dumps(croissant(artifact, page.told, repository), indent=2, ensure_ascii=False) + "\n"
    refuse_secrets({README: readme, CROISSANT: described})
    return Card(readme, described, page.told.words.missing())


def _sections(page: Page, repository: str | None) -> list[str]:
    titled = {
        "Summary": sections.summary(page),
        "Load it": _loading(repository),
        "Why and what for": sections.words(page),
        "Sources": sections.sources(page),
        "Licences": sections.licence_table(page),
        "What was kept and what was dropped": sections.funnels(page),
        "Languages": sections.languages(page),
        "Domains": sections.domains(page),
        "Duplicates": sections.duplicates(page),
        "Personal data": sections.personal_data(page),
        "Decontamination": sections.decontamination(page),
        "Mixture": sections.mixture(page),
        "Judges and generated text": judging(page.found),
        "Known limits": limits(page),
        "Citation": page.told.words.citation,
        "How it was made": rebuild(page),
    }
    return [f"## {title}\n\n{text}" for title, text in titled.items() if text]


def _loading(repository: str | None) -> str:
    return f'```python\nimport datasets\n\nrows = datasets.load_dataset("{repository}")\n```' if repository else ""


def write_card(artifact: Artifact, folder: Path | None = None, repository: str | None = None) -> tuple[Path, list[str]]:
    """Write README.md and croissant.json, by default beside the receipt; the first one's path, and what is left unsaid."""
    folder = folder or artifact.path
    folder.mkdir(parents=True, exist_ok=True)
    made = card(artifact, repository)
    for name, text in ((README, made.readme), (CROISSANT, made.croissant)):
        temporary = folder / f".{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.rename(folder / name)
    return folder / README, made.missing
