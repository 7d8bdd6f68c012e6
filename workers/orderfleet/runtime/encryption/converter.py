"""The data converter of every client of Temporal: pydantic models, encrypted where the settings say so.

`runtime.temporal` makes clients with it. Every process of an installation needs the same one.
"""

from __future__ import annotations

import dataclasses

from temporalio.converter import DataConverter

from orderfleet.runtime.converter import DATA_CONVERTER, WorkerPayloadConverter
from orderfleet.runtime.encryption.codec import EncryptionCodec
from orderfleet.runtime.encryption.keys import Keys
from orderfleet.runtime.failures import BoundedFailureConverter, SealedFailureConverter
from orderfleet.runtime.settings import Settings


def data_converter(settings: Settings) -> DataConverter:
    """The converter as the settings say; with a key, messages and stack traces of failures are encrypted too.

    Raises:
        WrongKeys: the key to encrypt with can't be read.
    """
    keys = Keys(settings.encryption_keys_dir, settings.encryption_key_id)
    return dataclasses.replace(
        DATA_CONVERTER,
        payload_codec=EncryptionCodec(keys),
        failure_converter_class=SealedFailureConverter if keys.active else BoundedFailureConverter,
    )


def for_worker(converter: DataConverter) -> DataConverter:
    """The converter of a worker: one that hands on what it can't read as an `Unreadable`, where a client's raises.

    A payload whose key is missing still raises: it is a matter of the installation, not of what was sent.
    """
    codec = converter.payload_codec
    return dataclasses.replace(
        converter,
        payload_converter_class=WorkerPayloadConverter,
        payload_codec=codec.for_worker() if isinstance(codec, EncryptionCodec) else codec,
    )
