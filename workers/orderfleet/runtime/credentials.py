"""What Temporal is shown and what it has to show: TLS, the API key, and what is wrong with them.

`temporal` connects with it, and `renewal` asks it again while a role runs. TLS is configured as
Temporal's own tools have it (`TEMPORAL_TLS_…` or the profile file). A key must never be logged.
"""

from __future__ import annotations

from typing import Final

from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.service import TLSConfig

from orderfleet.contracts.errors import WrongSetting
from orderfleet.runtime.settings import Settings

_HINTS: Final = {
    "PrivateKeyParseError": "TEMPORAL_TLS_CLIENT_KEY_PATH holds no private key that fits; renew both",
    "NotValidForNameContext": "Temporal's certificate is for another name; set TEMPORAL_TLS_SERVER_NAME to one it has",
    "InvalidCertificate(Expired": "Temporal's certificate has expired; renew it",
    "InvalidCertificate": "Temporal's certificate isn't by an authority that TEMPORAL_TLS_SERVER_CA_CERT_PATH holds",
    "call error after connection": "Temporal closed the connection: it may want TLS (TEMPORAL_TLS) or a client"
    " certificate of an authority it trusts (TEMPORAL_TLS_CLIENT_CERT_PATH)",
}


class WrongCredentials(WrongSetting):
    """A file that Temporal's settings name can't be used; the message says which and what to do."""


def connect_config(settings: Settings) -> ClientConnectConfig:
    """Temporal's own configuration, with the API key of our file when one is set.

    Raises:
        WrongCredentials: a file it names can't be read, or a certificate has no key.
    """
    try:
        config = ClientConfig.load_client_connect_config()
    except OSError as error:
        raise WrongCredentials(
            f"{error.filename}: can't be read: {error.strerror}; put it there or change TEMPORAL_TLS_…"
        ) from None
    except (ValueError, RuntimeError) as error:
        raise WrongCredentials(f"Temporal's settings are wrong: {error}; see TEMPORAL_… and the profile file") from None
    tls = config.get("tls")
    if isinstance(tls, TLSConfig) and (tls.client_cert is None) != (tls.client_private_key is None):
        raise WrongCredentials("TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH go together; set both")
    if settings.temporal_api_key_file is not None:
        config["api_key"] = _api_key(settings)
    return config


def explained(text: str) -> str:
    """The SDK's words on a failed connection, with what to do about it where that is known."""
    hint = next((hint for sign, hint in _HINTS.items() if sign in text), None)
    return f"{hint} ({text})" if hint else text


def _api_key(settings: Settings) -> str:
    file = settings.temporal_api_key_file
    assert file is not None
    try:
        key = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise WrongCredentials(f"{file}: can't be read: {why}; put the API key there") from None
    if not key or not key.isprintable() or " " in key:
        raise WrongCredentials(f"{file}: has to hold one API key and nothing else")
    return key
