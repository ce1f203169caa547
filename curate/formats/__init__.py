"""Dialects of training data: a row of any of them in, our rows or the law that it breaks out.

One file a dialect or a family of them; a new one is a class there and its name in `AnyDialect`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, NamedTuple, TypeVar

from pydantic import Field

from curate.formats.alpaca import Alpaca
from curate.formats.chat_texts import ChatText
from curate.formats.chosen_rejected import ChosenRejected
from curate.formats.compared import Shp, WebGpt
from curate.formats.dialect import Dialect, Row
from curate.formats.exchanges import Exchanges
from curate.formats.functions import Glaive, Xlam
from curate.formats.instructions import Dolly, PromptCompletion
from curate.formats.judged import Prometheus
from curate.formats.kto import Kto
from curate.formats.laws import Fields, broken_law
from curate.formats.messages import Messages, NoRobots, Tulu3
from curate.formats.oasst import OasstMessages, OasstTrees
from curate.formats.rated import HelpSteer2, HelpSteer2Preference, UltraFeedback
from curate.formats.safety import PkuSafeRlhf
from curate.formats.sharegpt import ShareGpt
from curate.formats.texts import Texts
from curate.formats.transcripts import HhRlhf
from curate.formats.turns import Refused
from curate.formats.votes import Arena, Rankings, Summaries, TwoOutputs

AnyDialect = Annotated[
    Alpaca
    | ShareGpt
    | Messages
    | Tulu3
    | NoRobots
    | Exchanges
    | ChatText
    | Glaive
    | Xlam
    | Dolly
    | PromptCompletion
    | OasstTrees
    | OasstMessages
    | HhRlhf
    | ChosenRejected
    | UltraFeedback
    | HelpSteer2
    | HelpSteer2Preference
    | PkuSafeRlhf
    | Arena
    | TwoOutputs
    | Shp
    | WebGpt
    | Summaries
    | Rankings
    | Prometheus
    | Kto
    | Texts,
    Field(discriminator="use"),
]
"""Every dialect, by its name under `use`."""

DIALECTS: tuple[type[Dialect], ...] = (
    Alpaca, ShareGpt, Messages, Tulu3, NoRobots, Exchanges, ChatText, Glaive, Xlam, Dolly, PromptCompletion, OasstTrees, OasstMessages,
    HhRlhf, ChosenRejected, UltraFeedback, HelpSteer2, HelpSteer2Preference, PkuSafeRlhf, Arena, TwoOutputs, Shp, WebGpt,
    Summaries, Rankings, Prometheus, Kto, Texts,
)  # fmt: skip


T = TypeVar("T")
MEDIA = ("image", "images", "video", "videos", "audio", "audios")
"""Columns that hold what a model is to see or hear, without which its turns cannot be understood."""
MOST = 10_000
"""Rows of one key that are held together: a longer run is cut, so that memory is bounded."""


class Read(NamedTuple):
    """What one row, or the rows of one key, gave."""

    rows: list[Fields]
    """Columns of our rows; `metadata` holds what the dialect has no place for."""
    refused: Counter[str]
    """Laws broken, by the number of rows that broke them and were left out."""


def together(items: Iterable[T], key: Callable[[T], str | None]) -> Iterator[list[T]]:
    """Neighbours that share a key, at most MOST at once; those without one stand alone."""
    group: list[T] = []
    held: str | None = None
    for item in items:
        mine = key(item)
        if group and (mine is None or mine != held or len(group) == MOST):
            yield group
            group = []
        held = mine
        if mine is None:  # at once, so that a worker is at the item that it says it is at
            yield [item]
        else:
            group.append(item)
    if group:
        yield group


def read(dialect: Dialect, rows: list[Row]) -> Read:
    """The lawful rows that foreign rows of one key give, never none. Raises Refused with the first broken law."""
    renamed = [dialect.renamed(row) for row in rows]
    if dialect.makes != "document" and any(row.get(name) for row in renamed for name in MEDIA):
        raise Refused("not_text")
    whole = dialect.gathered(renamed) if len(rows) > 1 else renamed[0]
    left = dialect.left(renamed[0])
    good: list[Fields] = []
    refused: Counter[str] = Counter()
    for fields in dialect.to_rows(whole):
        broken = fields.pop("refused", None) or broken_law(dialect.makes, fields)
        if broken:
            refused[broken] += 1
        else:
            good.append({**fields, "metadata": {**left, **fields.get("metadata", {})}})
    if not good:
        raise Refused(next(iter(refused), "no_turns"))
    return Read(good, refused)


__all__ = ["DIALECTS", "AnyDialect", "Dialect", "Fields", "Read", "Refused", "Row", "read", "together"]
