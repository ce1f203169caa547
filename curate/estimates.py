"""What a plan's stages that call models would cost: planned stages in, calls, tokens and money out; nobody is asked."""

from functools import partial

from curate.artifact import Artifact
from curate.judges.asking import JOURNAL
from curate.judges.budget import Estimate
from curate.planning import Need, Planned
from curate.recipe import ASKING
from curate.stages.asked import rows
from curate.stages.calls_ahead import Rows, estimated, rows_ahead
from curate.stages.given import Given


def estimates(planned: list[Planned], limit: int | None = None) -> dict[int, Estimate | None]:
    """The most that each stage that is to do would ask, by its place in the plan; None where its input is not made yet."""
    found: dict[int, Estimate | None] = {}
    for place, stage in enumerate(planned):
        if stage.kind in ASKING and not stage.done:
            given = _ahead(stage.needs[0], planned, limit)
            journal = stage.directory.parent / JOURNAL
            found[place] = estimated(stage.stage, *given, stage.loaded.recipe.endpoints, journal) if given else None
    return found


def _ahead(need: Need, planned: list[Planned], limit: int | None) -> tuple[str, Rows] | None:
    """Shape and rows of an input: as it is where it is done, as it would be at most where models write it."""
    maker = next((stage for stage in planned if stage.directory == need.directory), None)
    if maker is None or maker.done:
        given = Given(need.name, Artifact(need.directory), need.split)
        return given.shape, partial(rows, given, limit)
    if maker.kind != "generate":
        return None
    before = _ahead(maker.needs[0], planned, limit)
    if before is None:
        return None
    made = rows_ahead(maker.stage, *before)
    return ("document" if maker.stage.use == "write" else "candidates"), made


def told(estimate: Estimate | None) -> str:
    """For people; a cost only where prices are known."""
    if estimate is None:
        return "cannot be estimated before its input is made: run the stages before it"
    cost = f", {estimate.cost:,.2f} at the stated prices" if estimate.cost else ""
    return f"at most {estimate.calls:,} calls ({estimate.cached:,} known), {estimate.tokens_in:,} tokens in, {estimate.tokens_out:,} out{cost}"
