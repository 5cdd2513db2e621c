"""A cloud on this machine, an identity provider, and the SAM CLI: what story.py deploys to and with.

With AWS_ENDPOINT_URL set, that cloud is used instead of a fresh ministack.
"""

import base64
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/out"


def until(what, holds, seconds=90):
    """Waits until `holds` answers with something, and gives that back."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"waited {seconds} s in vain until {what}"
        time.sleep(0.1)
    return found


def ships(program):
    """Fails for a program with planted mistakes: those are for the simulator alone."""
    assert b"PLANTED_MISTAKE" not in Path(program).read_bytes(), f"{program} has mistakes planted"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def listens(port):
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """An identity provider with one RSA key; by TLS, if it is given the files of a certificate and its key."""

    def __init__(self, certificate=None):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = self.key.public_key().public_numbers()
        n, e = (base64url(v.to_bytes((v.bit_length() + 7) // 8)) for v in (numbers.n, numbers.e))
        keys = {"keys": [{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": n, "e": e}]}
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                about = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/.well-known/jwks.json"}
                body = json.dumps(keys if self.path.endswith("jwks.json") else about).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def token(self, user, audience="runnel", lives=3600):
        now = int(time.time())
        claims = {"iss": self.url, "aud": audience, "sub": user, "iat": now, "exp": now + lives}
        parts = ({"alg": "RS256", "kid": "1", "typ": "JWT"}, claims)
        signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{base64url(signature)}"


class Cloud:
    """Where AWS is. Leaving it ends what was started."""

    def __init__(self, ministack):
        self.children = []
        self.endpoint = os.environ.get("AWS_ENDPOINT_URL")
        self.environment = {
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "SAM_CLI_TELEMETRY": "0", **os.environ,
        }
        OUT.mkdir(exist_ok=True)
        if not self.endpoint:
            port = free_port()
            self.endpoint = self.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
            # AUTH: roles have to allow what is done. The endpoint is handed on to the functions.
            settings = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "IOT_MTLS_ENABLED": "0", "AUTH": "true"}
            self.start("ministack", [ministack], settings)
            until("ministack serves", self.serves)

    def serves(self):
        try:
            return urllib.request.urlopen(f"{self.endpoint}/_localstack/health", timeout=5).status == 200
        except OSError:
            return False

    def start(self, name, command, settings):
        log = open(OUT / f"{name}.log", "w")
        child = subprocess.Popen(command, env={**self.environment, **settings}, stdout=log, stderr=log)
        self.children.append(child)
        return child

    def client(self, service, credentials=None):
        keys = credentials or {
            "aws_access_key_id": self.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.environment["AWS_SECRET_ACCESS_KEY"],
        }
        # One try: what is denied is to be seen.
        return boto3.client(service, endpoint_url=self.endpoint, region_name="us-east-1",
                            config=Config(retries={"max_attempts": 1}), **keys)

    def sam(self, *words, **settings):
        """Runs the SAM CLI, and answers with what it said."""
        done = subprocess.run(["sam", *words], cwd=ROOT, env={**self.environment, **settings}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        with open(OUT / "sam.log", "a") as log:
            log.write(f"$ sam {' '.join(words)}\n{done.stdout}\n")
        assert done.returncode == 0, f"sam {' '.join(words)}\n{done.stdout}"
        return done.stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.terminate()
            child.wait(30)
