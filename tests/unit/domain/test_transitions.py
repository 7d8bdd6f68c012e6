from __future__ import annotations

import pytest

from orderfleet.domain import transitions
from orderfleet.domain.status import Step

ENDS = {Step.DELIVERED, Step.CANCELED, Step.FAILED}


def test_every_step_has_a_row() -> None:
    assert set(transitions.ORDER_TRANSITIONS) == set(Step)


def test_every_step_reaches_an_end() -> None:
    for step in Step:
        reached, frontier = set(), {step}
        while frontier:
            reached |= frontier
            frontier = set().union(*(transitions.ORDER_TRANSITIONS[s] for s in frontier)) - reached
        assert reached & ENDS, step
        assert (transitions.ORDER_TRANSITIONS[step] == frozenset()) == (step in ENDS)


@pytest.mark.parametrize("step", list(Step))
def test_advance_allows_transitions_of_the_table_only(step: Step) -> None:
    for following in Step:
        if following in transitions.ORDER_TRANSITIONS[step]:
            assert transitions.advance(step, following) is following
        else:
            with pytest.raises(ValueError, match="never goes"):
                transitions.advance(step, following)


def test_dispatched_or_ended_order_rejects_changes() -> None:
    late = {step for step in Step if transitions.rejects_change(step)}
    assert late == ENDS | {Step.SHIPPED}
