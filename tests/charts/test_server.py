"""A real API server accepts every rendered object, with every set of values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from charts.definitions import files
from charts.value_sets import DEVELOPMENT, ON_KIND, OPTIONAL_KINDS, PRODUCT
from support.polling import eventually_sync

DEFINITION = "CustomResourceDefinition"


def rendered(helm) -> Iterator[dict[str, Any]]:
    for chart, sets in (("orderfleet", PRODUCT), ("orderfleet-dev", DEVELOPMENT)):
        for values in (*sets.values(), ON_KIND[chart]):
            yield from helm.template(chart, values)


def taken(kubernetes, objects: list[dict[str, Any]]) -> None:
    """Apply the objects in a dry run with strict field validation."""
    for each in objects:
        # One namespace for all, because only their fields are checked.
        if "namespace" in each["metadata"] or each["kind"] in {"Role", "RoleBinding"}:
            each["metadata"]["namespace"] = kubernetes.namespace
    texts = sorted({yaml.safe_dump(each) for each in objects})
    assert texts
    command = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    assert kubernetes.kubectl(*command, input="---\n".join(texts)).count("created") == len(texts)


@pytest.mark.slow
def test_every_object_is_valid(helm, kubernetes):
    taken(kubernetes, [each for each in rendered(helm) if each["kind"] not in {*OPTIONAL_KINDS, DEFINITION}])
    (definition,) = {yaml.safe_dump(each) for each in helm.template("orderfleet") if each["kind"] == DEFINITION}
    kubernetes.kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-", input=definition)


def established(kubernetes, name):
    """Wait until a definition is served. `kubectl wait` fails while it has no conditions."""

    def conditions() -> list[dict[str, str]]:
        return json.loads(kubernetes.kubectl("get", name, "-o", "json"))["status"].get("conditions") or []

    eventually_sync(conditions, lambda found: ("Established", "True") in {(c["type"], c["status"]) for c in found})


@pytest.mark.slow
def test_every_object_of_another_products_kind_is_valid(helm, kubernetes):
    for file in files():
        definition = yaml.safe_load(file.read_text())
        # `wait` cannot read an empty status, so wait until the server has written one.
        definition.pop("status", None)
        kubernetes.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(definition))
        established(kubernetes, f"crd/{definition['metadata']['name']}")
    objects = [each for each in rendered(helm) if each["kind"] in OPTIONAL_KINDS]
    assert {each["kind"] for each in objects} == OPTIONAL_KINDS
    taken(kubernetes, objects)
