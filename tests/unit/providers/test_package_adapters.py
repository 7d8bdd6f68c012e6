"""Adapters of packages are found by name; invalid ones are rejected with the reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from orderfleet.providers.payments.simulated import SimulatedPayments
from orderfleet.providers.registry import CARRIERS, PAYMENT_PROVIDERS, InvalidAdapter, UnknownAdapter
from orderfleet.settings import Settings

MODULE = """
from contextlib import asynccontextmanager
received = []
@asynccontextmanager
async def make(settings):
    received.append(settings)
    yield "theirs"
nothing = None
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    def package(name: str, *entries: str, module: str = MODULE) -> None:
        folder = tmp_path / name
        described = folder / f"{name}-1.0.dist-info"
        described.mkdir(parents=True)
        (folder / f"{name}.py").write_text(module)
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (described / "entry_points.txt").write_text("\n".join(entries))
        monkeypatch.syspath_prepend(folder)

    return package


async def test_factory_receives_the_settings_of_its_interface(install: Install, tmp_path: Path) -> None:
    install("shop_a", f"[{PAYMENT_PROVIDERS.group}]", "mine = shop_a:make")
    settings = Settings(
        payment_provider="mine", payment_url="https://bank", payment_token_file=tmp_path, payment_timeout="1s"
    )
    async with PAYMENT_PROVIDERS.open(settings) as provider:
        assert provider == "theirs"
    import shop_a  # noqa: PLC0415 - installed just now

    (received,) = shop_a.received
    assert (received.url, received.token_file, received.timeout) == ("https://bank", tmp_path, timedelta(seconds=1))


def test_same_name_in_two_groups_is_two_adapters(install: Install) -> None:
    install("shop_b", f"[{CARRIERS.group}]", "mine = shop_b:make")
    assert CARRIERS.open(Settings(carrier="mine"))
    with pytest.raises(UnknownAdapter, match=r"no payment provider is called 'mine'; known: http, simulated, stripe$"):
        PAYMENT_PROVIDERS.open(Settings(payment_provider="mine"))
    with pytest.raises(UnknownAdapter, match=r"no carrier is called 'other'; known: http, mine, simulated$"):
        CARRIERS.open(Settings(carrier="other"))


async def test_built_in_name_is_never_a_packages_adapter(install: Install) -> None:
    install("shop_c", f"[{PAYMENT_PROVIDERS.group}]", "simulated = shop_c:make")
    async with PAYMENT_PROVIDERS.open(Settings(payment_provider="simulated")) as provider:
        assert isinstance(provider, SimulatedPayments)


def test_name_of_two_packages_is_rejected(install: Install) -> None:
    install("shop_d", f"[{CARRIERS.group}]", "mine = shop_d:make")
    install("shop_e", f"[{CARRIERS.group}]", "mine = shop_e:make")
    with pytest.raises(
        InvalidAdapter, match=r"'mine' is registered twice in orderfleet\.carriers, by shop_d and shop_e"
    ):
        CARRIERS.open(Settings(carrier="mine"))


@pytest.mark.parametrize(
    ("entry", "module", "message"),
    [
        ("mine = shop_f:make", "raise RuntimeError('no license')", r"'mine' of shop_f can't be imported: .*no license"),
        ("mine = shop_f:absent", MODULE, "'mine' of shop_f can't be imported: .*AttributeError"),
        ("mine = shop_f:nothing", MODULE, "'mine' of shop_f is shop_f:nothing, which is no function"),
    ],
)
def test_invalid_adapter_is_named_with_its_package(
    install: Install, monkeypatch: pytest.MonkeyPatch, entry: str, module: str, message: str
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "shop_f", raising=False)
    install("shop_f", f"[{CARRIERS.group}]", entry, module=module)
    with pytest.raises(InvalidAdapter, match=message):
        CARRIERS.open(Settings(carrier="mine"))
