from __future__ import annotations

import inspect
import io
import json
import os
import subprocess
import sys
import urllib.request
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import settings

from heedful import Page
from heedful.ledger import LedgerReader
from heedful.testing import GALLERY, serve

# The machine's speed is not what is tested.
settings.register_profile("heedful", deadline=None, derandomize=True)
settings.load_profile("heedful")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory):
    """Nothing is read from, or left in, the user's cache: ports are used again, by other servers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("HEEDFUL_CACHE", raising=False)
        yield


@pytest.fixture
def heedful():
    """Run the real program; its output and exit code."""

    def run(*args, cwd=None, stdin=None, **environment):
        return subprocess.run(
            [sys.executable, "-m", "heedful.cli", *map(str, args)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=cwd,
            input=stdin,
            env={**os.environ, "COLUMNS": "100", **environment},
        )

    return run


@pytest.fixture(scope="module")
def gallery():
    """The gallery, served."""
    with serve(GALLERY) as running:
        yield running


@pytest.fixture(scope="module")
def registry(gallery, tmp_path_factory):
    """The gallery's registry, built."""
    return gallery.registry(tmp_path_factory.mktemp("registry") / "gallery.heed")


@pytest.fixture(scope="module")
def pages(gallery):
    """The pages of the gallery, by the URLs of the pictures on them."""
    found = {}
    for exhibit in GALLERY.exhibits:
        url = gallery.url(exhibit.shown_on or exhibit.site)
        with urllib.request.build_opener().open(url) as answer:
            html = answer.read().decode()
            found[gallery.exhibit_url(exhibit)] = Page(url, tuple(answer.headers.items()), html)
    return found


@pytest.fixture
def records(tmp_path):
    """Read what is in the test's ledger, all of which must be whole."""

    def read():
        reader = LedgerReader(str(tmp_path / "ledger"))
        found = list(reader)
        assert reader.faults == []
        return found

    return read


@pytest.fixture(scope="session")
def signing_chain():
    """Make a certificate chain as C2PA wants it: a root and a leaf for ES256; PEM of chain and key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    encoding = serialization.Encoding.PEM
    now, day = datetime.now(timezone.utc), timedelta(days=1)
    root_key = ec.generate_private_key(ec.SECP256R1())

    def certificate(name, key, start, end, *extensions, authority=False):
        usage = dict.fromkeys(inspect.signature(x509.KeyUsage).parameters, False)
        builder = (
            x509.CertificateBuilder(extensions=[])
            .subject_name(x509.Name.from_rfc4514_string(f"CN={name},O=Gallery"))
            .issuer_name(x509.Name.from_rfc4514_string("CN=root,O=Gallery"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(
                x509.KeyUsage(**usage | {"digital_signature": True, "key_cert_sign": authority}),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(root_key, hashes.SHA256()).public_bytes(encoding).decode()

    root = certificate("root", root_key, now - 900 * day, now + 900 * day, authority=True)

    def make(*, end=now + 30 * day, ocsp=None):
        key = ec.generate_private_key(ec.SECP256R1())
        extensions = [
            x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
        ]
        if ocsp:
            place = x509.UniformResourceIdentifier(ocsp)
            method = x509.AuthorityInformationAccessOID.OCSP
            extensions.append(x509.AuthorityInformationAccess([x509.AccessDescription(method, place)]))
        leaf = certificate("leaf", key, now - day, end, *extensions)
        secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return leaf + root, secret.decode()

    return make


@pytest.fixture(scope="session")
def c2pa_signed(signing_chain):
    """Sign files with c2pa-python: a function of the file, its media type and assertions by label."""
    c2pa = pytest.importorskip("c2pa")
    usual = signing_chain()

    def sign(data, media_type, assertions, *, chain=usual, remote=None, embedded=True, ingredient=None):
        source = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCreation"
        created = {"actions": [{"action": "c2pa.created", "digitalSourceType": source}]}
        definition = {
            "claim_generator_info": [{"name": "gallery", "version": "1"}],
            "format": media_type,
            "assertions": [
                {"label": label, "data": value}
                for label, value in {"c2pa.actions.v2": created, **assertions}.items()
            ],
        }
        settings = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
        info = c2pa.C2paSignerInfo(b"es256", *(part.encode() for part in chain), None)
        out = io.BytesIO()
        with (
            c2pa.Signer.from_info(info) as signer,
            c2pa.Context.from_dict(settings) as context,
            c2pa.Builder(json.dumps(definition), context) as builder,
        ):
            if remote:
                builder.set_remote_url(remote)
            if not embedded:
                builder.set_no_embed()
            if ingredient:
                relation = {"title": "part", "relationship": "componentOf"}
                builder.add_ingredient(relation, media_type, io.BytesIO(ingredient))
            builder.sign(signer, media_type, io.BytesIO(data), out)
        return out.getvalue()

    return sign
