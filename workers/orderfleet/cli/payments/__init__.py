"""`orderfleet payments`: payments with their ledger, exports, refunds, retries, reconciliation."""

from __future__ import annotations

import typer

from orderfleet.cli.errors import EXITS
from orderfleet.cli.payments import export, reconcile, refund, retry, views

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List and export payments, refund orders in part, capture held payments again, and compare the ledger with the"
    " payment provider's books.",
    epilog=EXITS,
)


def _example(*lines: str) -> str:
    return "Examples:\n\n" + "\n\n".join(f"  $ orderfleet payments {line}" for line in lines)


app.command("list", epilog=_example("list", "list --status refunding", "list --day 2026-11-21 --currency EUR -o json"))(
    views.list_payments
)
app.command(epilog=_example("show ord-1", "show ord-1 -o json | jq -r .refundable"))(views.show)
app.command(
    epilog=_example(
        "export --from 2026-11-01 --to 2026-11-30 > november.csv",
        "export totals --from 2026-11-01",
        "export authorizations",
    )
)(export.export)
app.command(
    epilog=_example(
        "refund ord-1 --amount 4.50 --reason late",
        "refund ord-1 --line 1 --line tea=2",
        "refund ord-1 --line shipping --id return-1",
    )
)(refund.refund)
app.command(
    epilog=f"{_example('reconcile', 'reconcile --from 72h', 'reconcile --from 2026-11-01 --to 2026-11-02 --dry-run')}"
    f"\n\n{reconcile.RECONCILE_EXITS}"
)(reconcile.reconcile)
app.command(epilog=_example("differences", "differences --all -o json | jq -r '.differences[].payment_id'"))(
    reconcile.differences
)
app.command(epilog=_example("retry ord-1", "retry ord-1 --method pm_card_visa"))(retry.retry)
