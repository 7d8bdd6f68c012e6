"""The adapters of payment providers and carriers, by name: built-in ones and those that packages register.

A package registers a factory as an entry point. Nothing of a package is imported unless the settings name its adapter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Generic, TypeVar

import structlog

from orderfleet.domain.amount_limits import parse_amount_limits
from orderfleet.domain.base import error_message
from orderfleet.domain.errors import WrongSetting
from orderfleet.providers.carriers.http import HttpCarrier
from orderfleet.providers.carriers.simulated import SimulatedCarrier
from orderfleet.providers.connections import read_token
from orderfleet.providers.http_calls import HttpCalls
from orderfleet.providers.interfaces import AdapterSettings, Carrier, PaymentProvider
from orderfleet.providers.payments.http import HttpPayments
from orderfleet.providers.payments.simulated import SimulatedPayments
from orderfleet.settings import Settings
from orderfleet.settings.base import variable
from orderfleet.settings.processes import Environment
from orderfleet.settings.providers import HTTP, SIMULATED, STRIPE

_log = structlog.get_logger()

Provider = TypeVar("Provider")


class InvalidAdapter(WrongSetting):
    """A package's adapter can't be used; the message says which and why."""


class AdapterNotSet(WrongSetting):
    """Outside a local stack the setting that names the adapter is not set."""


class UnknownAdapter(WrongSetting):
    """No adapter has that name; the message lists the known ones."""


@dataclass(frozen=True, kw_only=True)
class AdapterRegistry(Generic[Provider]):
    """The adapters of one interface."""

    interface: str
    """The interface in messages."""
    group: str
    """Entry points of packages' factories. A factory takes an `AdapterSettings` and returns a context manager."""
    setting: str
    """Field of the settings that names the adapter."""
    prefix: str
    """Of the fields of the settings that every adapter takes."""
    simulated: Callable[[Settings], Provider]
    """Makes the adapter `simulated`."""
    warning: str
    """What `simulated` does not do; logged outside a local stack."""
    over_http: Callable[[HttpCalls, Settings], Provider]
    """Makes the adapter `http`."""
    others: Mapping[str, Callable[[Settings], AbstractAsyncContextManager[Provider]]] = field(default_factory=dict)
    """Opens the further built-in adapters."""

    def name(self, settings: Settings) -> str:
        """Return the name of the adapter that the settings choose; on a local stack the default is `simulated`.

        Elsewhere there is no default: an unset variable must never record unpaid orders as paid and sent.

        Raises:
            AdapterNotSet: the setting is not set, and this is not a local stack.
        """
        name: str | None = getattr(settings, self.setting)
        if name is not None:
            return name
        if settings.environment is Environment.LOCAL:
            return SIMULATED
        built_in = ", ".join(f"`{each}`" for each in (HTTP, *self.others))
        raise AdapterNotSet(
            f"{variable(self.setting)} isn't set: choose {built_in}, the name of an adapter in a package of yours,"
            f" or `{SIMULATED}` if no money and no parcel shall move"
        )

    def open(self, settings: Settings) -> AbstractAsyncContextManager[Provider]:
        """Return a context manager of the adapter that the settings choose. The adapter is usable inside the context.

        Raises:
            AdapterNotSet: the setting is not set, and this is not a local stack.
            UnknownAdapter: there is no adapter of that name.
            InvalidAdapter: a package registered that name, and its factory can't be used.
        """
        name = self.name(settings)
        if name == SIMULATED:
            return self._open_simulated(settings)
        if name == HTTP:
            return self._open_http(settings)
        if name in self.others:
            return self.others[name](settings)
        factory = _registered(self.group, name)
        if factory is None:
            known = ", ".join(sorted({HTTP, SIMULATED, *self.others, *entry_points(group=self.group).names}))
            raise UnknownAdapter(f"no {self.interface} is called {name!r}; known: {known}")
        adapter: AbstractAsyncContextManager[Provider] = factory(self._adapter_settings(settings))
        return adapter

    def _adapter_settings(self, settings: Settings) -> AdapterSettings:
        names = AdapterSettings.__dataclass_fields__
        return AdapterSettings(**{name: getattr(settings, f"{self.prefix}_{name}") for name in names})

    @asynccontextmanager
    async def _open_simulated(self, settings: Settings) -> AsyncIterator[Provider]:
        if settings.environment is not Environment.LOCAL:
            _log.warning(f"{variable(self.setting)} is {SIMULATED}: {self.warning}")
        yield self.simulated(settings)

    @asynccontextmanager
    async def _open_http(self, settings: Settings) -> AsyncIterator[Provider]:
        service = self._adapter_settings(settings)
        async with HttpCalls(
            f"the {self.interface}",
            service.url,
            token_file=service.token_file,
            ca_file=service.ca_file,
            timeout=service.timeout,
            connections=settings.worker_activity_slots,
        ) as calls:
            yield self.over_http(calls, settings)


