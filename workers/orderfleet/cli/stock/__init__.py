"""`orderfleet stock`: locations, levels, counts, adjustments and movements of stock in Postgres, and the import."""

from __future__ import annotations

from functools import partial

import typer

from orderfleet.cli.errors import EXITS
from orderfleet.cli.output import examples
from orderfleet.cli.stock import changes, import_file, views

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List what is in stock where, record counts and adjustments, and list who changed what. It works on the order"
    " store: orders use it with the stock adapter `postgres`.",
    epilog=EXITS,
)

_examples = partial(examples, "orderfleet stock")

app.command(
    epilog=_examples("locations", "locations east --name 'East warehouse' --priority 10", "locations east --off")
)(changes.locations)
app.command("set", epilog=_examples("set tea-100 east 40 --reason 'stocktaking in November'"))(changes.set_level)
app.command(
    epilog=_examples(
        "adjust tea-100 east --by -2 --reason broken", "adjust tea-100 east --by 10 --reason found --id found-1"
    )
)(changes.adjust)
app.command("list", epilog=_examples("list", "list --sku tea-100", "list --location east -n 1000 -o json"))(
    views.list_levels
)
app.command(epilog=_examples("movements", "movements --sku tea-100", "movements --order ord-1 -o json"))(
    views.movements
)
app.command("import", epilog=_examples("import stock.csv", "import stock.csv --reason delivery -o json"))(
    import_file.import_file
)
