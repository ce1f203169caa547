"""Values as Markdown that the Hub renders: texts of unknown origin stay texts."""

import re


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A table whose numbers stand right; empty without rows."""
    if not rows:
        return ""
    right = [all(isinstance(row[column], int | float) or re.fullmatch(r"-?[\d.,]* ?%?", str(row[column])) for row in rows) for column in range(len(head))]
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(" ---: " if number else " --- " for number in right) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows])


def cell(value: object) -> str:
    """A value as a cell: counts with commas, other numbers with four digits, words escaped."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return escaped(str(value))


def escaped(text: str) -> str:
    """Words that could be markup as they stand; a URL is not made a link."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", line)


def code(text: str) -> str:
    """A line of code with any text in it: its fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or not text.strip() else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """`0.950 (0.912 to 0.971)`"""
    if value is None:
        return "not measured"
    return f"{value:.3f}" + ("" if low is None or high is None else f" ({low:.3f} to {high:.3f})")
