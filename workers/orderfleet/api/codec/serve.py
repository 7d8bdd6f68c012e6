"""Runs the codec server as a process. `orderfleet codec` calls it."""

from __future__ import annotations

from orderfleet.api.auth.choice import access_of
from orderfleet.api.codec.app import CodecServices, create_codec_app
from orderfleet.api.server import serve
from orderfleet.api.startup import UnsafeSettings
from orderfleet.runtime.encryption import EncryptionCodec, Keys
from orderfleet.runtime.listening import listen
from orderfleet.runtime.process import Stop
from orderfleet.runtime.settings import ApiAuth, Environment, Settings


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until asked to stop.

    Raises:
        UnsafeSettings: there are no keys, or everyone would be let in outside a local stack.
        WrongKeys: the key to encrypt with can't be read.
        WrongTokensFile: see `auth.tokens`.
        PortTaken: address or port can't be listened on.
    """
    if settings.encryption_keys_dir is None:
        raise UnsafeSettings("ORDERFLEET_ENCRYPTION_KEYS_DIR isn't set: without keys the codec server opens nothing")
    if settings.api_auth is ApiAuth.NONE and settings.environment is not Environment.LOCAL:
        raise UnsafeSettings("ORDERFLEET_API_AUTH is none: the codec server would show every order; use tokens or jwt")
    access = access_of(settings)
    codec = EncryptionCodec(Keys(settings.encryption_keys_dir, settings.encryption_key_id))
    app = create_codec_app(
        CodecServices(access, codec), settings.codec_origin_list(), read_timeout=settings.api_read_timeout
    )
    listener = listen(settings.codec_host, settings.codec_port, "CODEC")
    await serve(app, listener, stop, settings)
