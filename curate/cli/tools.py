"""Commands that make or compare something on their own: schema, convert, agree, fit-quality, fit-language."""

import json
from pathlib import Path
from typing import Annotated

import typer

from curate.cli.options import Json, app, say
from curate.errors import StoppedError, UsageError


@app.command()
def schema(
    out: Annotated[Path, typer.Option(help="Directory for the schemas.")] = Path("schemas"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 when a file differs.")] = False,
) -> None:
    """Write JSON Schemas of recipes, rows, ledger and receipt."""
    from curate.schema import texts, write

    if check:
        stale = [name for name, text in texts().items() if not (out / name).is_file() or (out / name).read_text() != text]
        if stale:
            raise StoppedError(f"{out}: not as the models have it: {', '.join(stale)}; run `curate schema`")
    else:
        write(out)
    print(out)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="A file of rows: JSON, JSON Lines, CSV, Parquet or Arrow, also compressed.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="What to write: .jsonl, .json or .csv (also .gz, .zst), or .parquet.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="A format's name, or its block: `{use: messages, chosen: true}`.")],
    dialect: Annotated[str, typer.Option("--from", metavar="DIALECT", help="The dialect that is read, a name or a block; by default guessed.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT where it is there.")] = False,
    encoding: Annotated[str | None, typer.Option("--encoding", metavar="NAME", help="Of a text file that is not UTF-8, such as cp1252.")] = None,
    as_json: Json = False,
) -> None:
    """Write a file of rows in another format. A receipt and the dropped rows go beside it."""
    from curate.convert import convert as door
    from curate.funnel import warnings

    receipt = door(source, out, to, dialect, force, encoding)
    if as_json:
        print(receipt.model_dump_json(by_alias=True))
        return
    read = receipt.report["format"]
    say(f"read as {read.get('evidence', read['use'])}")
    for warning in warnings(receipt):
        say(f"warning: {warning}")
    for reason, count in receipt.counts.dropped.items():
        print(f"{count:,} dropped: {reason}")
    print(f"{receipt.counts.read:,} rows read, {receipt.counts.kept:,} kept, {receipt.counts.written:,} written")
    print(out)


@app.command()
def agree(
    a: Annotated[Path, typer.Argument(metavar="A", help="An artifact, a Parquet or a JSONL file of labelled pairs or verdicts.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one; the truth, where one is needed.")],
    as_json: Json = False,
) -> None:
    """Print how far two sets of labels agree. With intervals, which are also written beside A's receipt."""
    from curate.agree import agree as compare
    from curate.agree import write

    found = compare(a, b)
    written = write(found, a)
    print(json.dumps(found.as_json()) if as_json else found.as_text())
    if written and not as_json:
        print(written)


@app.command()
def fit_quality(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the model goes.")],
    good: Annotated[str | None, typer.Argument(metavar="[GOOD]", help="Documents to keep: an artifact, Parquet or JSONL.")] = None,
    bad: Annotated[str | None, typer.Argument(metavar="[BAD]", help="Documents to drop: likewise.")] = None,
    labels: Annotated[str | None, typer.Option(metavar="ARTIFACT", help="In place of both: documents that a judge has rated.")] = None,
    least: Annotated[float, typer.Option(help="With --labels: the rating from which a document is good.")] = 3,
    aspect: Annotated[str | None, typer.Option(help="With --labels: which rating, where there are several.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the held-out domains and starts the training.")] = 0,
    dimensions: Annotated[int, typer.Option(min=2, help="Of the word vectors.")] = 16,
    word_ngrams: Annotated[int, typer.Option(min=1, max=5, help="Longest word n-gram that is a feature.")] = 2,
    as_json: Json = False,
) -> None:
    """Train a quality classifier. Prints its precision and recall on domains that it has not seen."""
    from curate.fit.quality import Ratings
    from curate.fit.quality import fit_quality as fit

    if (labels is None) == (good is None) or (good is None) != (bad is None):
        raise UsageError("fit-quality: give GOOD and BAD, or --labels ARTIFACT")
    given = Ratings(labels, least, aspect) if labels else good
    report = fit(given, bad, out, seed=seed, dimensions=dimensions, word_ngrams=word_ngrams)
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
    """Compute a language's stop words and limits. They come from a sample, each limit with its interval."""
    from curate.fit.language import fit_language as fit

    fitted = fit(sample, language=language, force=force, seed=seed, english=english)
    fitted.write(out)
    print(json.dumps(fitted.as_json()) if as_json else f"{fitted.as_text()}\n{out}")