def _registered(group: str, name: str) -> Callable[[AdapterSettings], Any] | None:
    """Return the factory that a package registered under `name`, or None.

    Raises:
        InvalidAdapter: it can't be imported, or two packages registered that name.
    """
    found = tuple(entry_points(group=group, name=name))
    if len({_package(entry) for entry in found}) > 1:
        packages = " and ".join(sorted({_package(entry) for entry in found}))
        raise InvalidAdapter(f"{name!r} is registered twice in {group}, by {packages}; remove one of them")
    if not found:
        return None
    try:
        factory = found[0].load()
    except Exception as error:  # importing a package's module may raise anything
        raise InvalidAdapter(f"{name!r} of {_package(found[0])} can't be imported: {error_message(error)}") from error
    if not callable(factory):
        raise InvalidAdapter(f"{name!r} of {_package(found[0])} is {found[0].value}, which is no function")
    return factory  # type: ignore[no-any-return]


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


@asynccontextmanager
async def _open_stripe(settings: Settings) -> AsyncIterator[PaymentProvider]:
    # The SDK takes half a second of CPU and 10 MiB, so it is imported where it is used only.
    from orderfleet.providers.payments.stripe.adapter import StripePayments  # noqa: PLC0415
    from orderfleet.providers.payments.stripe.client import StripeCalls  # noqa: PLC0415

    assert settings.payment_token_file is not None  # the settings were checked
    if settings.environment is not Environment.LOCAL and "_test_" in read_token(settings.payment_token_file):
        _log.warning(f"the API key in {variable('payment_token_file')} is one for tests: no money moves")
    async with StripeCalls(
        settings.payment_url,
        key_file=settings.payment_token_file,
        ca_file=settings.payment_ca_file,
        timeout=settings.payment_timeout,
        connections=settings.worker_activity_slots,
    ) as calls:
        yield StripePayments(calls, return_url=settings.stripe_return_url)


PAYMENT_PROVIDERS: Final = AdapterRegistry[PaymentProvider](
    interface="payment provider",
    group="orderfleet.payment_providers",
    setting="payment_provider",
    prefix="payment",
    simulated=lambda settings: SimulatedPayments(
        ledger=settings.simulated_ledger,
        latency=settings.simulated_latency,
        limits=parse_amount_limits(settings.payment_limits),
    ),
    warning="no money moves",
    over_http=lambda calls, settings: HttpPayments(calls, parse_amount_limits(settings.payment_limits)),
    others={STRIPE: _open_stripe},
)
"""Adapters of the setting `ORDERFLEET_PAYMENT_PROVIDER`."""

CARRIERS: Final = AdapterRegistry[Carrier](
    interface="carrier",
    group="orderfleet.carriers",
    setting="carrier",
    prefix="carrier",
    simulated=lambda settings: SimulatedCarrier(ledger=settings.simulated_ledger, latency=settings.simulated_latency),
    warning="no parcel moves",
    over_http=lambda calls, settings: HttpCarrier(calls, latin=settings.carrier_latin_address),
)
"""Adapters of the setting `ORDERFLEET_CARRIER`."""
