"""What a plan's stages that call models would cost: planned stages in, calls, tokens and money out; nobody is asked.

What is not made yet is thought ahead: a source is read in part and scaled, an answer has the most tokens that it may have,
a stage that only leaves rows out is taken to leave out none, and a split of a mix has as many rows as it may have.
"""

from collections.abc import Iterator
from functools import partial
from math import ceil

from curate.artifact import Artifact
from curate.config import StoppedError
from curate.judges.asking import JOURNAL, paid
from curate.judges.budget import Estimate, Spent, passed
from curate.judges.endpoint import Endpoint
from curate.planning import Held, Need, Planned, budgets, payers
from curate.recipe import ASKING
from curate.stages.asked import refuse_shape, rows
from curate.stages.calls_ahead import Ahead, estimated, rows_ahead
from curate.stages.given import Given
from curate.stages.mix_ahead import split_ahead
from curate.stages.source_ahead import Sample, sample

_MOST_ROWS_KEPT = ("refine", "judge")
"""Kinds of stages of which at most the rows that they read come out."""


def estimates(planned: list[Planned], limit: int | None = None) -> dict[int, Estimate | None]:
    """The most that each stage that is to do would ask, by its place in the plan; None where that cannot be told before.

    Raises UsageError where a stage is to read rows that it cannot work on, or a source is not as its stage says.
    """
    found: dict[int, Estimate | None] = {}
    samples: dict[str, Sample | None] = {}
    for place, stage in enumerate(planned):
        if stage.kind in ASKING and not stage.done:
            given = _ahead(stage.needs[0], planned, limit, samples)
            if given:
                refuse_shape(stage.kind, stage.stage.use, stage.stage.takes, given.shape)
            journal = stage.directory.parent / JOURNAL
            endpoints = stage.loaded.recipe.endpoints
            found[place] = _scaled(estimated(stage.stage, given.shape, given.rows, endpoints, journal), given) if given else None
    return found


def _scaled(estimate: Estimate, given: Ahead) -> Estimate:
    calls, cached, tokens_in, tokens_out = (ceil(count * given.times) for count in estimate[:4])
    return Estimate(calls, cached, tokens_in, tokens_out, estimate.cost * given.times, given.basis)


def _ahead(need: Need, planned: list[Planned], limit: int | None, samples: dict[str, Sample | None]) -> Ahead | None:
    """What a stage will read: as it is where it is done, as it would be at most where it is not."""
    maker = next((stage for stage in planned if stage.directory == need.directory), None)
    if maker is None or maker.done:
        given = Given(need.name, Artifact(need.directory), need.split)
        return Ahead(given.shape, partial(rows, given, limit))
    if maker.files:
        return _source(maker, limit, samples)
    if maker.kind == "mix":
        return split_ahead(maker.stage, need.split, {one.name: _ahead(one, planned, limit, samples) for one in maker.needs})
    if maker.kind not in ("generate", *_MOST_ROWS_KEPT):
        return None
    before = _ahead(maker.needs[0], planned, limit, samples)
    if before is None or maker.kind != "generate":
        return before
    return before._replace(shape=maker.stage.makes, rows=rows_ahead(maker.stage, before.shape, before.rows))


def _source(maker: Planned, limit: int | None, samples: dict[str, Sample | None]) -> Ahead | None:
    if maker.fingerprint not in samples:
        try:
            samples[maker.fingerprint] = sample(maker.stage, maker.files, limit)
        except StoppedError:  # an input that cannot be had now is no reason to show no plan
            samples[maker.fingerprint] = None
    found = samples[maker.fingerprint]
    return found and Ahead(found.shape, partial(iter, found.rows), found.times, found.basis)


def told(estimate: Estimate | None) -> str:
    """For people; a cost only where prices are known."""
    if estimate is None:
        return "cannot be estimated before its input is made: run the stages before it"
    cost = f", {estimate.cost:,.2f} at the stated prices" if estimate.cost else ""
    words, basis = ("about", f"; {estimate.basis}") if estimate.basis else ("at most", "")
    tokens = f"{estimate.tokens_in:,} tokens in, {estimate.tokens_out:,} out"
    return f"{words} {estimate.calls:,} calls ({estimate.cached:,} known), {tokens}{cost}{basis}"


def summary(planned: list[Planned], asked: dict[int, Estimate | None]) -> list[str]:
    """For each recipe with stages that ask: the sum over them and what has no price; then the limits of budgets that may be passed."""
    lines, held = [], budgets(planned)
    for home in dict.fromkeys(planned[place].directory.parent for place in asked):
        stages = [stage for stage in planned if stage.directory.parent == home and stage.kind in ASKING]
        total, unknown = _sum([asked[place] for place in asked if planned[place] in stages])
        without = f"; without {unknown} stages that cannot be estimated yet" if unknown else ""
        lines.append(f"{stages[0].loaded.recipe.name} as a whole: {told(total)}{without}")
        lines += [f"   {line}" for line in _unpriced(stages, any(one.budget.max_cost is not None for one in held if stages[0] in one.stages))]
    for one in held:
        lines += [f"   {line}" for line in _over(one, _sum([asked[place] for place in asked if planned[place] in one.stages])[0])]
    return lines


def _sum(parts: list[Estimate | None]) -> tuple[Estimate, int]:
    """The sum of what is known, and how many are not."""
    known = [part for part in parts if part]
    sums = (sum(counts) for counts in zip(*(part[:5] for part in known), strict=True)) if known else (0, 0, 0, 0, 0.0)
    return Estimate(*sums, next((part.basis for part in known if part.basis), "")), len(parts) - len(known)


def _unpriced(stages: list[Planned], limited: bool) -> Iterator[str]:
    """Models that are asked at a price nobody stated; `limited`: though money is limited."""
    asked = dict.fromkeys((model.endpoint, model.model) for stage in stages for model in stage.stage.asked)
    endpoints = stages[0].loaded.recipe.endpoints
    missing = [f"{model} ({name})" for name, model in asked if model not in endpoints.get(name, Endpoint()).prices]
    if missing:
        so = "under budget.max_cost the run is refused" if limited else "no cost of theirs is counted"
        yield f"no price is stated of {', '.join(missing)}: {so}; give `prices:` under `endpoints:`"


def _over(held: Held, total: Estimate) -> Iterator[str]:
    """The limits that what is paid and what is to come may pass together."""
    spent = paid(payers(held.stages))
    used = f"{spent.calls:,} calls, {spent.tokens_in + spent.tokens_out:,} tokens, cost {spent.cost:,.2f}"
    spent.add(Spent(total.calls, total.tokens_in, total.tokens_out, total.cost))
    for limit in passed(held.budget, spent):
        most = getattr(held.budget, limit)
        yield f"over budget.{limit} {most:,} of {held.recipe}, with {used} used before: the run may stop there, and goes on once it is raised"
