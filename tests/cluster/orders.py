"""The cluster test's Orders, and the ledgers of provider and carrier that they are compared with."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from cluster.cluster_tools import Cluster, until_empty
from support.factories import order_manifest

ENDED = "orderfleet.dev/ended"


AUTO = {"review": {"mode": "auto"}}
TEN_KINDS = [
    order_manifest("reviewed"),
    order_manifest("automatic", **AUTO),
    order_manifest("approved-at-once", approved=True),
    order_manifest("delayed", review={"timeout": "5s", "onTimeout": "approve"}),
    order_manifest("own-id", orderId="SHOP_2026.1", paymentId="shop:2026:1", **AUTO),
    order_manifest("moved"),
    order_manifest("canceled-at-once", cancel=True, cancelReason="ordered twice"),
    order_manifest("canceled-later"),
    order_manifest("review-times-out", review={"timeout": "4s", "onTimeout": "cancel"}),
    order_manifest("refused", paymentId="refuse-1", **AUTO),
]
ENDS = {
    "reviewed": ("shipped", "Ready"),
    "automatic": ("shipped", "Ready"),
    "approved-at-once": ("shipped", "Ready"),
    "delayed": ("shipped", "Ready"),
    "own-id": ("shipped", "Ready"),
    "moved": ("shipped", "Ready"),
    "canceled-at-once": ("canceled", "Ready"),
    "canceled-later": ("canceled", "Ready"),
    "review-times-out": ("canceled", "Stalled"),
    "refused": ("failed", "Stalled"),
}


def ends(orders: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """By Order: its step, and the summary conditions that are true."""
    return {each["metadata"]["name"]: (each["status"].get("step", ""), _summary(each)) for each in orders}


def _summary(body: dict[str, Any]) -> str:
    holds = {each["type"] for each in body["status"].get("conditions", ()) if each["status"] == "True"}
    return ",".join(sorted(holds & {"Ready", "Stalled", "Reconciling"}))


def unfinished(cluster: Cluster) -> list[str]:
    found = cluster.get("orders.orderfleet.dev", "-l", f"!{ENDED}")
    return [f"{each['metadata']['name']} {each.get('status', {}).get('step')}" for each in found]


@dataclass
class Load:
    """Applies five Orders every `gap` seconds within its context; on exit, waits until all have ended."""

    cluster: Cluster
    name: str
    gap: float = 1
    count: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _failure: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                names = [f"{self.name}-{self.count + i}" for i in range(5)]
                self.cluster.apply(*(order_manifest(name, **AUTO) for name in names))
                self.count += len(names)
                self._stop.wait(self.gap)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            self._failure.append(error)

    def at_least(self, count: int) -> None:
        """Wait until `count` Orders were applied."""
        until_empty(lambda: [] if self.count >= count or self._failure else [self.count], 240, "too few Orders applied")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=300)
        if kind is None:
            assert not self._failure, self._failure
            until_empty(lambda: unfinished(self.cluster), 600, "Orders have not ended")
            unshipped = self._unshipped()
            assert not unshipped, f"{len(unshipped)} of {self.count}\n" + "\n".join(unshipped)

    def _unshipped(self) -> list[str]:
        """The Orders of this load that ended without being shipped, with their status."""
        return [
            f"{each['metadata']['name']}: {each['status']}"
            for each in self.cluster.get("orders.orderfleet.dev")
            if each["metadata"]["name"].startswith(f"{self.name}-") and each["status"].get("step") != "shipped"
        ]


_READ_LEDGERS = """
import json, sqlite3
ledger = sqlite3.connect("file:/ledger/ledger.db?mode=ro", uri=True)
rows = lambda sql: ledger.execute(sql).fetchall()
print(json.dumps({
  "charged": dict(rows("select order_id, count(*) from payment_entries where kind='charge' group by 1")),
  "refunded": dict(rows("select order_id, count(*) from payment_entries where kind='refund' group by 1")),
  "parcels": dict(rows("select order_id, count(*) from carrier_parcels where not voided group by 1")),
}))
"""


def read_ledgers(cluster: Cluster) -> dict[str, dict[str, int]]:
    """By order id: charges, refunds and parcels in the ledgers of provider and carrier."""
    pod = cluster.pods("orders-worker")[0]
    ledgers: dict[str, dict[str, int]] = json.loads(cluster.kubectl("exec", pod, "--", "python", "-c", _READ_LEDGERS))
    return ledgers


def check_ledgers(cluster: Cluster) -> int:
    """Compare every Order with the ledgers; the number of Orders."""
    orders, counted = cluster.get("orders.orderfleet.dev"), read_ledgers(cluster)
    for each in orders:
        order_id, step = each["spec"].get("orderId", each["metadata"]["name"]), each["status"]["step"]
        kept = counted["charged"].get(order_id, 0) - counted["refunded"].get(order_id, 0)
        parcels = counted["parcels"].get(order_id, 0)
        assert (kept, parcels) == ((1, 1) if step == "shipped" else (0, 0)), f"{order_id} {step}: {kept} {parcels}"
        assert counted["charged"].get(order_id, 0) <= 1, f"{order_id} was charged twice"
    return len(orders)
