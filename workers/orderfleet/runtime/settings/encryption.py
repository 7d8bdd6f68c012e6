"""What Temporal's history is encrypted with, and the server that opens it for Temporal's own tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from orderfleet.runtime.settings.base import Group, variable


class EncryptionSettings(Group):
    """Settings of encryption and of the codec server."""

    encryption_keys_dir: Path | None = Field(
        default=None,
        description="Folder of the keys that what Temporal stores is encrypted and read with: a file for each,"
        " named by the key's id, with 32 bytes in base64. Keys that are added are found without a restart.",
    )
    encryption_key_id: str | None = Field(
        default=None,
        min_length=1,
        description="Id of the key to encrypt with, the same for every role; unset encrypts nothing and still reads"
        " what was encrypted.",
    )

    codec_host: str = Field(default="0.0.0.0", description="Address the codec server listens on.")  # noqa: S104 - a pod is reached from outside
    codec_port: int = Field(default=8088, ge=0, le=65535, description="Port of the codec server.")
    codec_origins: str = Field(
        default="",
        description="Origins of the Temporal Web UIs whose pages may call the codec server, comma-separated:"
        " `https://temporal.example.com`. Empty lets no page.",
    )

    def codec_origin_list(self) -> list[str]:
        """The origins, one by one."""
        return [origin for each in self.codec_origins.split(",") if (origin := each.strip().rstrip("/"))]

    @model_validator(mode="after")
    def _key_has_a_folder(self) -> Any:
        if self.encryption_key_id is not None and self.encryption_keys_dir is None:
            raise ValueError(f"{variable('encryption_key_id')} needs {variable('encryption_keys_dir')}; set both")
        return self
