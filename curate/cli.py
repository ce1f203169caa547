"""The command line: parses, calls the same functions as Python code does, and prints.

A command's result, or the path it made, is stdout's last line; progress and warnings go to
stderr. Exit codes: 0 done, 1 stopped and resumable, 2 the user's mistake.
"""

import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from curate.errors import StoppedError, UsageError

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


def _params(sets: list[str]) -> dict[str, object]:
    from curate.recipe import parse_set

    return dict(parse_set(text) for text in sets)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


@app.command()
def run(
    recipe: RecipePath,
    sets: Sets = [],  # noqa: B006
    root: Root = Path("runs"),
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; by default one a core.")] = None,
    limit: Limit = None,
    update: Update = False,
    trust_code: Annotated[bool, typer.Option("--trust-code", help="Let the recipe call Python functions that it names.")] = False,
    as_json: Json = False,
) -> None:
    """Run what is not done yet; print the funnel and the final artifact's directory."""
    from curate.runner import run as door
    from curate.funnel import table, warnings
    from curate.progress import ProgressLine

    params = _params(sets)
    progress = ProgressLine()
    try:
        artifact = door(recipe, root=root, workers=workers, limit=limit, update=update, trust_code=trust_code, on_progress=progress, **params)
    except KeyboardInterrupt:
        raise StoppedError("interrupted; what is finished is kept") from None
    finally:
        progress.close()
    for warning in warnings(artifact.receipt):
        _say(f"warning: {warning}")
    if as_json:
        print(artifact.receipt.model_dump_json(by_alias=True))
        return
    print(table(artifact.receipt))
    print(getattr(artifact, "url", artifact.path))


@app.command()
def plan(
    recipe: RecipePath,
    sets: Sets = [],  # noqa: B006
    root: Root = Path("runs"),
    limit: Limit = None,
    update: Update = False,
    as_json: Json = False,
) -> None:
    """Show what would run, and what is done already."""
    from curate.funnel import size
    from curate.recipe import load
    from curate.mirror import Mirror, url_of
    from curate.planning import plan as make_plan

    url = url_of(root)
    mirror = Mirror(url) if url else None
    loaded = load(recipe, _params(sets))
    planned = make_plan(loaded, mirror.root, limit, update, mirror.fetch_lock) if mirror else make_plan(loaded, root, limit, update)
    done = {stage.directory for stage in planned if (mirror.done(stage.directory) if mirror else stage.done)}
    if as_json:
        keys = ("number", "kind", "fingerprint", "directory")
        told = [{**{key: _plain(getattr(stage, key)) for key in keys}, "done": stage.directory in done} for stage in planned]
        print(json.dumps(told))
        return
    for stage in planned:
        total = size(sum(file.size or 0 for file in stage.files))
        reads = ", ".join(need.directory.name for need in stage.needs) or f"{len(stage.files):,} files, {total}"
        print(f"{stage.loaded.recipe.name} {stage.number:02d} {stage.kind}: {reads}: {'done' if stage.directory in done else 'to do'}")
        print(f"   {' -> '.join(step.name for step in stage.stage.steps)}")
    print(planned[-1].directory)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


@app.command()
def check(recipe: RecipePath, sets: Sets = []) -> None:  # noqa: B006
    """Validate a recipe without running it; every mistake is shown with its line."""
    from curate.recipe import load

    loaded = load(recipe, _params(sets))
    print(f"{recipe}: {len(loaded.recipe.stages)} stages, no mistakes")


@app.command()
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="An artifact, or a recipe's directory below the root.")],
    as_json: Json = False,
) -> None:
    """Print the funnel and the state of a run, also of one that is still at work."""
    from curate.mirror import local_run
    from curate.show import as_text, states

    found = states(local_run(run))
    print(json.dumps(found) if as_json else "\n".join(as_text(state) for state in found))


