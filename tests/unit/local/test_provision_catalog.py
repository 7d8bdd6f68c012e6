"""The catalog and the pinned files under `deploy/tools` name the same versions."""

from __future__ import annotations

import re

from orderfleet_local.provision import catalog
from orderfleet_local.provision.catalog import TOOLS, GoBuild
from orderfleet_local.stack import paths

PINS = paths.tool_pins()


def test_go_modules_pin_the_catalogs_versions():
    wanted = {
        "kubernetes": ("k8s.io/kubernetes", catalog.KUBERNETES),
        "etcd": ("go.etcd.io/etcd/server/v3", catalog.ETCD),
        "temporal": ("github.com/temporalio/cli", catalog.TEMPORAL),
        "helm": ("helm.sh/helm/v4", catalog.HELM),
        "kind": ("sigs.k8s.io/kind", catalog.KIND),
        "metrics-server": ("sigs.k8s.io/metrics-server", catalog.METRICS_SERVER),
        "stripe-mock": ("github.com/stripe/stripe-mock", catalog.STRIPE_MOCK),
    }
    for folder, (module, version) in wanted.items():
        pinned = re.search(rf"\s{re.escape(module)} v(\S+)", (PINS / folder / "go.mod").read_text())
        assert pinned is not None, folder
        assert pinned[1] == version


def test_go_tools_are_pinned_by_their_module():
    for tool in TOOLS.values():
        if isinstance(tool.recipe, GoBuild):
            assert tool.recipe.package in (PINS / tool.recipe.module / "go.mod").read_text()


def test_maven_project_pins_the_catalogs_version():
    text = (PINS / "temporal-test-server" / "pom.xml").read_text()
    assert f"<version>{catalog.TEST_SERVER}</version>" in text
