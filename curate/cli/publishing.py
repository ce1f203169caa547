"""Commands that explain an artifact and pass it on: card, push."""

import json
from pathlib import Path
from typing import Annotated

import typer

from curate.cli.options import Json, app, say

ArtifactPath = Annotated[str, typer.Argument(metavar="ARTIFACT", help="A finished artifact.", show_default=False)]


@app.command()
def card(
    artifact: ArtifactPath,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for README.md and croissant.json; by default the artifact's.")] = None,
    as_json: Json = False,
) -> None:
    """Write an artifact's data card and Croissant metadata. What only you can say is asked for by name."""
    from curate.artifact import Artifact
    from curate.card.render import write_card
    from curate.mirror import local_run

    path, missing = write_card(Artifact(local_run(artifact)), out)
    for line in missing:
        say(line)
    print(json.dumps({"path": str(path), "missing": missing}) if as_json else path)


@app.command()
def push(
    artifact: ArtifactPath,
    to: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A dataset on the Hub, or a URL such as s3://bucket/folder.", show_default=False)],
    private: Annotated[bool, typer.Option("--private", help="Create it as private, and refuse one that is public.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to commit to; made where it is missing. By default main.")] = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="Publish rows though a test's endpoint has answered for them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Publish an artifact on the Hub, in one commit. Its card, Croissant metadata and provenance go with it."""
    from curate.artifact import Artifact
    from curate.funnel import size
    from curate.hub.push import push as door
    from curate.mirror import local_run

    done = door(Artifact(local_run(artifact)), to, private=private, revision=revision, simulated=simulated, dry_run=dry_run)
    for line in done.missing:
        say(line)
    if as_json:
        sent = [{"path": file.path, "bytes": file.bytes} for file in done.files]
        print(json.dumps({"url": done.url, "commit": done.commit, "files": sent, "missing": done.missing}))
        return
    for file in done.files:
        print(f"{file.path}  {size(file.bytes)}")
    print(done.url)
