"""Write the image of the edges, an OCI archive, and push it to Amazon ECR. Needs no Docker and no base image.

    python3 infra/image.py PROGRAM [--ca-bundle FILE] [--out FILE] [--push REGISTRY/NAME:TAG]

PROGRAM is a static `sse-edge` for Linux. The image contains this program and a CA bundle, and nothing else. With the
same Python, the same two files give the same image. `--push` needs the Python that has the SAM CLI.
"""

import argparse
import gzip
import hashlib
import importlib.util
import io
import json
import re
import struct
import sys
import tarfile
from collections import namedtuple
from pathlib import Path

USER = "65532:65532"
PORT = 8080
# The name under which `docker load` and `podman load` file the image.
NAME, TAG = "runnel-edge", "latest"
# Where rustls looks for certificates. Debian and its derivatives, Fedora and its derivatives, Alpine and macOS.
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
BUNDLES = (f"/{BUNDLE}", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

# elf(5). Architectures by e_machine, as OCI names them.
ARCHITECTURES = {0x3E: "amd64", 0xB7: "arm64"}
ET_EXEC, ET_DYN = 2, 3
PT_DYNAMIC, PT_INTERP = 2, 3
DT_NULL, DT_NEEDED = 0, 1
STATIC = "build it for a musl target, such as aarch64-unknown-linux-musl"

Image = namedtuple("Image", "architecture config layer manifest")
Target = namedtuple("Target", "text account region name tag")


class Wrong(Exception):
    """A problem and its remedy, in one sentence. Unlike `account.Wrong`, it needs no boto3."""


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def encoded(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def contents(path, what):
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Wrong(f"cannot read {what} {path}: {error.strerror}") from None


def architecture_of(path, program):
    """The architecture of a static ELF program. Refuses every other file."""
    if program[:4] != b"\x7fELF":
        raise Wrong(f"{path} is no ELF file: give the `sse-edge` that was built for Linux, not a script or a program for another system")
    try:
        # 64 bits, little-endian.
        machine = struct.unpack_from("<H", program, 18)[0] if program[4:6] == b"\2\1" else None
        if machine not in ARCHITECTURES:
            raise Wrong(f"{path} is built for an unknown architecture: build it for {' or '.join(ARCHITECTURES.values())}")
        if struct.unpack_from("<H", program, 16)[0] not in (ET_EXEC, ET_DYN):
            raise Wrong(f"{path} is no program but an object file or a core dump: give the linked `sse-edge`")
        if is_dynamic(program):
            raise Wrong(f"{path} is dynamically linked, and the image has no libraries: {STATIC}")
    except (struct.error, OverflowError):
        raise Wrong(f"{path} is cut off: build or copy it again") from None
    return ARCHITECTURES[machine]


def is_dynamic(program):
    """Whether the program needs a loader or a library. A static-pie program has a dynamic section that names neither."""
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    for header in range(table, table + size * count, size or 1):
        kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", program, header)
        if kind == PT_INTERP or kind == PT_DYNAMIC and DT_NEEDED in tags(program, start, length):
            return True
    return False


def tags(program, start, length):
    """The tags of a dynamic section."""
    for entry in range(start, start + length, 16):
        tag, _ = struct.unpack_from("<qQ", program, entry)
        if tag == DT_NULL:
            return
        yield tag


def bundle_of(given):
    """The CA bundle: the given one, else that of this machine, else certifi's."""
    path = given or next((path for path in BUNDLES if Path(path).is_file()), None)
    if path is None and importlib.util.find_spec("certifi"):
        import certifi

        path = certifi.where()
    if path is None:
        raise Wrong("this machine has no CA bundle in a known place: give one with --ca-bundle FILE")
    bundle = contents(path, "the CA bundle")
    if b"-----BEGIN CERTIFICATE-----" not in bundle:
        raise Wrong(f"the CA bundle {path} contains no certificate: give a file of PEM certificates with --ca-bundle FILE")
    return bundle


def tar(files):
    """A tar of files, as path: (mode, contents), and of their folders. All of it belongs to root and has no time."""
    folders = {str(folder): None for path in files for folder in Path(path).parents if folder.name}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, file in sorted({**folders, **files}.items()):
            # Owner 0 and time 0 are the defaults.
            entry = tarfile.TarInfo(path)
            entry.mode, data = file or (0o755, b"")
            entry.type, entry.size = tarfile.REGTYPE if file else tarfile.DIRTYPE, len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def gzipped(data):
    """Compressed, without a time and a name in the header."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as file:
        file.write(data)
    return out.getvalue()


def described(kind, data):
    """An OCI descriptor."""
    return {"mediaType": kind, "digest": digest(data), "size": len(data)}


def image_of(architecture, program, bundle):
    files = tar({"sse-edge": (0o755, program), BUNDLE: (0o644, bundle)})
    # Compressed, because some services of AWS refuse an uncompressed layer.
    layer = gzipped(files)
    config = encoded({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": USER,
            "ExposedPorts": {f"{PORT}/tcp": {}},
            "Env": [f"RUNNEL_LISTEN=0.0.0.0:{PORT}", "RUNNEL_LOG_FORMAT=json"],
            "Entrypoint": ["/sse-edge"],
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(files)]},
        "history": [{"created_by": "infra/image.py"}],
    })
    manifest = encoded({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": described(CONFIG, config), "layers": [described(LAYER, layer)],
    })
    return Image(architecture, config, layer, manifest)


def archive_of(image):
    """An OCI layout as a tar. `manifest.json` is for `docker load`."""
    blobs = {f"blobs/{digest(blob).replace(':', '/')}": blob for blob in (image.config, image.layer, image.manifest)}
    config, layer, _ = blobs
    names = {"org.opencontainers.image.ref.name": TAG, "io.containerd.image.name": f"docker.io/library/{NAME}:{TAG}"}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**described(MANIFEST, image.manifest), "annotations": names}]}
    files = {
        **blobs,
        "oci-layout": encoded({"imageLayoutVersion": "1.0.0"}),
        "index.json": encoded(index),
        "manifest.json": encoded([{"Config": config, "RepoTags": [f"{NAME}:{TAG}"], "Layers": [layer]}]),
    }
    return tar({path: (0o644, data) for path, data in files.items()})


def target_of(text):
    """The parts of REGISTRY/NAME:TAG."""
    registry = r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"
    parts = re.fullmatch(rf"{registry}/([a-z0-9][a-z0-9._/-]+):([a-zA-Z0-9_][a-zA-Z0-9_.-]{{0,127}})", text, re.ASCII)
    if not parts:
        raise Wrong(f"`{text}` names no image in ECR: write it like 123456789012.dkr.ecr.eu-central-1.amazonaws.com/{NAME}:1")
    return Target(text, *parts.groups())


def found(ask, *missing):
    """The answer of AWS, or None if its error code is one of `missing`."""
    try:
        import account
    except ImportError as error:
        raise Wrong(f"--push needs boto3: run this with the Python that has the SAM CLI ({error})") from None
    try:
        return account.found(ask, *missing)
    except account.Wrong as wrong:
        raise Wrong(str(wrong)) from None


def registry_of(target):
    def client():
        import boto3

        return boto3.client("ecr", region_name=target.region)
    return found(client)


def push(ecr, target, image):
    """Uploads what the repository does not have, then sets the tag. Whether the tag is new."""
    place = {"registryId": target.account, "repositoryName": target.name}
    blobs = {digest(blob): blob for blob in (image.layer, image.config)}
    answer = found(
        lambda: ecr.batch_check_layer_availability(**place, layerDigests=list(blobs)), "RepositoryNotFoundException"
    )
    if answer is None:
        raise Wrong(
            f"the registry has no repository `{target.name}`: create it with `aws ecr create-repository --region {target.region} "
            f"--repository-name {target.name} --image-tag-mutability IMMUTABLE`"
        )
    there = {layer["layerDigest"] for layer in answer["layers"] if layer["layerAvailability"] == "AVAILABLE"}
    for name, blob in blobs.items():
        if name not in there:
            upload(ecr, place, name, blob)
    put = found(
        lambda: ecr.put_image(
            **place, imageManifest=image.manifest.decode(), imageManifestMediaType=MANIFEST,
            imageTag=target.tag, imageDigest=digest(image.manifest),
        ),
        "ImageAlreadyExistsException", "ImageTagAlreadyExistsException",
    )
    if put is None:
        has = found(lambda: ecr.describe_images(**place, imageIds=[{"imageTag": target.tag}]))["imageDetails"][0]["imageDigest"]
        if has != digest(image.manifest):
            raise Wrong(f"tag `{target.tag}` of `{target.name}` already names another image, {has}, and cannot be moved: push under another tag")
    return put is not None


def upload(ecr, place, name, blob):
    begun = found(lambda: ecr.initiate_layer_upload(**place))
    upload, size = begun["uploadId"], begun["partSize"]
    for first in range(0, len(blob), size):
        part = blob[first : first + size]
        found(lambda: ecr.upload_layer_part(
            **place, uploadId=upload, partFirstByte=first, partLastByte=first + len(part) - 1, layerPartBlob=part
        ))
    # Another push can have completed the same layer in the meantime.
    found(
        lambda: ecr.complete_layer_upload(**place, uploadId=upload, layerDigests=[name]), "LayerAlreadyExistsException"
    )


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", metavar="PROGRAM", help="a static `sse-edge` for Linux")
    parser.add_argument("--ca-bundle", metavar="FILE", help="PEM certificates. Default: those of this machine")
    parser.add_argument("--out", metavar="FILE", help="the archive. Default: PROGRAM.oci.tar")
    parser.add_argument("--push", metavar="REGISTRY/NAME:TAG", help="also push the image to this repository of ECR")
    args = parser.parse_args(arguments)
    target = target_of(args.push) if args.push else None
    program = contents(args.program, "the program")
    image = image_of(architecture_of(args.program, program), program, bundle_of(args.ca_bundle))
    out, archive = args.out or f"{args.program}.oci.tar", archive_of(image)
    try:
        Path(out).write_bytes(archive)
    except OSError as error:
        raise Wrong(f"cannot write {out}: {error.strerror}: choose another file with --out FILE") from None
    print(f"{out}: linux/{image.architecture}, {len(archive) / 2**20:.1f} MiB, image {digest(image.manifest)}")
    if not target:
        print(f"Push it:    python3 infra/image.py {args.program} --push REGISTRY/{NAME}:TAG")
        print(f"Or try it:  docker load --input {out}")
        return
    new = push(registry_of(target), target, image)
    print(f"{target.text}: {'pushed' if new else 'already there, with the same content'}")
    print(f"Deploy it:  sam deploy --parameter-overrides EdgeImage={target.text}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Wrong as wrong:
        sys.exit(f"error: {' '.join(str(wrong).split())}")
