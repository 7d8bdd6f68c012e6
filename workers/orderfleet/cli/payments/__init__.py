"""`orderfleet payments`: payments with their ledger, exports, refunds, retries, reconciliation."""

from __future__ import annotations

from functools import partial

import typer

from orderfleet.cli.errors import EXITS
from orderfleet.cli.output import examples
from orderfleet.cli.payments import export, reconcile, refund, retry, views

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List and export payments, refund orders in part, capture held payments again, and compare the ledger with the"
    " payment provider's books.",
    epilog=EXITS,
)


_examples = partial(examples, "orderfleet payments")


app.command(
    "list", epilog=_examples("list", "list --status refunding", "list --day 2026-11-21 --currency EUR -o json")
)(views.list_payments)
app.command(epilog=_examples("show ord-1", "show ord-1 -o json | jq -r .refundable"))(views.show)
app.command(
    epilog=_examples(
        "export --from 2026-11-01 --to 2026-11-30 > november.csv",
        "export totals --from 2026-11-01",
        "export authorizations",
    )
)(export.export)
app.command(
    epilog=_examples(
        "refund ord-1 --amount 4.50 --reason late",
        "refund ord-1 --line 1 --line tea=2",
        "refund ord-1 --line shipping --id return-1",
    )
)(refund.refund)
app.command(
    epilog=f"{_examples('reconcile', 'reconcile --from 72h', 'reconcile --from 2026-11-01 --to 2026-11-02 --dry-run')}"
    f"\n\n{reconcile.RECONCILE_EXITS}"
)(reconcile.reconcile)
app.command(epilog=_examples("differences", "differences --all -o json | jq -r '.differences[].payment_id'"))(
    reconcile.differences
)
app.command(epilog=_examples("retry ord-1", "retry ord-1 --method pm_card_visa"))(retry.retry)
