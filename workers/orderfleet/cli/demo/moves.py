"""What can be done to a demo's order: wait for a step, edit its spec, crash a part under it.

`scenarios` puts them together. Each works through `Play`, and waits on what is to be seen, never
for a length of time.
"""

from __future__ import annotations

from typing import Any

from orderfleet.cli.demo import books
from orderfleet.cli.demo.play import ENDS, Play
from orderfleet.cli.demo.scenario import Move
from orderfleet.contracts.status import Step


def reach(step: Step) -> Move:
    """Wait until the Order's own status says `step`."""
    return lambda play: play.until(lambda status: status.get("step") in {step, *ENDS}, str(step))


def edit(**spec: Any) -> Move:
    """Patch the Order's spec, as anybody would with kubectl."""
    return lambda play: play.kubectl.patch(play.name, spec)


def taken() -> Move:
    """Wait until the order has answered the last edit."""
    return lambda play: play.until_answered()


def charged_at_the_provider() -> Move:
    """Wait until the provider has taken the money, which nobody else needs to know yet."""
    return lambda play: play.wait(
        lambda: books.charged_at_the_provider(play.stage, play.name), "a charge in the provider's books"
    )


def crash(part: str) -> Move:
    """Kill a part as the kernel would; then let the stack start it again."""

    def move(play: Play) -> None:
        play.tuned.kill(part)
        play.tuned.revive()

    return move
