"""Commands over a finished artifact: report, whatif."""

import json
from pathlib import Path
from typing import Annotated

import typer

from curate.cli.options import Json, app

ArtifactPath = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="A finished artifact's directory.")]


@app.command()
def report(
    artifact: ArtifactPath,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file; by default report.html in the artifact.")] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML file: kept, dropped and why. It needs no network."""
    from curate.artifact import Artifact
    from curate.mirror import local_run
    from curate.report import report as door

    path = door(Artifact(local_run(artifact)), out)
    print(json.dumps({"path": str(path)}) if as_json else path)


@app.command()
def whatif(
    artifact: ArtifactPath,
    settings: Annotated[list[str], typer.Argument(metavar="STEP.SETTING=VALUE", help="What to move, such as gopher_quality.min_words=40.")],
    as_json: Json = False,
) -> None:
    """Print the funnel as other settings would make it. It is reckoned from the ledger; nothing runs."""
    from curate.artifact import Artifact
    from curate.mirror import local_run
    from curate.whatif import whatif as door

    told = door(Artifact(local_run(artifact)), settings)
    print(json.dumps(told.as_json()) if as_json else told.as_text())
