"""The kubectl plugin `kubectl order`, and how to watch one Order with kubectl.

It runs the user's kubectl and needs no access to Temporal or Postgres. A watch of `get NAME` must never be used:
kubectl reads the object, starts a watch at the newest version, and drops its first event as the object it has
printed, so that a change between the two is lost. A watch of a list starts at the list's own version.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

import typer

from orderfleet.cli.address_options import NOTHING_TO_CHANGE, with_address_options
from orderfleet.cli.errors import Exit
from orderfleet.domain.names import CRD_GROUP, CRD_PLURAL, may_be_workflow_id, order_id_of

RESOURCE: Final = f"{CRD_PLURAL}.{CRD_GROUP}"
"""The full name, because other products have a kind `Order` too."""

WATCH_SECONDS: Final = 10
"""Seconds after which a watch ends and is started again, in case it hangs or has missed its Order."""


class WatchEvent(NamedTuple):
    """An Order as the watch sent it, and whether it is deleted."""

    order: dict[str, Any]
    deleted: bool


def watch_arguments(name: str) -> tuple[str, ...]:
    """Return kubectl's arguments for a stream of the Order's current state, if it exists, and each change."""
    selector = ("--field-selector", f"metadata.name={name}")
    return (
        "get",
        RESOURCE,
        *selector,
        "--output-watch-events",
        "-o",
        "json",
        "--watch",
        f"--request-timeout={WATCH_SECONDS}s",
    )


def watch_events(lines: Iterable[str]) -> Iterator[WatchEvent]:
    """Yield the events that kubectl prints, one on each line; the last line is incomplete if kubectl was killed."""
    for line in lines:
        if line.endswith("\n"):
            event = json.loads(line)
            yield WatchEvent(event["object"], deleted=event["type"] == "DELETED")


_POLL_SECONDS: Final = 0.2

_EXITS: Final = "Exit status: 0 done, 1 kubectl failed, 2 wrong arguments, 4 change rejected, 5 no response in time."


app = typer.Typer(
    name="kubectl order",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Approve, cancel, redirect and follow an Order.",
    epilog=f"Examples:\n\n  $ kubectl order approve demo-1\n\n  $ kubectl order watch demo-1 -n shop\n\n{_EXITS}",
)


@dataclass(frozen=True)
class Target:
    """One Order, and the kubectl options that select its cluster and namespace."""

    name: str
    options: tuple[str, ...]

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl and return its output; on failure print its error and exit."""
        command = ["kubectl", *self.options, *arguments]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user's kubectl
        except FileNotFoundError:
            sys.stderr.write("order: kubectl is not on the PATH; install it\n")
            raise typer.Exit(Exit.FAILED) from None
        if result.returncode != 0:
            sys.stderr.write(result.stderr)
            raise typer.Exit(Exit.FAILED)
        return result.stdout

    def patch(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Merge `spec` into the Order's and return the Order."""
        change = json.dumps({"spec": spec})
        return dict(
            json.loads(self.kubectl("patch", RESOURCE, self.name, "--type", "merge", "-p", change, "-o", "json"))
        )

    def get(self) -> dict[str, Any]:
        """Return the Order."""
        return dict(json.loads(self.kubectl("get", RESOURCE, self.name, "-o", "json")))

    def states(self) -> Iterator[WatchEvent]:
        """Yield the Order's current state and each change until it is deleted."""
        while True:
            # `get` fails if the Order does not exist; a watch would wait for it.
            yield WatchEvent(self.get(), deleted=False)
            command = ["kubectl", *self.options, *watch_arguments(self.name)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - the user's kubectl
                assert process.stdout is not None
                try:
                    yield from watch_events(process.stdout)
                finally:
                    process.kill()
            time.sleep(_POLL_SECONDS)


def _target(name: str, namespace: str | None, context: str | None, kubeconfig: str | None) -> Target:
    """Return the Order with this name, else the one whose workflow has this id.

    A name that can't be a workflow id needs no request.
    """
    options = {"--namespace": namespace, "--context": context, "--kubeconfig": kubeconfig}
    target = Target(name, tuple(part for flag, value in options.items() if value for part in (flag, value)))
    if not may_be_workflow_id(name) or target.kubectl("get", RESOURCE, name, "--ignore-not-found", "-o", "name"):
        return target
    order_id = order_id_of(name)
    for line in target.kubectl("get", RESOURCE, "-o", f"jsonpath={_NAMES_AND_IDS}").splitlines():
        found, _, own_id = line.partition(" ")
        if (own_id or found) == order_id:
            return Target(found, target.options)
    return target


_NAMES_AND_IDS: Final = '{range .items[*]}{.metadata.name} {.spec.orderId}{"\\n"}{end}'


Name = Annotated[str, typer.Argument(metavar="NAME", help="The Order's name, or its workflow id: order-ID.")]

Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="As for kubectl.")]

