"""JSON Schemas of everything a user writes or reads: made from the models, never by hand."""

import json
from pathlib import Path

import pyarrow as pa

from curate.artifact import Receipt
from curate.ledger import DESCRIPTIONS, LEDGER
from curate.recipe import Recipe
from curate.rows import SHAPES

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PARAMETER = {"type": "string", "pattern": r"\$\{[a-z][a-z0-9_]*\}", "description": "A parameter of the recipe."}
_JSON_TYPES = {pa.string(): "string", pa.int64(): "integer", pa.float64(): "number"}


def schemas() -> dict[str, dict]:
    """Every schema by its file name."""
    made = {"recipe.schema.json": with_parameters(Recipe.model_json_schema())}
    made |= {f"{name}.schema.json": shape.model_json_schema() for name, shape in SHAPES.items()}
    made["ledger.schema.json"] = ledger_schema()
    made["receipt.schema.json"] = Receipt.model_json_schema(by_alias=True)
    return {name: {"$schema": _DIALECT, **schema} for name, schema in made.items()}


def with_parameters(schema: dict) -> dict:
    """The recipe's schema, with `${name}` allowed wherever a value may stand."""
    for model in schema["$defs"].values():
        for part in (model, *model.get("anyOf", ())):  # a model with a short form is one of several
            _allow_parameters(part.get("properties", {}))
    return schema


def _allow_parameters(properties: dict) -> None:
    for name, field in properties.items():
        if "const" not in field:
            kept = {key: field.pop(key) for key in ("description", "default", "title") if key in field}
            properties[name] = {**kept, "anyOf": [field, _PARAMETER]}


def ledger_schema() -> dict:
    """The ledger's fixed columns; measured values follow as `<step>.<value>`."""
    columns = {
        field.name: {"type": [_JSON_TYPES[field.type], "null"], "description": DESCRIPTIONS[field.name]} for field in LEDGER
    }
    value = {"type": ["number", "null"], "description": "A measured value, float32; null: not measured."}
    return {
        "title": "Ledger",
        "description": "One row for every unit of input, kept or dropped.",
        "type": "object",
        "properties": columns,
        "patternProperties": {r"^[a-z][a-z0-9_]*\.[A-Za-z0-9_.]+$": value},
        "required": LEDGER.names,
        "additionalProperties": False,
    }


def texts() -> dict[str, str]:
    """Every schema as the text of its file."""
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas().items()}


def write(directory: Path) -> list[Path]:
    """Write every schema into a directory; the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    made = texts()
    for name, text in made.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [directory / name for name in made]
