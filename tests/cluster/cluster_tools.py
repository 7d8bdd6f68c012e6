"""kubectl, helm and images for a cluster that may be deleted. A cluster with other namespaces is rejected."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import paths
from support.polling import eventually_sync

NAMESPACE, DELETED = "orderfleet-test", "orderfleet-test-deleted"
"""The namespace of the installation, and of a second operator that is deleted while its Orders run."""
OWN_NAMESPACES = {"default", "kube-system", "kube-public", "kube-node-lease", "local-path-storage", NAMESPACE, DELETED}
BASE = "local/orderfleet-base:1"


def run(*command: object, text: str | None = None, seconds: float = 600) -> str:
    """Run a program and return its output.

    Raises:
        AssertionError: it failed.
    """
    arguments = [str(argument) for argument in command]
    result = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False, timeout=seconds)
    assert result.returncode == 0, f"{' '.join(arguments)}\n{result.stdout[-4000:]}{result.stderr[-4000:]}"
    return result.stdout


class Images(Protocol):
    """Builds images and loads them into the cluster."""

    def base(self) -> str: ...
    def build(self, tag: str, context: Path, *arguments: str) -> None: ...
    def load(self, *tags: str) -> None: ...


class KindImages:
    """Docker and kind, as on a developer's machine."""

    def base(self) -> str:
        # A build alone leaves the image in the builder's cache, where its size cannot be read.
        (python,) = re.findall(r"(?m)^ARG BASE=(\S+)$", (paths.checkout() / "deploy" / "Dockerfile").read_text())
        run("docker", "pull", "--quiet", python)
        return str(python)

    def build(self, tag: str, context: Path, *arguments: str) -> None:
        run("docker", "build", "--quiet", "-t", tag, *arguments, context)

    def load(self, *tags: str) -> None:
        run("kind", "load", "docker-image", *tags)


@dataclass
class ProgramImages:
    """A program with the commands `base`, `build` and `load`."""

    program: str

    def base(self) -> str:
        run(self.program, "base", BASE)
        return BASE

    def build(self, tag: str, context: Path, *arguments: str) -> None:
        run(self.program, "build", "--quiet", "-t", tag, *arguments, context)

    def load(self, *tags: str) -> None:
        run(self.program, "load", *tags)


def tools(program: str | None) -> Images:
    return ProgramImages(program) if program else KindImages()


class Cluster:
    """The cluster, with one namespace for everything."""

    def __init__(self, kubeconfig: Path, images: Images, folder: Path) -> None:
        self.kubeconfig = kubeconfig
        self.images = images
        self.folder = folder
        programs = provide(["kubectl", "helm"])
        self._kubectl, self._helm = programs["kubectl"], programs["helm"]

    def reject_unless_empty(self) -> None:
        namespaces = {each["metadata"]["name"] for each in self.get("namespaces")}
        assert namespaces <= OWN_NAMESPACES, (
            f"the cluster is not empty, so nothing is changed: {namespaces - OWN_NAMESPACES}"
        )

    def kubectl(self, *arguments: str, text: str | None = None, seconds: float = 300) -> str:
        options = ("--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE)
        return run(self._kubectl, *options, *arguments, text=text, seconds=seconds)

    def helm(self, *arguments: str, seconds: float = 600, namespace: str = NAMESPACE) -> str:
        options = ("--kubeconfig", self.kubeconfig, "--namespace", namespace)
        return run(self._helm, *arguments, *options, seconds=seconds)

    def fail_helm(self, *arguments: str, seconds: float = 600) -> str:
        """Run helm, which must fail; its error message."""
        command = [self._helm, *arguments, "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
        assert result.returncode != 0, f"helm {' '.join(arguments)} was accepted\n{result.stdout}"
        return result.stderr

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects; those without a namespace of their own go into the test's."""
        self._each("apply", objects)

    def delete(self, *objects: dict[str, Any]) -> None:
        self._each("delete", objects)

    def _each(self, command: str, objects: Sequence[dict[str, Any]]) -> None:
        # kubectl rejects an object of another namespace than its own option.
        for namespace in {each["metadata"].get("namespace", NAMESPACE) for each in objects}:
            items = [each for each in objects if each["metadata"].get("namespace", NAMESPACE) == namespace]
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
            options = ("--kubeconfig", self.kubeconfig, "--namespace", namespace)
            run(self._kubectl, *options, command, "-f", "-", text=text)

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]
        return items

    def pods(self, component: str) -> list[str]:
        """Names of the pending and running pods of a component."""
        found = self.get("pods", "-l", f"app.kubernetes.io/component={component}")
        return [
            pod["metadata"]["name"]
            for pod in found
            if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] in ("Pending", "Running")
        ]

    def wait_for_rollout(self, *deployments: str) -> None:
        """Wait until all pods of the Deployments are ready and of the current template."""
        for name in deployments:
            self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=480s", seconds=600)

    def labeled(self, selector: str) -> list[str]:
        """Every object of any kind in any namespace that has the labels."""
        served = self.kubectl("api-resources", "--verbs=list", "--output=name").split()
        # Metrics are deleted some time after their pods.
        kinds = [kind for kind in served if not kind.endswith(".metrics.k8s.io")]
        names = self.kubectl("get", ",".join(kinds), "--all-namespaces", "-l", selector, "-o", "name", seconds=600)
        return names.split()

    def chart(self, name: str) -> str:
        return str(paths.checkout() / "charts" / name)


def until_empty(read: Callable[[], Sequence[object]], seconds: float, what: str) -> None:
    """Wait until `read` returns an empty sequence; `what` names the failure."""
    eventually_sync(lambda: (what, list(read())[:10]), lambda found: not found[1], seconds, 0.5)
