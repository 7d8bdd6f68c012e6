from __future__ import annotations

import pytest

from orderfleet.domain import transitions
from orderfleet.domain.status import Step

ENDS = {Step.DELIVERED, Step.CANCELED, Step.FAILED}


def test_every_step_has_its_row() -> None:
    assert set(transitions.ORDER_TRANSITIONS) == set(Step)


def test_ends_lead_nowhere_and_every_other_step_reaches_one() -> None:
    for step in Step:
        reached, frontier = set(), {step}
        while frontier:
            reached |= frontier
            frontier = set().union(*(transitions.ORDER_TRANSITIONS[s] for s in frontier)) - reached
        assert reached & ENDS, step
        assert (transitions.ORDER_TRANSITIONS[step] == frozenset()) == (step in ENDS)


@pytest.mark.parametrize("step", list(Step))
def test_only_the_table_is_walked(step: Step) -> None:
    for following in Step:
        if following in transitions.ORDER_TRANSITIONS[step]:
            assert transitions.advance(step, following) is following
        else:
            with pytest.raises(ValueError, match="never goes"):
                transitions.advance(step, following)


def test_what_is_on_its_way_can_not_be_changed() -> None:
    late = {step for step in Step if transitions.rejects_change(step)}
    assert late == ENDS | {Step.SHIPPED}
