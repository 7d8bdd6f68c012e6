"""`orderfleet api`: the process that serves the HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer

from orderfleet.cli import role
from orderfleet.cli.errors import read_settings

app = typer.Typer(add_completion=False)


@app.command(epilog="Examples:\n\n  $ orderfleet api\n\n  $ orderfleet api --host 127.0.0.1 --port 9000")
def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of ORDERFLEET_API_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port instead of ORDERFLEET_API_PORT; 0: any free port.")
    ] = None,
) -> None:
    """Serve the HTTP API until SIGTERM; its documentation is at /docs.

    Outside a local stack, set ORDERFLEET_API_AUTH first: it says who may call the API.
    """
    options = {"api_host": host, "api_port": port}
    settings = read_settings(**{name: value for name, value in options.items() if value is not None})
    from orderfleet.api.serve import run  # noqa: PLC0415 - no other command loads fastapi

    role.run("api", run, settings)
