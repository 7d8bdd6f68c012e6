"""The certificates of the local Kubernetes API server, made once per state folder.

`apiserver` calls it. Private keys are readable by their owner only. It must never be used for
anything but a server on this machine.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = dt.timedelta(days=3650)
_SERVICE_ADDRESS = "10.96.0.1"
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files of one state folder."""

    folder: Path

    def file(self, name: str) -> Path:
        """Return a file such as `ca.crt`, `server.key` or `admin.crt`."""
        return self.folder / name


def ensure(folder: Path) -> Certificates:
    """Return the certificates in `folder`, made now if there are none.

    They are an authority `ca`, the server's `server`, the administrator's `admin`, and the key
    pair `accounts` (`.key`, `.pub`) that signs service account tokens.
    """
    if folder.exists():
        return Certificates(folder)
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True, mode=0o700)
    authority_key, authority = _authority(new)
    _issue(new, "server", x509.Name(_name("kube-apiserver")), authority_key, authority, server=True)
    admin = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"), *_name("admin")])
    _issue(new, "admin", admin, authority_key, authority, server=False)
    accounts = ec.generate_private_key(ec.SECP256R1())
    _write_key(new / "accounts.key", accounts)
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (new / "accounts.pub").write_bytes(accounts.public_key().public_bytes(serialization.Encoding.PEM, public))
    new.rename(folder)
    return Certificates(folder)


def _authority(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(_name("orderfleet-local"))
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    _write_key(folder / "ca.key", key)
    (folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key, certificate


def _issue(
    folder: Path,
    file_name: str,
    subject: x509.Name,
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    *,
    server: bool,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(subject, authority.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            # Newer Python versions refuse a chain without it.
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    if server:
        addresses = (ipaddress.ip_address(a) for a in ("127.0.0.1", _SERVICE_ADDRESS))
        names = [*(x509.DNSName(n) for n in _NAMES), *(x509.IPAddress(a) for a in addresses)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(authority_key, hashes.SHA256())
    _write_key(folder / f"{file_name}.key", key)
    (folder / f"{file_name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # Clocks of virtual machines may jump back a little.
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _name(common: str) -> list[x509.NameAttribute[str]]:
    return [x509.NameAttribute(NameOID.COMMON_NAME, common)]


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
