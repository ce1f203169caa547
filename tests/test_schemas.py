"""The schemas in schemas/ are those of the models, and the bundled recipes and real rows meet them."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from curate.config import Located
from curate import schema
from curate.recipe import load

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "pipelines").glob("*.yaml"))


def test_the_schemas_are_those_of_the_models() -> None:
    stale = [name for name, text in schema.texts().items() if (ROOT / "schemas" / name).read_text(encoding="utf-8") != text]
    assert not stale, "run `curate schema`"


def test_no_schema_is_left_over() -> None:
    assert {path.name for path in (ROOT / "schemas").glob("*.json")} == set(schema.texts())


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_bundled_recipe_loads_and_meets_the_schema_it_points_to(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[0] == "# yaml-language-server: $schema=../schemas/recipe.schema.json"
    jsonschema.validate(yaml.load(text, Located), json.loads((ROOT / "schemas" / "recipe.schema.json").read_text()))
    load(path)


def test_the_recipe_schema_refuses_what_the_models_refuse() -> None:
    recipe = {"stages": [{"web": {"source": "x", "steps": [{"use": "gopher_quality", "min_word": 3}]}}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(recipe, schema.schemas()["recipe.schema.json"])
