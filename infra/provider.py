"""Checks whether API Gateway, the functions and the edges can use the identity provider."""

import base64
import http.client
import json
import os
import re
import socket
import ssl
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from account import Wrong

TIMEOUT_SECONDS = 10
DOCUMENT_BYTES = 1024 * 1024
# RSA keys that the functions and the edges accept (crates/server/src/auth/jwks.rs): 2048 to 4096 bits.
MODULUS_BYTES = range(256, 513)
# As in the pattern of JwksUrl: urllib would also open `file:` and `ftp:`.
KEYS_URL = r"https://.+|http://127\.0\.0\.1:.+"


class Unread(Exception):
    """Why a document cannot be read, and a remedy. `{}` in the remedy stands for a correction of the URL."""

    def __init__(self, problem, remedy="{}"):
        super().__init__(problem)
        self.remedy = remedy


def check(issuer, jwks_url):
    """Checks what API Gateway reads, then what the functions and the edges read."""
    uri, keys, end = read_by_gateway(issuer)
    # The default is the template's.
    url = jwks_url or f"{issuer}/.well-known/jwks.json"
    if url != uri:
        own, end = read_by_programs(url, uri)
        if own != keys:
            raise Wrong(f"the functions and the edges read other keys at {url} than API Gateway at {uri}: set JwksUrl={uri}")
    if end != url:
        raise Wrong(f"the functions and the edges follow no redirect, but {url} redirects to {end}: set JwksUrl={end}")


def read_by_gateway(issuer):
    """The URL of the keys, their ids, and the URL after redirects."""
    url = f"{issuer.removesuffix('/')}/.well-known/openid-configuration"
    set_issuer = "set JwtIssuer to the `iss` claim of your identity provider's tokens"
    about, _ = read(url, set_issuer)
    published, uri = about.get("issuer"), about.get("jwks_uri")
    if not isinstance(published, str):
        raise Wrong(f"{url} names no `issuer`, so it is no OpenID configuration: {set_issuer}")
    if published != issuer:
        raise Wrong(
            f"JwtIssuer `{issuer}` and the provider's `issuer` `{plain(published)}` differ {difference(issuer, published)}: "
            f"set JwtIssuer={plain(published)}, which must also be the `iss` claim of the tokens"
        )
    if not isinstance(uri, str) or not re.fullmatch(KEYS_URL, uri):
        raise Wrong(f"{url} names no https URL as its `jwks_uri`: make the identity provider publish its keys there")
    document, end = read(uri, f"correct the `jwks_uri` in {url}")
    keys = keys_of(document)
    ids = usable(keys)
    if not keys:
        raise Wrong(f"{uri} contains no keys: create an RSA key for RS256 at the identity provider")
    if not ids and {str(key.get("kty")) for key in keys if signs(key)} == {"EC"}:
        raise Wrong(f"{uri} contains only EC keys, but API Gateway does not accept ES256: make the identity provider sign with an RSA key and RS256")
    if not ids:
        raise Wrong(f"{uri} contains no RSA key of 2048 to 4096 bits with a `kid` for RS256 signatures: make the identity provider sign with such a key")
    return uri, ids, end


def read_by_programs(url, uri):
    """The ids of the keys at the URL, and the URL after redirects."""
    try:
        document, end = fetch(url)
    except Unread as problem:
        raise Wrong(f"the functions and the edges read {url}, but {problem}: set JwksUrl={uri}") from None
    return usable(keys_of(document)), end


def plain(text):
    """The text without what could command a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def difference(one, other):
    """Where two issuers differ."""
    if one.rstrip("/") == other.rstrip("/"):
        return "in the slash at the end"
    if one.lower() == other.lower():
        return "in upper and lower case"
    return f"from character {len(os.path.commonprefix([one, other])) + 1} on"


def keys_of(document):
    keys = document.get("keys")
    return [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []


def signs(key):
    return key.get("use") in (None, "sig")


def usable(keys):
    """The ids of the keys that API Gateway, the functions and the edges accept."""
    return {
        key["kid"] for key in keys
        if key.get("kty") == "RSA" and signs(key) and key.get("alg") in (None, "RS256")
        and isinstance(key.get("kid"), str) and modulus_bytes(key) in MODULUS_BYTES
    }


def modulus_bytes(key):
    text = str(key.get("n"))
    try:
        return len(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).lstrip(b"\0"))
    except ValueError:
        return 0


def read(url, correction):
    """A document that API Gateway reads."""
    try:
        return fetch(url)
    except Unread as problem:
        raise Wrong(f"API Gateway reads {url}, but {problem}: {problem.remedy.format(correction)}") from None


def fetch(url):
    """The JSON object at the URL, and the URL after redirects."""
    # Some providers block the name that urllib gives itself.
    headers = {"Accept": "application/json", "User-Agent": "runnel-check"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as answer:
            body, end = answer.read(DOCUMENT_BYTES + 1), answer.url
    except urllib.error.HTTPError as error:
        error.close()
        raise Unread(
            f"it answers with status {error.code}",
            "{}" if error.code == 404 else "make the identity provider serve it with status 200, or {}",
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise unread(url, error.reason if isinstance(error, urllib.error.URLError) else error) from None
    if len(body) > DOCUMENT_BYTES:
        raise Unread("its answer is larger than 1 MiB")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Unread("its answer is not JSON") from None
    if not isinstance(document, dict):
        raise Unread("its answer is not a JSON object")
    return document, end


def unread(url, error):
    """The problem and the remedy for an error of the network."""
    match error:
        case socket.gaierror():
            return Unread(f"its host `{urlsplit(url).hostname}` is not found ({error.strerror})")
        case ConnectionRefusedError():
            return Unread("its host refuses the connection", "start the identity provider, or {}")
        case TimeoutError():
            return Unread(
                f"it does not answer within {TIMEOUT_SECONDS} s",
                "make the identity provider reachable from the internet, or {}",
            )
        case ssl.SSLCertVerificationError():
            return Unread(
                f"its TLS certificate is not valid ({error.verify_message})",
                "give the identity provider a certificate of a public authority, or {}",
            )
        case ssl.SSLError():
            return Unread(f"TLS fails ({error.reason or error})", "make the identity provider serve HTTPS there, or {}")
    return Unread(f"the request fails ({error})")
