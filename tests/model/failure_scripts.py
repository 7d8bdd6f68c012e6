"""Scripts the failures of test providers."""

from __future__ import annotations

from support.scripted_providers import Behavior, Gate, Script, fails


async def _succeeds() -> None:
    return


def script_failures(
    script: Script, failures: list[str], unavailable: Exception, rejected: Exception, gate: Gate | None
) -> None:
    """Script the next calls to fail.

    Args:
        script: of a test provider's call.
        failures: of the next calls, in order: `unavailable`, `response lost` or `rejected`.
        unavailable: raised for the first two.
        rejected: raised for the last.
        gate: that the first call waits for, if any.
    """
    kinds: dict[str, tuple[list[Behavior], Exception]] = {
        "unavailable": (script.before, unavailable),
        "response lost": (script.after, unavailable),
        "rejected": (script.before, rejected),
    }
    script.before[:], script.after[:] = [gate] if gate else [], []
    for failure in failures:
        behaviors, error = kinds[failure]
        if behaviors is script.after:
            # The call succeeds, and only its response is lost.
            script.before.append(_succeeds)
        behaviors.append(fails(error))
