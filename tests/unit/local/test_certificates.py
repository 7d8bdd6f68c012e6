"""The certificates of the local API server."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from orderfleet_local.stack import certificates


def test_certificates_are_created_once_with_the_names_for_kubernetes(tmp_path):
    created = certificates.ensure(tmp_path / "pki")
    assert {path.name for path in created.folder.iterdir()} == {
        "ca.crt",
        *(f"{name}.{kind}" for name in ("server", "admin", "accounts") for kind in ("crt", "key")),
    }
    assert {path.stat().st_mode & 0o077 for path in created.folder.glob("*.key")} == {0}
    subject = x509.load_pem_x509_certificate(created.file("admin.crt").read_bytes()).subject
    assert [each.value for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["system:masters"]
    assert [each.value for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["admin"]
    before = created.file("ca.crt").read_bytes()
    assert certificates.ensure(tmp_path / "pki").file("ca.crt").read_bytes() == before


def test_certificates_of_an_earlier_version_are_replaced(tmp_path):
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "accounts.pub").touch()
    assert certificates.ensure(tmp_path / "pki").file("accounts.crt").exists()
    assert not (tmp_path / "pki" / "accounts.pub").exists()