Context = Annotated[str | None, typer.Option(help="As for kubectl.")]

Kubeconfig = Annotated[str | None, typer.Option(help="As for kubectl.")]

Wait = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for the order's response; 0: don't wait.")
]


@app.command(epilog="Example:\n\n  $ kubectl order approve demo-1")
def approve(
    name: Name, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None, wait: Wait = 10
) -> None:
    """Approve an Order that waits for review."""
    _change(_target(name, namespace, context, kubeconfig), {"approved": True}, "approved", wait)


@app.command(epilog="Example:\n\n  $ kubectl order cancel demo-1 --reason 'ordered twice'")
def cancel(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; shown in the Order's status.")] = "",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    wait: Wait = 10,
) -> None:
    """Cancel an Order and refund what was charged. A dispatched package is not stopped."""
    spec = {"cancel": True, **({"cancelReason": reason} if reason else {})}
    _change(_target(name, namespace, context, kubeconfig), spec, "canceled", wait)


@app.command("address", epilog="Example:\n\n  $ kubectl order address demo-1 --street '2 Side St' --zip 97202")
@with_address_options
def change_address(
    name: Name,
    *,
    address: dict[str, str],
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    wait: Wait = 10,
) -> None:
    """Send an Order's package to another address; parts left out stay as they are."""
    if not address:
        raise typer.BadParameter(NOTHING_TO_CHANGE)
    from orderfleet.domain.order import ADDRESS_ALIASES  # noqa: PLC0415 - the other commands need no models

    # A merge patch removes what is null: a cleared part, and a second name of a part, which would differ from it.
    second = {ADDRESS_ALIASES[part]: None for part in address if part in ADDRESS_ALIASES}
    patch = {**second, **{part: value or None for part, value in address.items()}}
    _change(_target(name, namespace, context, kubeconfig), {"address": patch}, "redirected", wait)


@app.command(epilog="Example:\n\n  $ kubectl order watch demo-1")
def watch(name: Name, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """Follow an Order until it has ended; print a line for each change."""
    shown = ""
    for order, deleted in _target(name, namespace, context, kubeconfig).states():
        line = "deleted" if deleted else _line(order)
        if line != shown:
            shown = line
            typer.echo(line)
        if deleted or order.get("status", {}).get("ended"):
            return


@app.command(epilog="Example:\n\n  $ kubectl order events demo-1")
def events(name: Name, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """List the Events of an Order, the oldest first."""
    target = _target(name, namespace, context, kubeconfig)
    typer.echo(target.kubectl("events", "--for", f"order.{CRD_GROUP}/{target.name}"), nl=False)


def _change(target: Target, spec: Mapping[str, Any], done: str, wait: float) -> None:
    """Patch the spec, then wait until the status has observed that generation."""
    order = target.patch(spec)
    generation = order["metadata"]["generation"]
    end = time.monotonic() + wait
    while order.get("status", {}).get("observedGeneration", 0) < generation:
        if time.monotonic() > end:
            typer.echo(f"order {target.name}: spec changed; the order has not responded yet")
            raise typer.Exit(Exit.UNAVAILABLE if wait else Exit.DONE)
        time.sleep(_POLL_SECONDS)
        order = target.get()
    rejection = _condition(order, "SpecApplied", "False")
    if rejection is not None:
        sys.stderr.write(f"order {target.name}: rejected: {rejection}\n")
        raise typer.Exit(Exit.REJECTED)
    typer.echo(f"order {target.name}: {done}; {_line(order)}")


def _line(order: Mapping[str, Any]) -> str:
    status = order.get("status", {})
    parts = [
        f"step {status.get('step', '-')}",
        f"payment {status.get('payment', {}).get('status') or '-'}",
        f"tracking {status.get('trackingNumber') or '-'}",
    ]
    for kind, bad in (("Stalled", "True"), ("SpecApplied", "False")):
        if message := _condition(order, kind, bad):
            parts.append(f"{kind} {message}")
    return ", ".join(parts)


def _condition(order: Mapping[str, Any], kind: str, status: str) -> str | None:
    """Return the message of a condition if it has that status."""
    for condition in order.get("status", {}).get("conditions", ()):
        if condition["type"] == kind and condition["status"] == status:
            message: str = condition["message"]
            return message
    return None


def main() -> None:
    """Run the plugin."""
    app()
