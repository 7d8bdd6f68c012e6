"""The settings: one frozen object, read from the environment once, at the start of a process.

Nothing else reads the environment. The descriptions of the fields are the documentation; the table of settings is
generated from them.
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from orderfleet.domain.policy import OrderPolicy
from orderfleet.settings.connections import ConnectionSettings, EncryptionSettings
from orderfleet.settings.orders import OrderSettings, StepSettings
from orderfleet.settings.processes import (
    ApiSettings,
    OperatorSettings,
    ProcessSettings,
    TelemetrySettings,
    WorkerSettings,
)
from orderfleet.settings.providers import (
    IN_PROCESS,
    ProviderSettings,
    check_stripe,
    check_timeout,
    check_url,
)


# The table of settings lists the groups from the last base to the first.
class Settings(
    TelemetrySettings,
    OperatorSettings,
    ProviderSettings,
    StepSettings,
    OrderSettings,
    ApiSettings,
    WorkerSettings,
    EncryptionSettings,
    ConnectionSettings,
    ProcessSettings,
):
    """Every setting of every role."""

    @model_validator(mode="after")
    def _providers_fit(self) -> Self:
        if self.payment_provider not in IN_PROCESS:
            check_url(self, "payment_provider", "payment_url")
            check_stripe(self)
            check_timeout(self, "payment_timeout", "charge_timeout")
            check_timeout(self, "payment_timeout", "refund_timeout")
            check_timeout(self, "payment_timeout", "capture_timeout")
        if self.carrier not in IN_PROCESS:
            check_url(self, "carrier", "carrier_url")
            check_timeout(self, "carrier_timeout", "dispatch_carrier_timeout")
        return self

    def order_policy(self) -> OrderPolicy:
        """The policy of an order that starts now; its workflow keeps it."""
        return OrderPolicy(
            receive=self.step(self.receive_timeout),
            validation=self.step(self.validate_timeout),
            record=self.step(self.record_timeout),
            charge=self.step(self.charge_timeout),
            prepare_package=self.step(self.prepare_package_timeout),
            dispatch_carrier=self.step(self.dispatch_carrier_timeout),
            refund=self.step(self.refund_timeout),
            capture=self.step(self.capture_timeout),
            payment_hold=self.payment_hold,
            payment_pending=self.payment_pending_timeout,
            outage=self.outage(),
            shipping_task_queue=self.shipping_task_queue,
            shipping_attempts=self.shipping_attempts,
            require_prices=self.prices_required(),
            address_checks=self.address_checks(),
        )
