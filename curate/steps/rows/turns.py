"""A row's turns counted: kept where their numbers, their end and their tools are as wanted."""

from collections import Counter
from typing import ClassVar, Literal

from pydantic import Field

from curate.steps.rows.ranges import Range
from curate.steps.rows.unit import RowStep, RowUnit
from curate.steps.step import Drop


def turns_of(unit: RowUnit) -> list[dict]:
    """All turns that a trainer reads in one go; of several answers one, since each has its turn alone."""
    if unit.shape == "conversation":
        return unit.row["messages"]
    answer = {"preference": "chosen", "feedback": "completion"}.get(unit.shape)
    said = unit.row[answer] if answer else [{"role": "assistant", "content": "", "tool_calls": None}]
    return [*unit.row["prompt"], *said]


class Turns(RowStep):
    """Drop rows with too few or too many turns, with another end than the wanted one, or with (or without) tools."""

    use: Literal["turns"]
    shapes: ClassVar[tuple[str, ...]] = ("conversation", "candidates", "preference", "feedback")

    user: Range | None = Field(None, description="How many turns a user has.")
    assistant: Range | None = Field(None, description="How many turns the assistant has, the answer among them.")
    ends_with: Literal["user", "assistant", "tool"] | None = Field(
        None, description="Role of the last turn that comes before the answers, or of a conversation's last; none: any."
    )
    tools: Literal["allowed", "refused", "required"] = Field(
        "allowed", description="Rows that define or call tools, or hold what one answered: kept, dropped, or the only ones kept."
    )

    def apply(self, unit: RowUnit) -> Drop | None:
        turns = turns_of(unit)
        count = Counter(turn["role"] for turn in turns)
        calls = sum(1 for turn in turns if turn["tool_calls"])
        last = turns[-1 if unit.shape == "conversation" else -2]["role"] if len(turns) > 1 else turns[0]["role"]
        tools = calls + count["tool"] + bool(unit.row.get("tools"))
        measured = {"user": count["user"], "assistant": count["assistant"], "tool": count["tool"], "calls": calls}
        unit.values.update({f"{self.name}.{key}": float(value) for key, value in measured.items()})
        return self._by_number(count) or self._by_end(last) or self._by_tools(tools)

    def _by_number(self, count: Counter[str]) -> Drop | None:
        for role, wanted in (("user", self.user), ("assistant", self.assistant)):
            if wanted:
                value = float(count[role])
                drop = wanted.below(value, f"too_few_{role}_turns") or wanted.above(value, f"too_many_{role}_turns")
                if drop:
                    return drop
        return None

    def _by_end(self, last: str) -> Drop | None:
        return Drop(f"not_ending_with_{self.ends_with}") if self.ends_with and last != self.ends_with else None

    def _by_tools(self, tools: int) -> Drop | None:
        if self.tools == "refused" and tools:
            return Drop("tool_use", float(tools), 0.0)
        return Drop("no_tool_use") if self.tools == "required" and not tools else None
