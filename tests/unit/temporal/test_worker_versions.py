"""The version of a worker, and the versioning behavior of its workflows."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pydantic import ValidationError
from temporalio.common import VersioningBehavior

from orderfleet import __version__
from orderfleet.orders import worker as orders
from orderfleet.settings import Settings
from orderfleet.shipping import worker as shipping
from orderfleet.temporal.worker import WorkerSpec, _version

NONE: Any = cast("Any", None)


def specs(settings: Settings) -> tuple[WorkerSpec, WorkerSpec]:
    return orders.worker_spec(settings, NONE, NONE, NONE, NONE, NONE), shipping.worker_spec(settings, NONE, NONE)


def test_order_workflows_upgrade_and_shipping_workflows_are_pinned():
    settings = Settings(worker_deployment="shop", worker_build_id="0.2.0")
    versions = [_version(settings, spec) for spec in specs(settings)]
    assert all(each and each.use_worker_versioning for each in versions)
    assert [each.default_versioning_behavior for each in versions if each] == [
        VersioningBehavior.AUTO_UPGRADE,
        VersioningBehavior.PINNED,
    ]
    assert {each.version.to_canonical_string() for each in versions if each} == {"shop.0.2.0"}


def test_build_id_defaults_to_the_products_version():
    settings = Settings(worker_deployment="shop")
    versions = _version(settings, specs(settings)[0])
    assert versions is not None
    assert versions.version.build_id == __version__


def test_without_a_deployment_a_worker_has_no_version():
    assert [_version(Settings(), spec) for spec in specs(Settings())] == [None, None]


@pytest.mark.parametrize("name", ["a shop", "shop.orders", "-shop", "s" * 64])
def test_invalid_deployment_name_is_rejected(name):
    with pytest.raises(ValidationError, match="worker_deployment"):
        Settings(worker_deployment=name)
