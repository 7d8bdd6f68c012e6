"""The cluster test's Orders, and the books of provider and carrier that they are held against."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from disposable import Cluster, until

ADDRESS = {"street": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"}
ENDED = "orderfleet.dev/ended"


def order(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "orderfleet.dev/v1alpha1",
        "kind": "Order",
        "metadata": {"name": name},
        "spec": {"items": [{"sku": "widget", "qty": 2, "price": "9.99"}], "address": ADDRESS, **spec},
    }


AUTO = {"review": {"mode": "auto"}}
TEN_KINDS = [
    order("reviewed"),
    order("automatic", **AUTO),
    order("approved-at-once", approved=True),
    order("delayed", review={"timeout": "5s", "onTimeout": "approve"}),
    order("own-id", orderId="SHOP_2026.1", paymentId="shop:2026:1", **AUTO),
    order("moved"),
    order("canceled-at-once", cancel=True, cancelReason="ordered twice"),
    order("canceled-later"),
    order("nobody-reviews", review={"timeout": "4s", "onTimeout": "cancel"}),
    order("refused", paymentId="refuse-1", **AUTO),
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
    "nobody-reviews": ("canceled", "Stalled"),
    "refused": ("failed", "Stalled"),
}


def ends(orders: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Where each Order stands, and which summary condition holds."""
    return {each["metadata"]["name"]: (each["status"].get("step", ""), _summary(each)) for each in orders}


def _summary(body: dict[str, Any]) -> str:
    holds = {told["type"] for told in body["status"].get("conditions", ()) if told["status"] == "True"}
    return ",".join(sorted(holds & {"Ready", "Stalled", "Reconciling"}))


def unfinished(cluster: Cluster) -> list[str]:
    found = cluster.get("orders.orderfleet.dev", "-l", f"!{ENDED}")
    return [f"{each['metadata']['name']} {each.get('status', {}).get('step')}" for each in found]


@dataclass
class Load:
    """Applies five Orders and waits `gap` seconds, while the context is open; then waits until all have ended."""

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
                self.cluster.apply(*(order(name, **AUTO) for name in names))
                self.count += len(names)
                self._stop.wait(self.gap)
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            self._failure.append(error)

    def at_least(self, count: int) -> None:
        """Wait until so many were applied."""
        until(lambda: [] if self.count >= count or self._failure else [self.count], 240, "too few Orders applied")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=300)
        if kind is None:
            assert not self._failure, self._failure
            until(lambda: unfinished(self.cluster), 600, "Orders haven't ended")
            unshipped = self._unshipped()
            assert not unshipped, f"{len(unshipped)} of {self.count}\n" + "\n".join(unshipped)

    def _unshipped(self) -> list[str]:
        """Those of this load that ended otherwise than shipped, with what was said of each."""
        return [
            f"{each['metadata']['name']}: {each['status']}"
            for each in self.cluster.get("orders.orderfleet.dev")
            if each["metadata"]["name"].startswith(f"{self.name}-") and each["status"].get("step") != "shipped"
        ]


_BOOKS = """
import json, sqlite3
books = sqlite3.connect("file:/ledger/books.db?mode=ro", uri=True)
rows = lambda sql: books.execute(sql).fetchall()
print(json.dumps({
  "charged": dict(rows("select order_id, count(*) from payment_entries where kind='charge' group by 1")),
  "given_back": dict(rows("select order_id, count(*) from payment_entries where kind='refund' group by 1")),
  "parcels": dict(rows("select order_id, count(*) from carrier_parcels where not voided group by 1")),
}))
"""


def books(cluster: Cluster) -> dict[str, dict[str, int]]:
    """By order id: charges, charges given back, and parcels, as provider and carrier count them."""
    pod = cluster.pods("orders-worker")[0]
    told: dict[str, dict[str, int]] = json.loads(cluster.kubectl("exec", pod, "--", "python", "-c", _BOOKS))
    return told


def settle_up(cluster: Cluster) -> int:
    """Hold every Order against the books; return how many there are."""
    there, counted = cluster.get("orders.orderfleet.dev"), books(cluster)
    for each in there:
        order_id, step = each["spec"].get("orderId", each["metadata"]["name"]), each["status"]["step"]
        kept = counted["charged"].get(order_id, 0) - counted["given_back"].get(order_id, 0)
        parcels = counted["parcels"].get(order_id, 0)
        assert (kept, parcels) == ((1, 1) if step == "shipped" else (0, 0)), f"{order_id} {step}: {kept} {parcels}"
        assert counted["charged"].get(order_id, 0) <= 1, f"{order_id} was charged twice"
    return len(there)
