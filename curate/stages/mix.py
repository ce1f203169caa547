"""The mix stage: artifacts of rows in; training sets out, each split in a trainer's format, by share, size or epochs.

    sources: {helpful: {share: 0.6}, chat: }
    pairs: {use: best_worst, by: mean}
    splits: {sft: 13_000 as messages, reward: 33_000 prompts as reward, rl: rest as grpo}

Pairs are made of candidates, prompts and their near duplicates stay within one split, and the
order of every split is drawn by a seed from the rows' ids, not from the order of the files.

Replay of pretraining text (5 to 10 % in instruction data keeps what was learned before) is a
source of documents with a `share`. A `messages` file cannot hold a text without roles, and no
trainer reads both from one file; so replay either goes into a format that takes both shapes,
or into a split of its own: `replay: {rows: 1_000, as: text, sources: [web]}`.
"""

import re
from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from curate.config import Model, suggestion
from curate.outputs import AnyOutput, Output
from curate.pairs import AnyPairRule, PairRule
from curate.stages.given import From
from curate.stages.mix_licence import LicenceRule
from curate.stages.mix_near import NearDuplicates
from curate.steps.tokens import TokenCount, TokenizerName

_SIZE = re.compile(
    r"(?:(?P<count>[0-9][0-9_,]*)(?:\s+(?P<unit>rows|prompts))?|(?P<share>[0-9.]+)\s*%|rest)?\s*(?:as\s+(?P<as>\w+))?"
)


def _or_name(schema: dict) -> None:
    """In the JSON Schema a name may stand for the block."""
    schema["anyOf"] = [{"type": "string"}, *schema["anyOf"]]


def _or_short(schema: dict) -> None:
    """In the JSON Schema a split may be `13_000 as messages`, or a number of rows."""
    block = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, {"type": "integer"}, block]


def _or_names(schema: dict) -> None:
    """In the JSON Schema sources may be a list of names, and a block may be left empty."""
    blocks = {"type": "object", "additionalProperties": {"anyOf": [schema.pop("additionalProperties"), {"type": "null"}]}}
    schema["anyOf"] = [{"type": "array", "items": {"type": "string"}}, blocks]
    schema.pop("type")


def named(given: object) -> object:
    """A name stands for the block that says no more."""
    return {"use": given} if isinstance(given, str) else given


class MixSource(From):
    """Rows of an artifact and how much of them; by default each once."""

    share: float | None = Field(None, gt=0, le=1, description="Part of each split, in `unit`; the others divide what is left by size.")
    amount: int | None = Field(None, ge=1, description="What the split without a size takes, in `unit`.")
    epochs: float | None = Field(None, gt=0, description="How often the split without a size takes each row; 2.5: half of them a third time.")
    cap: int | None = Field(None, ge=1, description="Rows that are used at most; a seeded hash picks them.")
    pairs: AnyPairRule | None = Field(
        None, description="How its candidates become pairs: a rule's name, or a block with `use`; by default the mix's.", json_schema_extra=_or_name
    )

    @field_validator("pairs", mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        return named(given)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("share", "amount", "epochs") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} both say how much; keep one")
        return self


