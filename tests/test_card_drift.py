"""data_cards/ is what the bundled recipes make today."""

import importlib.util
import re
from pathlib import Path

import pytest
from conftest import ROOT

spec = importlib.util.spec_from_file_location("make_cards", ROOT / "data_cards" / "make.py")
make_cards = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_cards)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cards")


def facts(text: str) -> str:
    """The card without identities, which versions of libraries enter, and without sizes of compressed files."""
    return re.sub(r"\b[0-9a-f]{8,64}\b|\b[\d.,]+ k?B\b", "#", text)


@pytest.mark.parametrize("recipe", make_cards.RECIPES)
def test_the_card_of_a_bundled_recipe_is_up_to_date(recipe: str, root: Path) -> None:
    written = (ROOT / "data_cards" / f"{recipe}.md").read_text(encoding="utf-8")
    assert facts(make_cards.text(recipe, root)) == facts(written), "run `python data_cards/make.py`"


def test_every_card_belongs_to_a_recipe() -> None:
    assert {path.stem for path in (ROOT / "data_cards").glob("*.md")} == set(make_cards.RECIPES)
