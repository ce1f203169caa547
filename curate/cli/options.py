"""What every command shares: the application, its options, and how a person is told something."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="From raw web archives to training sets for language models, with an account of every document.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe's YAML file.", show_default=False)]
Sets = Annotated[list[str], typer.Option("--set", metavar="NAME=VALUE", help="Set a parameter of the recipe; may be given often.")]
Root = Annotated[Path, typer.Option(help="Where runs are kept.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N units of each source file, under an identity of its own.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Update = Annotated[bool, typer.Option("--update", help="Resolve remote inputs again instead of reading lock.json.")]


def params(sets: list[str]) -> dict[str, object]:
    from curate.recipe import parse_set

    return dict(parse_set(text) for text in sets)


def say(text: str) -> None:
    print(text, file=sys.stderr)
