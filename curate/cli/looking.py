"""Commands that take documents away, and that show rows in a browser: remove, view, label."""

import json
from pathlib import Path
from typing import Annotated

import typer

from curate.cli.options import Json, Root, app, say
from curate.errors import UsageError

Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port on this machine; by default a free one.")]


@app.command()
def remove(
    ids: Annotated[Path | None, typer.Option(help="A file of ids, one a line, as ledgers and rows have them.")] = None,
    urls: Annotated[Path | None, typer.Option(help="A file of URLs, each one page.")] = None,
    domains: Annotated[Path | None, typer.Option(help="A file of domains, each with all below it.")] = None,
    root: Root = Path("runs"),
    models: Annotated[list[Path], typer.Option(help="A folder of trained models to look through, beside the root; may be given often.")] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Take documents, and all made of them, out of every artifact. For good; later runs pass them over."""
    from curate.remove import as_text
    from curate.remove import remove as door

    given = {name: path for name, path in (("ids", ids), ("urls", urls), ("domains", domains)) if path}
    if len(given) != 1:
        raise UsageError("remove: give one list, by --ids, --urls or --domains")
    kind, listed = next(iter(given.items()))
    done = door(listed, kind, root, models)
    print(json.dumps(done._asdict(), default=str) if as_json else as_text(done))


@app.command()
def view(
    target: Annotated[Path, typer.Argument(metavar="ARTIFACT | RUN", help="An artifact, or a recipe's directory below the root.")],
    port: Port = None,
) -> None:
    """Browse rows, kept and dropped, in a local web page. Ctrl-C ends it."""
    from curate.mirror import local_run
    from curate.view.session import view as door

    session = door(local_run(target), port or 0)
    print(session.url, flush=True)
    session.serve()


@app.command()
def label(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="An artifact of preference or candidates rows.")],
    seed: Annotated[int, typer.Option(help="Draws the order of pairs and sides; that of the first time holds.")] = 0,
    port: Port = None,
    export: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the labels given so far as JSON lines, and end.")] = None,
) -> None:
    """Choose the better of two answers, blind, in a web page. It is local, and saves every choice at once; Ctrl-C ends it."""
    from curate.view.session import export as write
    from curate.view.session import label as door

    if export:
        say(f"{write(artifact, export):,} labels")
        print(export)
        return
    session = door(artifact, seed, port)
    say(f"write the labels to a file by: curate label {artifact} --export labels.jsonl")
    print(session.url, flush=True)
    session.serve()
