"""A real API server takes every object that the charts render."""

from __future__ import annotations

import yaml
from value_sets import DEVELOPMENT, ON_KIND, OPTIONAL_KINDS, PRODUCT


def test_every_object_is_valid(helm, kubernetes):
    objects = {}
    for chart, sets in (("orderfleet", PRODUCT), ("orderfleet-dev", DEVELOPMENT)):
        for values in (*sets.values(), ON_KIND[chart]):
            for each in helm.template(chart, values):
                if each["kind"] in OPTIONAL_KINDS:
                    continue
                # One namespace for all: what is asked is whether the server knows every field.
                if "namespace" in each["metadata"] or each["kind"] in {"Role", "RoleBinding"}:
                    each["metadata"]["namespace"] = kubernetes.namespace
                text = yaml.safe_dump(each)
                objects[text] = each
    said = kubernetes.kubectl(
        *("create", "--dry-run=server", "--validate=strict", "-f", "-"),
        input="---\n".join(text for text, each in objects.items() if each["kind"] != "CustomResourceDefinition"),
    )
    assert said.count("created") == len([o for o in objects.values() if o["kind"] != "CustomResourceDefinition"])
    definitions = "---\n".join(t for t, each in objects.items() if each["kind"] == "CustomResourceDefinition")
    kubernetes.kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-", input=definitions)
