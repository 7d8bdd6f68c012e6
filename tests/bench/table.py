"""Prints a run, or a comparison of two runs, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import BASELINE, FIGURES, PRODUCT, Figure, Spread, ratio, spread

console = Console(width=140)


def show(run: dict[str, Any]) -> None:
    """One run: both contenders, their ratio, and the goal."""
    table = Table(title=_title(run), caption="median, minimum to maximum of the rounds; ratios round by round")
    for heading in ("", BASELINE, PRODUCT, "ratio", "goal"):
        table.add_column(heading, justify="left" if not heading else "right")
    for figure in FIGURES:
        ours, among = spread(run, PRODUCT, figure), ratio(run, figure)
        table.add_row(
            f"{figure.label}{f', {figure.unit}' if figure.unit else ''}",
            _range(spread(run, BASELINE, figure)),
            _range(ours),
            _range(among) if among else "none",
            _goal(figure, ours if figure.absolute else among),
        )
    console.print(table)


def show_values(title: str, figures: Iterable[Figure], values: dict[str, Any]) -> None:
    """Values of the product alone, and their goals."""
    table = Table(title=title)
    for heading in ("", "measured", "goal"):
        table.add_column(heading, justify="left" if not heading else "right")
    for figure in figures:
        value = values[figure.name]
        reached = Spread(value, value, value)
        label = f"{figure.label}{f', {figure.unit}' if figure.unit else ''}"
        table.add_row(label, _number(value), _goal(figure, reached))
    console.print(table)


def show_levels(title: str, levels: list[dict[str, float]]) -> None:
    """The same figures for rising numbers of orders, one row each."""
    table = Table(title=title)
    for name in levels[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for level in levels:
        table.add_row(*(_number(value) for value in level.values()))
    console.print(table)


def compare(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Two runs: the product's medians, and the ratios, which a busier machine changes less."""
    table = Table(title=f"A: {_title(before)}\nB: {_title(after)}")
    for heading in ("", "A", "B", "B ÷ A", "ratio A", "ratio B"):
        table.add_column(heading, justify="left" if not heading else "right")
    for figure in FIGURES:
        first, second = (spread(run, PRODUCT, figure).median for run in (before, after))
        ratios = [f"{among.median:.2f}" if (among := ratio(run, figure)) else "none" for run in (before, after)]
        change = f"{second / first:.2f}" if first else "none"
        table.add_row(figure.label, _number(first), _number(second), change, *ratios)
    console.print(table)


def _title(run: dict[str, Any]) -> str:
    return f"{run['at']}, {run['commit']}, {len(run['rounds'])} rounds on {run['cores']} cores"


def _range(spread: Spread) -> str:
    return f"{_number(spread.median)}  ({_number(spread.minimum)} to {_number(spread.maximum)})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _goal(figure: Figure, reached: Spread | None) -> str:
    if figure.goal is None or reached is None:
        return ""
    sign, met = ("≥" if figure.more_is_better else "≤"), figure.met(reached.median)
    return f"[{'green' if met else 'red'}]{sign} {figure.goal:g}[/] (better {sign} {figure.stretch:g})"
