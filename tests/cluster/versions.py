"""Versions of the workers side by side on the cluster, by the commands of `deploy/docs/upgrades.md`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from cluster.cluster_tools import Cluster, until_empty
from cluster.installation import upgrade
from cluster.pod_programs import PROMOTE_NONE

DEPLOYMENT = "shop"
_OF_A_VERSION = ("orderfleet-orders-worker", "orderfleet-shipping-worker")
_HISTORIES = (
    'for id in "$@"; do temporal workflow show --workflow-id "$id" -o json --address 127.0.0.1:7233; echo ,; done'
)


def build(image: str) -> str:
    """The build id of an image's workers: its tag."""
    return image.partition(":")[2]


class Versions:
    """The product's workers as versions of one Worker Deployment."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def deploy(self, image: str, *others: str) -> None:
        """Run the workers of an image, and of others beside it; all roles are settled then."""
        given = ("--set", f"versioning.deployment={DEPLOYMENT}", "--set", f"image.tag={build(image)}")
        beside = ("--set-json", f"versioning.others={json.dumps([build(each) for each in others])}")
        roles = [f"{worker}-{build(each)}" for worker in _OF_A_VERSION for each in (image, *others)]
        roles += ["orderfleet-operator", "orderfleet-api"]
        one_each = ("--set", "workerDefaults.replicas=1")
        upgrade(self._cluster, *given, *beside, *one_each, roles=tuple(roles))

    def promote(self, image: str) -> None:
        """Make it the version that orders go with, as soon as its workers poll."""
        self._soon("set-current-version", "--build-id", build(image), "--yes")

    def promote_none(self) -> None:
        """Give the orders to workers without a version; some come with the next upgrade."""
        (pod,) = self._cluster.pods("api")
        self._cluster.kubectl("exec", pod, "--", "python", "-c", PROMOTE_NONE, DEPLOYMENT)

    def ramp(self, image: str, percentage: int) -> None:
        """Give it its share, as soon as its workers poll."""
        self._soon("set-ramping-version", "--build-id", build(image), "--percentage", str(percentage), "--yes")

    def roll_back(self, image: str) -> None:
        """Take the share away."""
        self._soon("set-ramping-version", "--build-id", build(image), "--delete", "--yes")

    def drained(self, image: str) -> None:
        """Wait until no shipment is left on it."""

        def left() -> list[str]:
            described = json.loads(self._deployment("describe-version", "--build-id", build(image), "--output", "json"))
            status = described.get("drainageInfo", {}).get("drainageStatus", "")
            return [] if status == "drained" else [status]

        until_empty(left, 240, "the version isn't drained")

    def builds_of(self, workflow_ids: Sequence[str]) -> dict[str, list[str]]:
        """Which builds have done workflow tasks of each, in order."""
        return {
            workflow_id: [
                task["deploymentVersion"]["buildId"]
                for event in events
                if (task := event.get("workflowTaskCompletedEventAttributes")) and "deploymentVersion" in task
            ]
            for workflow_id, events in self._histories(workflow_ids).items()
        }

    def failing(self, workflow_ids: Sequence[str]) -> list[str]:
        """Those with a workflow task that failed."""
        return [
            workflow_id
            for workflow_id, events in self._histories(workflow_ids).items()
            if any("workflowTaskFailedEventAttributes" in event for event in events)
        ]

    def _histories(self, workflow_ids: Sequence[str]) -> dict[str, list[dict[str, dict[str, dict[str, str]]]]]:
        described = self._in_temporal("sh", "-ec", _HISTORIES, "sh", *workflow_ids).strip().removesuffix(",")
        return dict(zip(workflow_ids, (each["events"] for each in json.loads(f"[{described}]")), strict=True))

    def _soon(self, *arguments: str) -> None:
        end = time.monotonic() + 120
        while True:
            try:
                self._deployment(*arguments)
            except AssertionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
            else:
                return

    def _deployment(self, command: str, *arguments: str) -> str:
        options = ("--deployment-name", DEPLOYMENT, "--address", "127.0.0.1:7233")
        return self._in_temporal("temporal", "worker", "deployment", command, *options, *arguments)

    def _in_temporal(self, *command: str) -> str:
        (pod,) = self._cluster.pods("temporal")
        return self._cluster.kubectl("exec", pod, "--", *command)


def workers_images(cluster: Cluster) -> set[str]:
    """The images of the workers that are there."""
    return {
        container["image"]
        for component in ("orders-worker", "shipping-worker")
        for each in cluster.get("deployments", "-l", f"app.kubernetes.io/component={component}")
        for container in each["spec"]["template"]["spec"]["containers"]
    }
