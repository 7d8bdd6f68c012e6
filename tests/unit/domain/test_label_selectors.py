"""Label selectors match as in Kubernetes."""

from __future__ import annotations

import pytest

from orderfleet.domain.label_selectors import LabelSelector
from orderfleet.settings import Settings

NOTHING: dict[str, str] = {}
A, B = {"shard": "a"}, {"shard": "b"}


@pytest.mark.parametrize(
    ("text", "selected", "others"),
    [
        ("", [NOTHING, A, B], []),
        ("shard", [A, B], [NOTHING]),
        ("!shard", [NOTHING], [A, B]),
        ("shard=a", [A], [B, NOTHING]),
        ("shard==a", [A], [B, NOTHING]),
        ("shard!=a", [B, NOTHING], [A]),
        ("shard in (a,b)", [A, B], [NOTHING]),
        ("shard notin (a)", [B, NOTHING], [A]),
        ("shard=", [{"shard": ""}], [A, NOTHING]),
        ("shard in (,a)", [{"shard": ""}, A], [B, NOTHING]),
        ("shard notin (a), region = eu", [{"region": "eu"}, {**B, "region": "eu"}], [B, {**A, "region": "eu"}]),
        ("orderfleet.dev/shard=a", [{"orderfleet.dev/shard": "a"}], [A]),
    ],
)
def test_selector_matches_as_in_kubernetes(text, selected, others):
    selector = LabelSelector.read(text)
    assert [selector.matches(labels) for labels in (*selected, *others)] == [True] * len(selected) + [False] * len(
        others
    )
    assert LabelSelector.read(str(selector)) == selector


@pytest.mark.parametrize("text", [" shard  in ( a , b )  ,!x ", "shard in (a,b),!x"])
def test_selector_is_formatted_uniformly(text):
    assert str(LabelSelector.read(text)) == "shard in (a,b),!x"


@pytest.mark.parametrize(
    "text",
    [
        *("shard=a,", ",", "shard in a", "shard in (a", "shard in (a b)", "shard=a b", "shard=-a", "/shard"),
        *("shard>1", "Upper.example/shard", "shard is a", f"shard={'a' * 64}"),
    ],
)
def test_selector_invalid_in_kubernetes_is_rejected(text):
    with pytest.raises(ValueError, match=r"is not a label selector: write KEY, .* KEY notin \(A,B\)"):
        LabelSelector.read(text)


def test_selector_setting_is_stored_as_the_api_server_accepts_it():
    assert Settings(operator_selector=" shard = a ").operator_selector == "shard in (a)"
    assert Settings().operator_selector == ""
