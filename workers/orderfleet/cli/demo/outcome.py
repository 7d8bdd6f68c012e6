"""How a scenario went, and how that is told: its findings, and one table for several.

`command` prints with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orderfleet.cli.demo.checks import Finding

_FINE = Text("\N{CHECK MARK}", "green")
_WRONG = Text("x", "red")


@dataclass(frozen=True)
class Outcome:
    """One scenario that was played."""

    scenario: str
    order: str
    findings: Sequence[Finding]
    problem: str
    """Why it did not come to its end; empty when it did."""
    seconds: float

    @property
    def fine(self) -> bool:
        """Whether everything was as it should be."""
        return not self.problem and all(finding.fine for finding in self.findings)

    @property
    def complaint(self) -> str:
        """What wasn't, in words; empty when all was."""
        wrong = [finding.text for finding in self.findings if not finding.fine]
        return self.problem or "; ".join(wrong)


def tell(console: Console, outcome: Outcome) -> None:
    """Print what was found."""
    for finding in outcome.findings:
        console.print(Text.assemble("  ", _FINE if finding.fine else _WRONG, " ", finding.text))


def summary(outcomes: Sequence[Outcome]) -> Table:
    """A line a scenario."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "SCENARIO", "ORDER", "SECONDS", ""):
        table.add_column(column, overflow="fold")
    for outcome in outcomes:
        mark = _FINE if outcome.fine else _WRONG
        first_line = outcome.complaint.partition("\n")[0]
        table.add_row(mark, outcome.scenario, outcome.order, f"{outcome.seconds:.1f}", Text(first_line))
    return table
