"""Turns in, the text that a judge or a critic is shown of them out: nothing that was said or called is left away."""

from collections.abc import Mapping, Sequence

Turn = Mapping[str, str | None]


def turn_text(turn: Turn) -> str:
    """What a turn says, and below it the calls that it makes, as the JSON that they are."""
    calls = f"tool_calls: {turn['tool_calls']}" if turn.get("tool_calls") else ""
    return "\n".join(filter(None, (turn["content"], calls)))


def conversation_text(turns: Sequence[Turn]) -> str:
    """A prompt of one turn as it is; a longer one with who speaks before each turn, of a tool with its name."""
    if len(turns) == 1:
        return turn_text(turns[0])
    return "\n\n".join(f"{' '.join(filter(None, (turn['role'], turn.get('name'))))}: {turn_text(turn)}" for turn in turns)