@app.command()
def why(
    id_or_url: Annotated[str, typer.Argument(metavar="ID-OR-URL", help="A document's id, the start of one, or its URL.")],
    run: Annotated[Path | None, typer.Option(help="One artifact; by default every recipe's latest run.")] = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Tell a document's whole story, kept or dropped."""
    from curate.artifact import Artifact
    from curate.mirror import local_root, local_run
    from curate.why import as_text, latest_artifacts, stories

    artifacts = [Artifact(local_run(run))] if run else latest_artifacts(local_root(root))
    if not artifacts:
        raise UsageError(f"{root}: no finished run; make one with `curate run`")
    found = [story for artifact in artifacts for story in stories(artifact, id_or_url)]
    if not found:
        names = ", ".join(str(artifact.path) for artifact in artifacts)
        raise UsageError(f"{id_or_url}: no such id or URL in {names}; give an id or URL of the ledger")
    print(json.dumps(found) if as_json else "\n".join(as_text(story) for story in found))


@app.command()
def schema(
    out: Annotated[Path, typer.Option(help="Directory for the schemas.")] = Path("schemas"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 when a file differs.")] = False,
) -> None:
    """Write the JSON Schemas of recipes, rows, ledger and receipt."""
    from curate.schema import texts, write

    if check:
        stale = [name for name, text in texts().items() if not (out / name).is_file() or (out / name).read_text() != text]
        if stale:
            raise StoppedError(f"{out}: not as the models have it: {', '.join(stale)}; run `curate schema`")
    else:
        write(out)
    print(out)


@app.command()
def fit_quality(
    good: Annotated[str, typer.Argument(metavar="GOOD", help="Documents to keep: an artifact, Parquet or JSONL.")],
    bad: Annotated[str, typer.Argument(metavar="BAD", help="Documents to drop: likewise.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the model goes.")],
    seed: Annotated[int, typer.Option(help="Draws the held-out domains and starts the training.")] = 0,
    dimensions: Annotated[int, typer.Option(min=2, help="Of the word vectors.")] = 16,
    word_ngrams: Annotated[int, typer.Option(min=1, max=5, help="Longest word n-gram that is a feature.")] = 2,
    as_json: Json = False,
) -> None:
    """Train a quality classifier; print its precision and recall on domains it has not seen."""
    from curate.fit.quality import fit_quality as fit

    report = fit(good, bad, out, seed=seed, dimensions=dimensions, word_ngrams=word_ngrams)
    print(json.dumps(report.as_json()) if as_json else f"{report.as_text()}\n{report.model}")


@app.command()
def fit_language(
    sample: Annotated[str, typer.Argument(metavar="SAMPLE", help="Documents of one language: an artifact, Parquet or JSONL.")],
    language: Annotated[str, typer.Option(help="ISO 639-1 code of the language.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the limits go; a recipe names the file under `language_files`.")],
    english: Annotated[str | None, typer.Option(help="English documents of the same sort, to compare with.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Take fewer than 200 documents.")] = False,
    seed: Annotated[int, typer.Option(help="Draws the samples that the intervals come from.")] = 0,
    as_json: Json = False,
) -> None:
    """Compute a language's stop words and limits from a sample, each with its interval."""
    from curate.fit.language import fit_language as fit

    fitted = fit(sample, language=language, force=force, seed=seed, english=english)
    fitted.write(out)
    print(json.dumps(fitted.as_json()) if as_json else f"{fitted.as_text()}\n{out}")


@app.command()
def clean(
    root: Root = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list.")] = False,
) -> None:
    """List, then delete, artifacts that no recipe's latest run needs."""
    from curate.mirror import Mirror, url_of
    from curate.show import unneeded

    url = url_of(root)
    mirror = Mirror(url) if url else None
    found = mirror.unneeded() if mirror else unneeded(root)
    for path in found:
        print(path)
    if found and not dry_run and (yes or typer.confirm(f"delete these {len(found)} directories?", err=True)):
        for path in found:
            mirror.delete(path) if mirror else shutil.rmtree(path)
        _say(f"{len(found)} deleted")
    print(f"{len(found)} unneeded")


def main() -> None:
    """The entry point: turns the two sorts of expected errors into one line and an exit code."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        app()
    except UsageError as error:
        _say(f"error: {error}" if "\n" not in str(error) else str(error))
        sys.exit(2)
    except StoppedError as error:
        _say(f"stopped: {error}\nrun the same command again to go on")
        sys.exit(1)
    except OSError as error:
        _say(f"stopped: {error}\nput that right and run the same command again to go on")
        sys.exit(1)


if __name__ == "__main__":
    main()
