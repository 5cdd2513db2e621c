"""The sentences of `infra/provider.py`, from good and bad identity providers on this machine."""

import datetime
import http.server
import json
import os
import socket
import ssl
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

from cloud import base64url
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from stack import ROOT

sys.path.insert(0, str(ROOT / "infra"))
import provider  # noqa: E402

DISCOVERY, KEYS = "/.well-known/openid-configuration", "/.well-known/jwks.json"


def rsa(kid="1", bits=2048, **others):
    return {"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": base64url(b"\xff" * (bits // 8)), "e": "AQAB", **others}


def without(key, *names):
    return {name: value for name, value in key.items() if name not in names}


EC = {"kty": "EC", "kid": "e", "use": "sig", "alg": "ES256", "crv": "P-256", "x": "x", "y": "y"}


class Provider:
    """Answers each path with a status and a body: bytes, a location, or an object for JSON."""

    def __init__(self):
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                status, body = provider.answers.get(self.path, (404, b"not found"))
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", body)
                    body = b""
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def serves(self, about=None, keys=(rsa(),)):
        """Serves good documents, except for the given parts."""
        about = {"issuer": self.url, "jwks_uri": self.url + KEYS, **(about or {})}
        self.answers = {DISCOVERY: (200, about), KEYS: (200, {"keys": list(keys)})}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def certificate(folder):
    """The file of a self-signed certificate for 127.0.0.1 and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1))
    path = Path(folder) / "certificate.pem"
    path.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


class CheckProvider(unittest.TestCase):
    def setUp(self):
        # A proxy of the environment must not stand between the test and its provider.
        self.enterContext(mock.patch.dict(os.environ, {"no_proxy": "*"}))
        self.id = Provider()
        self.addCleanup(self.id.close)

    def says(self, *words, issuer=None, jwks_url=""):
        with self.assertRaises(provider.Wrong) as raised:
            provider.check(issuer or self.id.url, jwks_url)
        for word in words:
            self.assertIn(word, str(raised.exception))

    def listener(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        return listener, f"127.0.0.1:{listener.getsockname()[1]}"

    def test_a_good_provider_passes(self):
        for keys in (
            [rsa()], [rsa(), EC], [rsa(), rsa("old")], [rsa(bits=4096)], [without(rsa(), "use", "alg")],
            [rsa(), "junk", {"kty": ["RSA"]}], [rsa(n=base64url(b"\0" + b"\xff" * 256))],
        ):
            with self.subTest(keys):
                self.id.serves(keys=keys)
                provider.check(self.id.url, "")
                provider.check(self.id.url, self.id.url + KEYS)

    def test_an_issuer_may_have_a_path_and_end_in_a_slash(self):
        for end, own in (("", "/realm/.well-known/jwks.json"), ("/", "/realm//.well-known/jwks.json")):
            with self.subTest(end):
                issuer, uri = f"{self.id.url}/realm{end}", f"{self.id.url}/keys"
                self.id.answers = {
                    "/realm" + DISCOVERY: (200, {"issuer": issuer, "jwks_uri": uri}),
                    "/keys": (200, {"keys": [rsa()]}),
                }
                provider.check(issuer, uri)
                self.says(f"{self.id.url}{own}, but it answers with status 404", f"set JwksUrl={uri}", issuer=issuer)

    def test_an_unknown_host_is_named(self):
        unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        with mock.patch("socket.getaddrinfo", side_effect=unknown):
            self.says(f"https://id.example.com{DISCOVERY}", "host `id.example.com` is not found", "set JwtIssuer", issuer="https://id.example.com")

    def test_a_refused_connection_is_explained(self):
        listener, address = self.listener()
        listener.close()
        self.says("refuses the connection", "start the identity provider", "JwtIssuer", issuer=f"http://{address}")

    def test_a_timeout_is_explained(self):
        # The kernel accepts the connection. The test never answers.
        _, address = self.listener()
        with mock.patch("provider.TIMEOUT_SECONDS", 0.05):
            self.says("does not answer within 0.05 s", "reachable from the internet", issuer=f"http://{address}")

    def test_a_closed_connection_is_explained(self):
        listener, address = self.listener()

        def hang_up():
            caller, _ = listener.accept()
            with caller:
                caller.recv(65536)

        thread = threading.Thread(target=hang_up)
        thread.start()
        self.says("the request fails (Remote end closed connection", "set JwtIssuer", issuer=f"http://{address}")
        thread.join()

    def test_plain_http_behind_an_https_url_is_explained(self):
        self.says("TLS fails", "serve HTTPS", issuer=self.id.url.replace("http:", "https:"))

    def test_an_invalid_certificate_is_explained(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            context.load_cert_chain(certificate(folder))
        listener, address = self.listener()

        def shake_hands():
            caller, _ = listener.accept()
            with caller:
                try:
                    context.wrap_socket(caller, server_side=True).close()
                except OSError:
                    pass

        thread = threading.Thread(target=shake_hands)
        thread.start()
        self.says("certificate is not valid (self-signed certificate)", "public authority", issuer=f"https://{address}")
        thread.join()

    def test_a_status_other_than_200_is_named(self):
        for status, remedy in ((404, "set JwtIssuer"), (403, "serve it with status 200"), (503, "serve it with status 200")):
            with self.subTest(status):
                self.id.serves()
                self.id.answers[DISCOVERY] = (status, b"<html>")
                self.says(f"status {status}", remedy)

    def test_an_answer_that_is_no_json_object_is_explained(self):
        for body, word in (
            (b"<html>", "not JSON"), (b"", "not JSON"), (b"\xff", "not JSON"), (b"[" * 100_000, "not JSON"),
            ([], "not a JSON object"), (b" " * (1024 * 1024 + 1), "larger than 1 MiB"),
        ):
            with self.subTest(word):
                self.id.serves()
                self.id.answers[DISCOVERY] = (200, body)
                self.says(word, "set JwtIssuer")

    def test_a_url_that_is_no_url_is_explained(self):
        for issuer in ("https://id example.com", "https://127.0.0.1:port", "https://.example.com", "https:///x"):
            with self.subTest(issuer):
                self.says("the request fails (", "set JwtIssuer", issuer=issuer)

    def test_a_missing_issuer_is_named(self):
        for issuer in (None, 1):
            self.id.serves({"issuer": issuer})
            self.says("names no `issuer`", "set JwtIssuer")

    def test_another_issuer_is_compared_with_the_given_one(self):
        for issuer, word in (
            (f"{self.id.url}/", "in the slash at the end"), (self.id.url.upper(), "in upper and lower case"),
            (self.id.url.replace("127", "128"), "from character 10 on"), (f"{self.id.url}/realm", f"from character {len(self.id.url) + 1} on"),
        ):
            with self.subTest(issuer):
                self.id.serves({"issuer": issuer})
                self.says(f"`{self.id.url}`", word, f"set JwtIssuer={issuer},")

    def test_the_keys_need_an_https_url(self):
        for uri in (None, 1, "", "jwks.json", "file:///etc/passwd", "http://id.example.com/keys"):
            with self.subTest(uri):
                self.id.serves({"jwks_uri": uri})
                self.says("no https URL as its `jwks_uri`")

    def test_unreadable_keys_are_explained(self):
        self.id.serves({"jwks_uri": self.id.url + "/none"})
        self.says(f"API Gateway reads {self.id.url}/none, but it answers with status 404", f"correct the `jwks_uri` in {self.id.url}{DISCOVERY}")

    def test_missing_keys_are_named(self):
        for document in ({}, {"keys": []}, {"keys": "none"}, {"keys": [1]}):
            with self.subTest(document):
                self.id.serves()
                self.id.answers[KEYS] = (200, document)
                self.says("contains no keys", "RS256")

    def test_ec_keys_alone_are_not_enough(self):
        for keys in ([EC], [EC, without(EC, "use", "alg")], [EC, rsa(use="enc")]):
            with self.subTest(keys):
                self.id.serves(keys=keys)
                self.says("only EC keys", "does not accept ES256", "RSA key")

    def test_an_rsa_key_that_signs_no_rs256_is_not_enough(self):
        for key in (
            rsa(use="enc"), rsa(alg="RS512"), rsa(alg="PS256"), rsa(bits=1024), rsa(bits=8192), rsa(n="AQ"), rsa(n=7), rsa(n="x"),
            without(rsa(), "kid"), without(rsa(), "n"), {"kty": "OKP", "kid": "o", "crv": "Ed25519"},
        ):
            with self.subTest(key):
                self.id.serves(keys=[key])
                self.says("no RSA key of 2048 to 4096 bits")

    def test_keys_elsewhere_need_jwks_url(self):
        uri = self.id.url + "/keys"
        keys = (200, {"keys": [rsa("new"), EC]})
        for answer, word in (
            ((200, {"keys": [rsa("old")]}), "read other keys"), ((200, {"keys": [rsa("new"), rsa("old")]}), "read other keys"),
            ((200, {}), "read other keys"), ((404, b""), "status 404"), ((200, b"<html>"), "not JSON"),
        ):
            with self.subTest(answer):
                self.id.serves({"jwks_uri": uri})
                self.id.answers["/keys"] = keys
                self.id.answers[KEYS] = answer
                self.says("the functions and the edges", word, f"set JwksUrl={uri}")
                provider.check(self.id.url, uri)
        # The same keys under two URLs.
        self.id.answers[KEYS] = keys
        provider.check(self.id.url, "")

    def test_a_redirect_of_the_keys_needs_jwks_url(self):
        self.id.serves()
        self.id.answers["/keys_now"] = self.id.answers[KEYS]
        self.id.answers[KEYS] = (302, "/keys_now")
        self.says("follow no redirect", f"set JwksUrl={self.id.url}/keys_now")
        provider.check(self.id.url, self.id.url + "/keys_now")

    def test_a_redirect_of_the_configuration_is_followed(self):
        self.id.serves()
        self.id.answers["/about"] = self.id.answers[DISCOVERY]
        self.id.answers[DISCOVERY] = (302, "/about")
        provider.check(self.id.url, "")
