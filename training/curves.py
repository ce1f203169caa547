"""What a trainer has logged in; `curves.png` out: losses, accuracies, margins and rewards by step, each where there is one.

The picture holds no date and no version, so that the same history is the same file.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = "curves.png"
PANELS = {
    "loss": ("loss",),
    "accuracy": ("rewards/accuracies", "accuracy", "mean_token_accuracy"),
    "margin": ("rewards/margins", "margin"),
    "reward": ("reward",),
    "KL": ("kl",),
}
"""Panels from the top down, each with the names that TRL's trainers log its values by; measured on held-out rows, `eval_` before them."""
History = list[dict[str, float]]


def draw(history: History, folder: Path) -> None:
    """Write `curves.png` into a folder, by a rename; nothing where nothing was logged yet."""
    from matplotlib.figure import Figure

    panels = {title: lines for title, names in PANELS.items() if (lines := _lines(history, names))}
    if not panels:
        return
    figure = Figure(figsize=(7, 0.6 + 2.4 * len(panels)), layout="constrained")
    for axes, (title, lines) in zip(figure.subplots(len(panels), squeeze=False, sharex=True)[:, 0], panels.items(), strict=True):
        _panel(axes, title, lines)
    axes.set_xlabel("optimiser step")
    temporary = folder / f".{CURVES}"
    figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
    os.replace(temporary, folder / CURVES)


def _lines(history: History, names: tuple[str, ...]) -> dict[str, tuple[list[float], list[float]]]:
    """Steps and values of each name that was logged, in training and on held-out rows."""
    wanted = [prefix + name for name in names for prefix in ("", "eval_")]
    found = {name: [(entry["step"], entry[name]) for entry in history if name in entry] for name in wanted}
    return {name: tuple(map(list, zip(*points, strict=True))) for name, points in found.items() if points}


def _panel(axes: "Axes", title: str, lines: dict[str, tuple[list[float], list[float]]]) -> None:
    for name, (steps, values) in lines.items():
        axes.plot(steps, values, label=name, linewidth=1.2, **({"marker": "o", "markersize": 3} if name.startswith("eval_") else {}))
    axes.set_ylabel(title)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")
