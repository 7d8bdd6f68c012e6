"""Which adapter of a port is used: one of ours, or one that a user's own package brings.

`payments` and `carriers` say what they have themselves. A package registers its factories as entry
points; nothing of it is imported before its name is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

from orderfleet.domain.base import error_message
from orderfleet.domain.errors import WrongSetting
from orderfleet.domain.ports import Carrier, PaymentProvider
from orderfleet.settings import Settings
from orderfleet.settings.base import variable
from orderfleet.settings.processes import Environment
from orderfleet.settings.providers import HTTP, SIMULATED

PAYMENT_PROVIDERS: Final = "orderfleet.payment_providers"
CARRIERS: Final = "orderfleet.carriers"
"""Groups of entry points."""


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """What a factory is given. Fields may be added in later versions; none will go."""

    url: str
    """`ORDERFLEET_PAYMENT_URL` or `ORDERFLEET_CARRIER_URL`; empty when unset."""
    token_file: Path | None
    """The file of the bearer token; read it anew for each call."""
    timeout: timedelta
    """Within which a call has to be over: it fits into the attempt."""
    ca_file: Path | None = None
    """The file of the authorities that the service's certificate may be by; None trusts the system's."""


PaymentProviderFactory: TypeAlias = Callable[[AdapterSettings], AbstractAsyncContextManager[PaymentProvider]]
CarrierFactory: TypeAlias = Callable[[AdapterSettings], AbstractAsyncContextManager[Carrier]]
"""Called once at the start of a worker; what it makes is entered before the worker polls, left once it has drained."""


class InvalidAdapter(WrongSetting):
    """A package's adapter can't be used; the message says which and why."""


class AdapterNotSet(WrongSetting):
    """Outside a local stack nobody said which adapter to use."""


class UnknownAdapter(WrongSetting):
    """No adapter has that name; the message lists those there are."""


Port = TypeVar("Port")


@dataclass(frozen=True, kw_only=True)
class Adapters(Generic[Port]):
    """The adapters of one port."""

    what: str
    """The port, as messages call it."""
    group: str
    """Of entry points."""
    field: str
    """The setting that names the adapter."""
    given: Callable[[Settings], AdapterSettings]
    """What those of users' packages are given."""
    ours: Mapping[str, Callable[[Settings], AbstractAsyncContextManager[Port]]]

    def chosen(self, settings: Settings) -> str:
        """The name that the settings have; on a local stack no choice means the simulated one.

        Elsewhere orders must never be told as paid and sent because a variable was forgotten.

        Raises:
            AdapterNotSet: they have none, and this is no local stack.
        """
        name: str | None = getattr(settings, self.field)
        if name is not None:
            return name
        if settings.environment is Environment.LOCAL:
            return SIMULATED
        raise AdapterNotSet(
            f"{variable(self.field)} isn't set: choose `{HTTP}`, the name of an adapter in a package of yours,"
            f" or `{SIMULATED}` if no money and no parcel shall move"
        )

    def opened(self, settings: Settings) -> AbstractAsyncContextManager[Port]:
        """The chosen adapter, open as long as the context is.

        Raises:
            AdapterNotSet: see `chosen`.
            UnknownAdapter: there is none of that name.
            InvalidAdapter: a package registered that name, and it can't be used.
        """
        name = self.chosen(settings)
        if name in self.ours:
            return self.ours[name](settings)
        make = _registered(self.group, name)
        if make is None:
            known = ", ".join(sorted({*self.ours, *entry_points(group=self.group).names}))
            raise UnknownAdapter(f"no {self.what} is called {name!r}; known: {known}")
        theirs: AbstractAsyncContextManager[Port] = make(self.given(settings))
        return theirs


def _registered(group: str, name: str) -> Callable[[AdapterSettings], Any] | None:
    """The factory that a package registered under `name`, or None.

    Raises:
        InvalidAdapter: it can't be imported, or two packages registered that name.
    """
    found = tuple(entry_points(group=group, name=name))
    if len({_source(entry) for entry in found}) > 1:
        packages = " and ".join(sorted({_source(entry) for entry in found}))
        raise InvalidAdapter(f"{name!r} is registered twice in {group}, by {packages}; remove one of them")
    if not found:
        return None
    try:
        factory = found[0].load()
    except Exception as error:  # a user's module may raise anything as it is imported
        raise InvalidAdapter(f"{name!r} of {_source(found[0])} can't be imported: {error_message(error)}") from error
    if not callable(factory):
        raise InvalidAdapter(f"{name!r} of {_source(found[0])} is {found[0].value}, which is no function")
    return factory  # type: ignore[no-any-return]


def _source(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value
