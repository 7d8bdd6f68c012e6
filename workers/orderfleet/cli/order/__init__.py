"""`orderfleet order`: start, inspect and change orders. It registers the subcommands that its modules implement."""

from __future__ import annotations

from functools import partial

import typer

from orderfleet.cli.errors import EXITS
from orderfleet.cli.order import changes, describe, start, views
from orderfleet.cli.output import examples

_examples = partial(examples, "orderfleet order")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Start, inspect and change orders. Change an order that was started by an Order resource with kubectl:"
    " a change made here is not written to its spec.",
    epilog=EXITS,
)

app.command(epilog=_examples("start", "start ord-1 pay-1", "start -f deploy/samples/order.yaml -o json"))(start.start)
app.command(epilog=_examples("status ord-1", "status ord-1 -o json | jq -r .step", "status ord-1 --watch"))(
    views.status
)
app.command("query", epilog=_examples("query ord-1"), help="The same as `status`.")(views.status)
app.command(
    "list", epilog=_examples("list --limit 50", "list --step manual_review -o json | jq -r '.orders[].order_id'")
)(views.list_orders)
app.command(epilog=_examples("describe ord-1", "describe ord-1 -o yaml"))(describe.describe)
app.command(
    epilog=_examples("history ord-1", "history ord-1 --order-only", "history ord-1 -o json | jq -r '.[].type'")
)(views.history)
app.command(epilog=_examples("events ord-1", "events ord-1 -o json | jq '.[].kind'"))(views.events)
app.command(epilog=_examples("watch ord-1", "watch ord-1 -o json | jq -r .step"))(views.watch)
app.command(epilog=_examples("approve ord-1"))(changes.approve)
app.command(epilog=_examples("cancel ord-1 --reason 'ordered twice'"))(changes.cancel)
app.command(epilog=_examples("update-address ord-1 --street '1 New Road' --city Leeds"))(changes.update_address)
app.command(epilog=_examples("signal", "signal ord-1 approve", "signal ord-1 cancel --reason 'ordered twice'"))(
    changes.signal
)
