"""Runs the image of the edges as a container engine would: its own root, read-only, and as its own user.

    container.py PROGRAM RUNNEL

PROGRAM is a static `sse-edge`, RUNNEL the one that serves the emulators. The identity provider is reached by TLS, with
a certificate that only the CA bundle in the image knows. Needs root, as a container engine does.
"""

import datetime
import gzip
import io
import ipaddress
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

from cloud import ROOT, Issuer, free_port, ships, until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from doors import Doors

# MiB: what an edge costs to pull.
SIZE_MOST = 20
# Its own file system, read-only, and no right that its user does not need.
ENTER = """
mount --bind "$0" "$0"
mount -o remount,bind,ro "$0"
exec chroot --userspec="$1" "$0" /sse-edge
"""


def authority(folder):
    """A CA of our own, and the files of a certificate of 127.0.0.1 that it has signed."""
    now = datetime.datetime.now(datetime.UTC)

    def certificate(name, key, issuer, issuer_key, extension):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        return builder.add_extension(extension, critical=False).sign(issuer_key, hashes.SHA256())

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate("a CA of our own", root_key, None, root_key, x509.BasicConstraints(ca=True, path_length=None))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = certificate("127.0.0.1", key, root.subject, root_key, names)
    pem = serialization.Encoding.PEM
    (folder / "leaf.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "leaf.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return root.public_bytes(pem), (folder / "leaf.pem", folder / "leaf.key")


def image_of(program, bundle, folder):
    archive = folder / "edge.tar"
    subprocess.run([sys.executable, "-B", ROOT / "infra/image.py", program, "--ca-bundle", bundle, "--out", archive],
                   check=True, stdout=subprocess.DEVNULL)
    return archive


def unpacked(archive, folder):
    """The root file system and the user of an image."""
    with tarfile.open(archive) as image:
        def blob(described):
            return image.extractfile(f"blobs/{described['digest'].replace(':', '/')}").read()
        [first] = json.load(image.extractfile("index.json"))["manifests"]
        manifest = json.loads(blob(first))
        config = json.loads(blob(manifest["config"]))["config"]
        root = folder / "root"
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob(layer)))) as files:
                files.extractall(root, filter="tar")
    return root, config


def is_ready(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/ready", timeout=5).status == 200
    except OSError:
        return False


def runs(program, runnel, folder):
    ships(program)
    ca, files = authority(folder)
    (folder / "bundle.pem").write_bytes(ca)
    archive = image_of(program, folder / "bundle.pem", folder)
    size = archive.stat().st_size / 2**20
    assert size < SIZE_MOST, f"the image has {size:.1f} MiB"
    root, config = unpacked(archive, folder)
    issuer, cloud, port = Issuer(files), free_port(), free_port()
    emulators = subprocess.Popen([runnel, "emulators", "--listen", f"127.0.0.1:{cloud}", "--data-dir", folder / "data"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    settings = {
        **dict(setting.split("=", 1) for setting in config["Env"]), "RUNNEL_LISTEN": f"127.0.0.1:{port}",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{cloud}", "RUNNEL_JWT_ISSUER": issuer.url, "RUNNEL_JWT_AUDIENCE": "runnel",
        "RUNNEL_JWKS_URL": f"{issuer.url}/.well-known/jwks.json", "RUNNEL_DRAIN_SECONDS": "1",
    }
    log = open(folder / "edge.log", "w+")
    try:
        until("the emulators serve", lambda: subprocess.run(
            ["curl", "-s", "-o", os.devnull, f"http://127.0.0.1:{cloud}"], check=False).returncode == 0)
        edge = subprocess.Popen(["unshare", "--mount", "sh", "-ec", ENTER, root, config["User"]],
                                env={"PATH": os.environ["PATH"], **settings}, stdout=log, stderr=log)
        try:
            until("the edge is ready", lambda: edge.poll() is not None or is_ready(port))
            assert edge.poll() is None, f"it ended: {Path(log.name).read_text()}"
            user = Path(f"/proc/{edge.pid}/status").read_text()
            assert "Uid:\t65532\t65532" in user and "Gid:\t65532\t65532" in user, user
            stream = Doors(f"http://127.0.0.1:{port}", "", "edge").stream(issuer.token("alice"))
            assert stream.next("hello")
            edge.terminate()
            assert stream.next("bye")[1]["reason"] == "drain"
            assert edge.wait(60) == 0
        finally:
            edge.kill()
    finally:
        emulators.kill()
        emulators.wait()
    print(f"the image has {size:.1f} MiB; its program ran with a read-only root as {config['User']}, knew the CA of its "
          "bundle, streamed, and drained")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        # Its user has to be let in.
        os.chmod(temporary, 0o755)
        runs(*map(Path, sys.argv[1:]), Path(temporary))
