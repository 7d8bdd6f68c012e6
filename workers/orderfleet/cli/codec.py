"""`orderfleet codec`: the process that decrypts payloads for Temporal's Web UI and command line."""

from __future__ import annotations

import typer

from orderfleet.cli import role
from orderfleet.cli.errors import read_settings

app = typer.Typer(add_completion=False)


@app.command(
    epilog="Examples:\n\n  $ orderfleet codec\n\n"
    "  $ TEMPORAL_CODEC_ENDPOINT=http://127.0.0.1:8088 TEMPORAL_CODEC_AUTH='Bearer TOKEN' temporal workflow show"
    " -w order-ord-1"
)
def codec() -> None:
    """Run the codec server until SIGTERM.

    It authenticates callers as the HTTP API does.
    """
    settings = read_settings()
    from orderfleet.api.codec import run  # noqa: PLC0415 - no other command but the API loads fastapi

    role.run("codec", run, settings, with_metrics=False)
