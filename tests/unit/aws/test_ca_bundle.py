import re
import ssl

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from penstock.aws import ca_bundle

ENTRY = re.compile(r"^# (.+), valid until (\S+)\n(-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n)", re.M)


@pytest.fixture(scope="module")
def entries() -> list[tuple[str, str, x509.Certificate]]:
    found = ENTRY.findall(ca_bundle.path().read_text("ascii"))
    return [(name, until, x509.load_pem_x509_certificate(pem.encode())) for name, until, pem in found]


def common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_every_certificate_has_a_true_heading(entries):
    assert len(entries) == ca_bundle.path().read_text().count("BEGIN CERTIFICATE")
    for name, until, certificate in entries:
        assert (name, until) == (common_name(certificate), str(certificate.not_valid_after_utc.date()))


def test_they_are_roots_of_amazon_sorted_and_each_is_there_once(entries):
    names = [name for name, _, _ in entries]
    assert names == sorted(set(names))
    for _, _, certificate in entries:
        certificate.verify_directly_issued_by(certificate)
        assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        organisation = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value
        assert organisation == "Amazon Web Services, Inc."


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2"])
@pytest.mark.parametrize("key", ["RSA2048", "RSA4096", "ECC384"])
def test_the_roots_of_a_region_are_in_it(entries, region, key):
    assert f"Amazon RDS {region} Root CA {key} G1" in [name for name, _, _ in entries]


def test_the_note_counts_certificates_and_names_regions(entries):
    note = ca_bundle.path().with_suffix(".txt").read_text()
    regions = {name.split()[2] for name, _, _ in entries}
    assert f"{len(entries)} self-signed root certificates" in note
    assert f"of {len(regions)} regions" in note
    listed = note.split("regions:\n")[1].split("They were made")[0].split()
    assert listed == sorted(regions)


def test_a_client_can_load_all_of_them(entries):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=str(ca_bundle.path()))
    assert context.cert_store_stats()["x509_ca"] == len(entries)
