"""Encryption of what Temporal stores: the keys, the codec that uses them, and the one data converter.

Every client of Temporal is made with `data_converter`; nothing else may convert a payload.
"""

from orderfleet.runtime.encryption.codec import KEY_ID, EncryptionCodec
from orderfleet.runtime.encryption.converter import data_converter, for_worker
from orderfleet.runtime.encryption.keys import Keys, WrongKeys

__all__ = ["KEY_ID", "EncryptionCodec", "Keys", "WrongKeys", "data_converter", "for_worker"]
