"""The cards of the bundled recipes on the bundled sample: `python data_cards/make.py` writes them, a test holds them to it.

Recipes that ask a model are not among them: their rows would be a test server's.
"""

import sys
import tempfile
from pathlib import Path

import curate
from curate.card.render import card

HERE = Path(__file__).resolve().parent
RECIPES = ("common_corpus_like", "fineweb_like", "fineweb_like_pt", "instructgpt_like", "kto", "preference_mix", "pretrain_mix", "sharegpt_mix")


def text(recipe: str, root: Path) -> str:
    """The card of what the recipe makes below `root`."""
    return card(curate.run(HERE.parent / "pipelines" / f"{recipe}.yaml", root=root)).readme


def main(root: Path) -> None:
    for recipe in RECIPES:
        (HERE / f"{recipe}.md").write_text(text(recipe, root), encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else folder))
