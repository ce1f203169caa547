"""Commands over recipes and runs: run, plan, check, show, why, clean."""

import json
import os
import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer

from curate.cli.options import Json, Limit, RecipePath, Root, Sets, Update, app, params, say
from curate.errors import StoppedError, UsageError


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
    """Run what a recipe has not done yet. Prints the funnel, and the final artifact's directory in the last line."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads would forbid to fork workers
    from curate.worker import leave_out_pandas

    leave_out_pandas()
    from curate.runner import run as door
    from curate.funnel import summary, table, warnings
    from curate.progress import ProgressLine

    given = params(sets)
    progress = ProgressLine()
    try:
        artifact = door(recipe, root=root, workers=workers, limit=limit, update=update, trust_code=trust_code, on_progress=progress, **given)
    except KeyboardInterrupt:
        raise StoppedError("interrupted; what is finished is kept") from None
    finally:
        progress.close()
    ancestors = artifact.ancestors()
    for one in (*ancestors, artifact):
        for warning in warnings(one.receipt):
            say(f"warning: {warning}")
    if as_json:
        print(artifact.receipt.model_dump_json(by_alias=True))
        return
    for ancestor in ancestors:
        print(f"{ancestor.receipt.recipe}/{ancestor.path.name}: {summary(ancestor.receipt)}")
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
    """Show what would run, and what it would cost. What models are asked for is told for the whole recipe; nobody is asked."""
    from curate.funnel import size
    from curate.recipe import load
    from curate.estimates import estimates, summary, told
    from curate.mirror import Mirror, url_of
    from curate.planning import plan as make_plan

    url = url_of(root)
    mirror = Mirror(url) if url else None
    loaded = load(recipe, params(sets))
    planned = make_plan(loaded, mirror.root, limit, update, mirror.fetch_lock) if mirror else make_plan(loaded, root, limit, update)
    asked = estimates(planned, limit)
    done = {stage.directory for stage in planned if (mirror.done(stage.directory) if mirror else stage.done)}
    if as_json:
        keys = ("number", "kind", "fingerprint", "directory")
        shown = [{**{key: _plain(getattr(stage, key)) for key in keys}, "done": stage.directory in done} for stage in planned]
        for place, estimate in asked.items():
            shown[place]["estimate"] = estimate and estimate._asdict()
        print(json.dumps(shown))
        return
    for place, stage in enumerate(planned):
        total = size(sum(file.size or 0 for file in stage.files))
        reads = ", ".join(need.directory.name for need in stage.needs) or f"{len(stage.files):,} file{'s' * (len(stage.files) != 1)}, {total}"
        print(f"{stage.loaded.recipe.name} {stage.number:02d} {stage.kind}: {reads}: {'done' if stage.directory in done else 'to do'}")
        print(f"   {' -> '.join(step.name for step in stage.stage.steps)}")
        if place in asked:
            print(f"   {told(asked[place])}")
    for line in summary(planned, asked):
        print(line)
    print(planned[-1].directory)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


@app.command()
def check(
    target: Annotated[str, typer.Argument(metavar="RECIPE | ARTIFACT | FILE", help="A recipe; with --for, an artifact, or a file of rows as `convert` takes it.", show_default=False)],
    sets: Sets = [],  # noqa: B006
    trainer: Annotated[Literal["sft", "dpo", "kto", "reward"] | None, typer.Option("--for", help="The trainer that will read the rows.")] = None,
    tokenizer: Annotated[str | None, typer.Option(metavar="PATH_OR_ID", help="Folder with tokenizer.json, or a Hub id in the local cache.")] = None,
    template: Annotated[str | None, typer.Option(help="Chat template in place of the tokenizer's: chatml, llama2, llama3, llama3_1, gemma, mistral, alpaca, vicuna, or a file.")] = None,
    max_length: Annotated[int, typer.Option(min=0, help="Longest sequence in tokens; 0: whole.")] = 1024,
    assistant_only: Annotated[bool | None, typer.Option("--assistant-only-loss/--every-token", help="SFT's loss; by default the assistant's turns of `messages`.")] = None,
    packing: Annotated[Literal["bfd", "bfd_split", "wrapped"] | None, typer.Option(help="SFT's packing strategy.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of a KTO batch on one device.")] = 8,
    split: Annotated[str | None, typer.Option(help="One split of an artifact; by default all.")] = None,
    show: Annotated[int, typer.Option(min=0, help="Rows to print with their trained tokens in brackets.")] = 3,
    as_json: Json = False,
) -> None:
    """Validate a recipe, or what a trainer makes of an artifact. With --for: its tokens, its loss mask, and traps."""
    if trainer is None:
        _check_recipe(Path(target), sets)
        return
    from curate.contract import Settings, load_tokenizer
    from curate.contract import check as door
    from curate.steps.sources.checked import checked_files

    if tokenizer is None:
        raise UsageError(f"{target}: --for {trainer} needs --tokenizer: a folder with tokenizer.json, or a Hub id in the local cache")
    settings = Settings(max_length=max_length or None, assistant_only_loss=assistant_only, packing=packing, batch_size=batch_size)
    report = door(checked_files(target, split), trainer, load_tokenizer(tokenizer, template), settings, show)
    print(json.dumps(report.as_dict()) if as_json else "\n".join(report.lines()))
    raise typer.Exit(2 if report.refused else 0)


def _check_recipe(recipe: Path, sets: list[str]) -> None:
    from curate.recipe import load

    if recipe.is_dir():
        artifact = (recipe / "receipt.json").exists()
        what = "an artifact; say which trainer will read it: --for sft, dpo, kto or reward" if artifact else "a folder; name a recipe's YAML file in it"
        raise UsageError(f"{recipe}: {what}")
    loaded = load(recipe, params(sets))
    count = len(loaded.recipe.stages)
    print(f"{recipe}: {count} stage{'s' * (count != 1)}, no mistakes")


@app.command()
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="An artifact, or a recipe's directory below the root.")],
    as_json: Json = False,
) -> None:
    """Print a run's funnel and state. Also of one that is still at work."""
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
def clean(
    root: Root = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list.")] = False,
) -> None:
    """List, then delete, artifacts that no latest run needs."""
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
        say(f"{len(found)} deleted")
    print(f"{len(found)} unneeded")
