"""Which authorities a provider's certificate may be by: those of a file, or the system's.

`calls.client` asks before each call, so that an authority is renewed by writing its file.
"""

from __future__ import annotations

import ssl
from pathlib import Path


class Trust:
    """Certificate authorities.

    Args:
        file: of the authorities in PEM; None trusts the system's.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._stamp: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether the file is another one than `context` read last; one that is away for a moment is not."""
        try:
            return self._file is not None and self._look(self._file) != self._stamp
        except OSError:
            return False

    def context(self) -> ssl.SSLContext | bool:
        """What to verify a server by.

        Raises:
            ValueError: the file can't be read or holds no certificate; the message names it.
        """
        if self._file is None:
            return True
        try:
            stamp = self._look(self._file)
            context = ssl.create_default_context(cafile=self._file)
        except OSError as error:
            # A file without a certificate is an error of TLS, which is one of the system's for Python.
            why = "it holds no certificate" if isinstance(error, ssl.SSLError) else f"can't be read: {error.strerror}"
            raise ValueError(f"the file of authorities {self._file}: {why}") from None
        self._stamp = stamp
        return context

    @staticmethod
    def _look(file: Path) -> tuple[int, int, int]:
        found = file.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size