class Split(Model):
    """A named part of the mix: no prompt of it, or near duplicate of one, is in another."""

    model_config = ConfigDict(json_schema_extra=_or_short)

    rows: int | None = Field(None, ge=1, description="Written rows, exactly; `13_000 as messages` in short.")
    prompts: int | None = Field(None, ge=1, description="Groups of prompts, exactly, with all their rows; `33_000 prompts as reward` in short.")
    share: float | None = Field(None, gt=0, lt=1, description="Part of all rows, as near as groups allow; `1%` in short.")
    output: AnyOutput | None = Field(
        None, alias="as", description="The format: a name, or a block with `use`; by default the mix's.", json_schema_extra=_or_name
    )
    sources: list[str] | None = Field(None, min_length=1, description="Sources that it takes from; by default all.")
    per_prompt: int | None = Field(None, ge=1, description="Source rows of one prompt (near duplicates counted) at most.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: object) -> object:
        """`13_000 as messages`, `1%`, `rest as kto` or a number stand for the block."""
        if isinstance(given, int) and not isinstance(given, bool):
            return {"rows": given}
        found = _SIZE.fullmatch(given.strip()) if isinstance(given, str) else None
        if isinstance(given, str) and (not found or not given.strip()):
            raise ValueError("say `13_000 as messages`, `1%`, `rest`, or a block with `rows`, `share`, `as`")
        if found is None:
            return given
        count = found["count"] and int(re.sub("[_,]", "", found["count"]))
        share = found["share"] and float(found["share"]) / 100
        block = {found["unit"] or "rows": count, "share": share, "as": found["as"]}
        return {name: value for name, value in block.items() if value is not None}

    @field_validator("output", mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        return named(given)

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if len(self.asked) > 1:
            raise ValueError(f"{' and '.join(self.asked)} both say how large the split is; keep one")
        return self

    @property
    def asked(self) -> dict[str, float]:
        """Its size as the recipe states it; empty for the split that takes the rest."""
        return {name: value for name in ("rows", "prompts", "share") if (value := getattr(self, name)) is not None}

    @property
    def sized(self) -> bool:
        return bool(self.asked)


class Format(NamedTuple):
    """What a split is written as."""

    split: str
    size: Split
    output: Output
    sources: tuple[str, ...]


class Mix(Model):
    """Make training sets of several sources: pairs, weights, splits and formats."""

    version: ClassVar[int] = 1

    sources: dict[str, MixSource] = Field(
        min_length=1, description="Sources by name; a name alone is the earlier stage of that name.", json_schema_extra=_or_names
    )
    splits: dict[str, Split] = Field({"train": Split()}, min_length=1, description="Splits by name; at most one has no size and takes the rest.")
    output: AnyOutput | None = Field(None, alias="as", description="The format of splits that name none.", json_schema_extra=_or_name)
    pairs: AnyPairRule | None = Field(
        None,
        description="How candidates become pairs: a rule's name, or a block with `use`; a source may have its own.",
        json_schema_extra=_or_name,
    )
    unit: Literal["rows", "words", "bytes", "tokens"] = Field("rows", description="What shares, amounts and the total count.")
    total: int | None = Field(None, ge=1, description="Size of the split that has none of its own, in `unit`.")
    temperature: float | None = Field(None, ge=1, description="Shares by size: p ~ n^(1/temperature); 1 is in proportion (Raffel et al. 2020, 3.5.2).")
    max_epochs: float = Field(1, ge=1, description="How often a row may be repeated where a source is too small.")
    tokenizer: TokenizerName | None = Field(
        None, description="A tokenizer.json, its folder or a Hub id; counts tokens where rows do not state them."
    )
    near_duplicates: NearDuplicates | None = Field(
        NearDuplicates(), description="What prompts are near duplicates; null: only equal ones share a group."
    )
    licence: LicenceRule | None = Field(
        None, description="What the mix is to be published under; null: licences are counted, none is refused."
    )
    seed: int = Field(1, ge=0, description="Of the choice of rows and of their order.")
    shard_bytes: int = Field(1 << 30, ge=1, description="Bytes of rows after which a new output shard begins.")

    @field_validator("sources", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        if isinstance(given, list):
            given = {str(name): None for name in given}
        if not isinstance(given, dict):
            return given
        return {name: _placed(str(name), entry) for name, entry in given.items()}

    @field_validator("output", "pairs", mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        return named(given)

    @field_validator("splits")
    @classmethod
    def _split_names(cls, splits: dict[str, Split]) -> dict[str, Split]:
        for name in splits:
            if not re.fullmatch(r"[A-Za-z0-9_]+", name):
                raise ValueError(f"'{name}' cannot name a split; use letters, digits and _")
        if sum(not split.sized for split in splits.values()) > 1:
            raise ValueError("at most one split may be without a size, and takes the rest")
        if sum(split.share or 0 for split in splits.values()) > 1 + 1e-9:
            raise ValueError("the splits' shares sum to more than 100 %")
        return splits

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name, split in self.splits.items():
            if split.output is None and self.output is None:
                raise ValueError(f"split '{name}' has no format; say `as: messages` (or another) there or for the mix")
            for source in split.sources or ():
                if source not in self.sources:
                    raise ValueError(f"split '{name}': no source '{source}'{suggestion(source, list(self.sources))}")
        idle = set(self.sources) - {source for form in self.formats for source in form.sources}
        if idle:
            raise ValueError(f"no split takes from {', '.join(sorted(idle))}; leave them out, or name them under a split's `sources`")
        _refuse_shares(self)
        _refuse_idle(self)
        return self

    @property
    def inputs(self) -> dict[str, From]:
        """Where the rows come from, by the name that the mix gives them."""
        return dict(self.sources)

    @property
    def formats(self) -> list[Format]:
        """Every split with its format and the names of its sources."""
        return [Format(name, split, split.output or self.output, tuple(split.sources or self.sources)) for name, split in self.splits.items()]

    def rule(self, source: str) -> PairRule | None:
        """How the source's candidates become pairs."""
        return self.sources[source].pairs or self.pairs

    @property
    def by_share(self) -> bool:
        """True where every split is to hold its sources in stated parts."""
        return self.temperature is not None or any(source.share is not None for source in self.sources.values())

    @property
    def counter(self) -> TokenCount | None:
        return TokenCount(use="tokens", tokenizer=self.tokenizer) if self.tokenizer else None

    @property
    def steps(self) -> list[PairRule | Output | NearDuplicates | TokenCount | LicenceRule]:
        """What decides over rows and writes them; their versions are part of the identity."""
        outputs = [one.output for one in self.formats]
        rules = [self.pairs, *(source.pairs for source in self.sources.values())]
        return [part for part in (*rules, *outputs, self.near_duplicates, self.counter, self.licence) if part is not None]


def _placed(name: str, entry: object) -> object:
    """A source that says no place is the earlier stage of its name."""
    entry = {} if entry is None else entry
    if isinstance(entry, dict) and not {"stage", "recipe", "artifact"} & set(entry):
        return {"stage": name, **entry}
    return entry


def _refuse_shares(mix: Mix) -> None:
    shares = [source.share for source in mix.sources.values()]
    given = sum(share for share in shares if share is not None)
    if given > 1 + 1e-9:
        raise ValueError(f"the sources' shares sum to {given:g}; make them sum to 1")
    if None not in shares and given < 1 - 1e-9:
        raise ValueError(f"the sources' shares sum to {given:g}; make them sum to 1, or leave one source without a share")
    if None in shares and given > 1 - 1e-9:
        raise ValueError(f"the sources' shares sum to {given:g} and leave nothing for the source without one; lower them")
    if mix.by_share and any(source.amount or source.epochs for source in mix.sources.values()):
        raise ValueError("shares (or a temperature) divide the whole; leave `amount` and `epochs` out beside them")


def _refuse_idle(mix: Mix) -> None:
    """Settings that would change nothing."""
    if mix.total and not mix.by_share:
        raise ValueError("total is divided by `share` or `temperature`; give one of them, or an `amount` a source")
    sized = all(split.sized for split in mix.splits.values())
    if sized and (mix.total or any(source.amount or source.epochs for source in mix.sources.values())):
        raise ValueError("total, amount and epochs fill the split without a size; add one: `train: rest`")
    if mix.tokenizer and mix.unit != "tokens":
        raise ValueError("a tokenizer counts nothing here; set `unit: tokens`")
