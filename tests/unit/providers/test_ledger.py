"""Several processes write one ledger, and some are killed: the ledger stays consistent."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from orderfleet.providers.carriers.simulated import CarrierLedger
from orderfleet.providers.payments.simulated import PaymentLedger

WORKER = """
import asyncio, itertools, sys
from pathlib import Path
from orderfleet.providers.carriers.simulated import SimulatedCarrier
from orderfleet.domain.order import Address, Customer
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.shipment import Parcel
from orderfleet.providers.payments.simulated import SimulatedPayments

async def main(path, count):
    payments, carrier = SimulatedPayments(ledger=path), SimulatedCarrier(ledger=path)
    for number in itertools.count() if count < 0 else range(count):
        name = f"o{number}"
        await payments.charge(PaymentIntent(payment_id=name, order_id=name, amount="1.10", currency="USD"))
        await carrier.book(name, Parcel(order_id=name, shipment_id=name, attempt=1, items=(), address=Address(),
                                        customer=Customer()))
        print(name, flush=True)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


def worker(ledger: Path, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(ledger), str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_and_a_sigkill_charge_and_book_once_each(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    steady, *doomed = worker(ledger, 60), worker(ledger, -1), worker(ledger, -1)
    answered: set[str] = set()
    for process in doomed:
        assert process.stdout is not None
        answered |= {process.stdout.readline().strip() for _ in range(20)}
        process.send_signal(signal.SIGKILL)
        answered |= set(process.communicate()[0].split())
    output, errors = steady.communicate(timeout=60)
    assert steady.returncode == 0, errors
    charges = Counter(entry.payment_id for entry in PaymentLedger(ledger).entries())
    parcels = Counter(parcel.key for parcel in CarrierLedger(ledger).parcels())
    assert answered | set(output.split()) <= parcels.keys() <= charges.keys()  # every answered call is committed
    assert set(charges.values()) == set(parcels.values()) == {1}
