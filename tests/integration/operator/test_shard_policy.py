"""The sample admission policy labels new Orders with a shard."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from orderfleet_local.stack import paths
from support.factories import order_manifest
from support.polling import eventually

LABEL = "orderfleet.dev/shard"


@pytest.fixture
def policy(kubernetes) -> Any:
    """The sample, limited to the test's namespace."""
    made = list(yaml.safe_load_all((paths.checkout() / "deploy/samples/admission/shard-by-name.yaml").read_text()))
    own, binding = f"shard-by-name-{kubernetes.namespace}", made[1]["spec"]
    for each in made:
        each["metadata"]["name"] = own
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": kubernetes.namespace}}
    binding.update(policyName=own, matchResources={"namespaceSelector": namespace})
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    kubernetes.kubectl("apply", "-f", "-", input=text)
    yield
    kubernetes.kubectl("delete", "-f", "-", input=text)


async def test_new_order_without_shard_gets_last_character_of_its_name(policy, operator_env):
    def labels(order: dict[str, Any]) -> dict[str, str]:
        # A dry run creates nothing.
        answer = operator_env.cluster.kubectl(
            "create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(order)
        )
        return dict(json.loads(answer)["metadata"].get("labels", {}))

    # The API server applies a policy some time after its creation.
    await eventually(lambda: labels(order_manifest("ord-17")), lambda found: found == {LABEL: "7"}, interval=0.1)
    with_others, with_one, unnamed = order_manifest("ord-x"), order_manifest("ord-8"), order_manifest("")
    with_others["metadata"]["labels"] = {"region": "eu"}
    with_one["metadata"]["labels"] = {LABEL: "mine"}
    unnamed["metadata"] = {"generateName": "ord-"}
    assert labels(with_others) == {"region": "eu", LABEL: "x"}
    assert labels(with_one) == {LABEL: "mine"}
    assert set(labels(unnamed)) <= {LABEL}
