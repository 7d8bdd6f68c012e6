"""The certificates of the local Kubernetes API server, created once per stack folder.

Private keys are readable by their owner only. They must never be used for anything but a server on this machine.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import trustme

_SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", "10.96.0.1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files of one stack."""

    folder: Path

    def file(self, name: str) -> Path:
        """Return a file such as `ca.crt`, `server.key` or `admin.crt`."""
        return self.folder / name


def ensure(folder: Path) -> Certificates:
    """Return the certificates in `folder`; create them if there are none.

    They are the authority's `ca.crt`, and pairs of `.crt` and `.key`: the server's `server`, the administrator's
    `admin`, and `accounts`, whose key signs service account tokens.
    """
    if (folder / "accounts.crt").exists():
        return Certificates(folder)
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True, mode=0o700)
    authority = trustme.CA(path_length=0)
    authority.cert_pem.write_to_path(new / "ca.crt")
    # Kubernetes reads the user from the common name and its groups from the organizations.
    for name, pair in {
        "server": authority.issue_cert(*_SERVER_NAMES, common_name="kube-apiserver"),
        "admin": authority.issue_cert("admin", common_name="admin", organization_name="system:masters"),
        "accounts": authority.issue_cert("accounts"),
    }.items():
        pair.cert_chain_pems[0].write_to_path(new / f"{name}.crt")
        key = new / f"{name}.key"
        key.touch(mode=0o600)
        pair.private_key_pem.write_to_path(key)
    # An earlier version created other files.
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    return Certificates(folder)
