"""The image of the edges that `infra/image.py` writes and pushes."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import boto3
from botocore.stub import ANY, Stubber
from stack import EDGE, ROOT, properties

sys.path.insert(0, str(ROOT / "infra"))
import image  # noqa: E402

(CONTAINER,) = properties(EDGE, "Task")["ContainerDefinitions"]
BUNDLE = b"# an authority\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
TARGET = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/runnel-edge:1"
PLACE = {"registryId": "123456789012", "repositoryName": "runnel-edge"}

X86_64, ARM64, RISCV = 0x3E, 0xB7, 0xF3
LOAD, DYNAMIC, INTERP = 1, 2, 3
NEEDED, FLAGS, END = 1, 30, 0
WORD = b"an edge\n"
AT = 0x400000


def code(start):
    """For x86_64: writes WORD to standard output, and ends with status 0."""
    instructions = (
        b"\xb8\1\0\0\0"  # mov eax, write
        b"\xbf\1\0\0\0"  # mov edi, 1
        b"\xbe%s"        # mov esi, WORD
        b"\xba%s"        # mov edx, its length
        b"\x0f\5"        # syscall
        b"\xb8\x3c\0\0\0"  # mov eax, exit
        b"\x31\xff"      # xor edi, edi
        b"\x0f\5"        # syscall
    )
    length = len(instructions) + 4
    return instructions % (struct.pack("<I", start + length), struct.pack("<I", len(WORD))) + WORD


def elf(machine=X86_64, kind=2, tags=None, interpreter=False):
    """An ELF program, as small as can be: elf(5). `tags` are those of a dynamic section."""
    dynamic = b"".join(struct.pack("<qQ", tag, 1) for tag in tags or ())
    kinds = [LOAD] + [DYNAMIC] * (tags is not None) + [INTERP] * interpreter
    body = 64 + 56 * len(kinds)
    start = body + len(dynamic)
    program = code(AT + start)
    whole = start + len(program)
    headers = b""
    for header in kinds:
        offset, length = (0, whole) if header == LOAD else (body, len(dynamic))
        headers += struct.pack("<IIQQQQQQ", header, 5, offset, AT + offset, AT + offset, length, length, 0x1000)
    first = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", kind, machine, 1, AT + start, 64, 0, 0, 64, 56, len(kinds), 0, 0, 0
    )
    return first + headers + dynamic + program


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.bundle = self.file("bundle.pem", BUNDLE)

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def run_with(self, program, *arguments):
        """What the command prints, and the archive that it writes."""
        out, said = self.folder / "edge.tar", io.StringIO()
        with contextlib.redirect_stdout(said):
            image.main([str(self.file("sse-edge", program)), "--ca-bundle", str(self.bundle), "--out", str(out), *arguments])
        return said.getvalue(), out

    def written(self, program):
        return self.run_with(program)[1]

    def says(self, *words, call):
        with self.assertRaises(image.Wrong) as raised:
            call()
        for word in words:
            self.assertIn(word, str(raised.exception))
        self.assertNotIn(". ", str(raised.exception))

    def left_out(self, reason):
        print(f"SKIPPED: {reason}", file=sys.stderr)
        self.skipTest(reason)


def entries(data):
    """The entries of a tar, in its order, and the contents of its files."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        listed = archive.getmembers()
        return listed, {entry.name: archive.extractfile(entry).read() for entry in listed if entry.isfile()}


def parts(archive):
    """Manifest, config and layer of an archive."""
    _, files = entries(archive.read_bytes())

    def blob(descriptor):
        data = files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
        assert (len(data), digest(data)) == (descriptor["size"], descriptor["digest"]), descriptor
        return data
    (described,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(blob(described))
    (layer,) = manifest["layers"]
    return manifest, json.loads(blob(manifest["config"])), blob(layer)


class Archive(Files):
    def test_the_same_files_give_the_same_bytes(self):
        first = self.written(elf()).read_bytes()
        with mock.patch("time.time", return_value=2**31):
            self.assertEqual(self.written(elf()).read_bytes(), first)
        self.assertNotEqual(self.written(elf(ARM64)).read_bytes(), first)

    def test_every_digest_and_size_is_right(self):
        archive = self.written(elf())
        manifest, config, layer = parts(archive)
        self.assertEqual(config["rootfs"], {"type": "layers", "diff_ids": [digest(gzip.decompress(layer))]})
        listed, files = entries(archive.read_bytes())
        self.assertEqual(json.loads(files["oci-layout"]), {"imageLayoutVersion": "1.0.0"})
        self.assertEqual([entry.name for entry in listed], sorted(entry.name for entry in listed))
        self.assertEqual({entry.mtime for entry in listed}, {0})
        # What `docker load` reads.
        (legacy,) = json.loads(files["manifest.json"])
        self.assertEqual(json.loads(files[legacy["Config"]]), config)
        self.assertEqual([files[name] for name in legacy["Layers"]], [layer])
        self.assertEqual(legacy["RepoTags"], ["runnel-edge:latest"])
        (described,) = json.loads(files["index.json"])["manifests"]
        self.assertEqual(described["annotations"]["org.opencontainers.image.ref.name"], "latest")
        self.assertEqual(manifest["config"]["digest"], digest(files[legacy["Config"]]))

    def test_the_layer_has_the_program_and_the_bundle_and_nothing_else(self):
        _, _, layer = parts(self.written(elf()))
        # No name and no time in the header (RFC 1952).
        self.assertEqual(layer[:8], b"\x1f\x8b\x08\0\0\0\0\0")
        listed, files = entries(gzip.decompress(layer))
        self.assertEqual([(e.name, oct(e.mode), e.isdir()) for e in listed], [
            ("etc", "0o755", True), ("etc/ssl", "0o755", True), ("etc/ssl/certs", "0o755", True),
            ("etc/ssl/certs/ca-certificates.crt", "0o644", False), ("sse-edge", "0o755", False),
        ])
        self.assertEqual({(e.uid, e.gid, e.uname, e.gname, e.mtime) for e in listed}, {(0, 0, "", "", 0)})
        self.assertEqual(files, {"etc/ssl/certs/ca-certificates.crt": BUNDLE, "sse-edge": elf()})

    def test_the_config_agrees_with_the_task(self):
        _, config, _ = parts(self.written(elf()))
        runs = config["config"]
        self.assertEqual(runs["User"].split(":")[0], CONTAINER["User"].split(":")[0])
        self.assertEqual(runs["User"], "65532:65532")
        self.assertEqual(runs["Entrypoint"], ["/sse-edge"])
        (port,) = CONTAINER["PortMappings"]
        self.assertEqual(runs["ExposedPorts"], {f"{port['ContainerPort']}/{port['Protocol']}": {}})
        task = {e["Name"]: e["Value"] for e in CONTAINER["Environment"]}
        self.assertEqual(runs["Env"], [f"{name}={task[name]}" for name in ("RUNNEL_LISTEN", "RUNNEL_LOG_FORMAT")])

    def test_the_architecture_is_that_of_the_program(self):
        for machine, architecture in ((X86_64, "amd64"), (ARM64, "arm64")):
            said, archive = self.run_with(elf(machine))
            _, config, _ = parts(archive)
            self.assertEqual((config["os"], config["architecture"]), ("linux", architecture))
            self.assertIn(f"linux/{architecture}", said)

    def test_the_command_prints_the_digest_and_the_next_commands(self):
        said, archive = self.run_with(elf())
        _, files = entries(archive.read_bytes())
        (described,) = json.loads(files["index.json"])["manifests"]
        for word in (described["digest"], "MiB", "--push REGISTRY/runnel-edge:TAG", f"docker load --input {archive}"):
            self.assertIn(word, said)

    def test_a_file_that_is_no_static_program_is_refused_with_a_remedy(self):
        self.says("cannot read", "No such file", call=lambda: image.main([str(self.folder / "none")]))
        self.says("cannot read", "directory", call=lambda: image.main([str(self.folder)]))
        needs = elf(kind=3, tags=[NEEDED, END])
        for program, *words in (
            (b"#!/bin/sh\n", "no ELF file"), (b"", "no ELF file"), (elf(RISCV), "unknown architecture", "amd64 or arm64"),
            (elf()[:4] + b"\1" + elf()[5:], "unknown architecture"), (elf(kind=1), "object file"),
            (elf(interpreter=True), "dynamically linked", "musl"), (needs, "dynamically linked", "musl"),
            (elf()[:30], "cut off"), (elf()[:80], "cut off"), (elf()[:10], "cut off"),
        ):
            with self.subTest(words):
                self.says(*words, call=lambda: self.written(program))

    def test_a_static_program_at_any_address_is_accepted(self):
        # What comes after the end is no tag.
        for tags in ([FLAGS, END], [FLAGS, END, NEEDED], []):
            self.written(elf(kind=3, tags=tags))

    def test_a_bundle_without_certificates_is_refused(self):
        self.bundle.write_text("-----BEGIN PRIVATE KEY-----\n")
        self.says("no certificate", "--ca-bundle", call=lambda: self.written(elf()))
        self.bundle.unlink()
        self.says("cannot read the CA bundle", call=lambda: self.written(elf()))

    def test_the_bundle_of_the_machine_is_the_default(self):
        with mock.patch.object(image, "BUNDLES", (str(self.folder / "none"), str(self.bundle))):
            self.assertEqual(image.bundle_of(None), BUNDLE)
        with mock.patch.object(image, "BUNDLES", ()), mock.patch.object(image.importlib.util, "find_spec", return_value=None):
            self.says("--ca-bundle FILE", call=lambda: image.bundle_of(None))

    def test_an_archive_that_cannot_be_written_is_one_sentence(self):
        self.says("cannot write", "--out", call=lambda: self.run_with(elf(), "--out", str(self.folder)))

    def test_only_a_push_needs_boto3(self):
        program = self.file("sse-edge", elf())
        # -I and -S: the standard library alone.
        ran = subprocess.run(
            [sys.executable, "-BIS", ROOT / "infra/image.py", program, "--ca-bundle", self.bundle],
            capture_output=True, text=True, check=True,
        )
        self.assertIn(f"{program}.oci.tar", ran.stdout)


class Tools(Files):
    """What programs by others make of the archive."""

    def tool(self, name, *arguments):
        if not shutil.which(name):
            self.left_out(f"`{name}` is missing, so it has not read the image of the edges")
        return subprocess.run([name, *arguments], capture_output=True, text=True, check=True).stdout

    def test_skopeo_reads_both_formats(self):
        archive = self.written(elf(ARM64))
        manifest, config, _ = parts(archive)
        for kind in ("oci-archive", "docker-archive"):
            seen = json.loads(self.tool("skopeo", "inspect", "--config", f"{kind}:{archive}"))
            self.assertEqual((seen["architecture"], seen["config"]), (config["architecture"], config["config"]))
        seen = json.loads(self.tool("skopeo", "inspect", f"oci-archive:{archive}:latest"))
        _, files = entries(archive.read_bytes())
        (described,) = json.loads(files["index.json"])["manifests"]
        self.assertEqual(seen["Digest"], described["digest"])
        self.assertEqual(seen["Layers"], [layer["digest"] for layer in manifest["layers"]])

    def test_umoci_unpacks_it(self):
        with tarfile.open(self.written(elf())) as archive:
            archive.extractall(self.folder / "layout", filter="data")
        rootless = [] if os.geteuid() == 0 else ["--rootless"]
        self.tool("umoci", "unpack", *rootless, "--image", f"{self.folder}/layout:latest", str(self.folder / "bundle"))
        root = self.folder / "bundle/rootfs"
        files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        self.assertEqual(files, {"etc/ssl/certs/ca-certificates.crt": BUNDLE, "sse-edge": elf()})
        process = json.loads((self.folder / "bundle/config.json").read_text())["process"]
        self.assertEqual((process["user"]["uid"], process["user"]["gid"]), (65532, 65532))
        self.assertEqual(process["args"], ["/sse-edge"])
        self.assertIn("RUNNEL_LISTEN=0.0.0.0:8080", process["env"])

    def test_its_user_can_run_the_program(self):
        if (os.geteuid(), sys.platform, platform.machine()) != (0, "linux", "x86_64"):
            self.left_out("the program of the edges' image is run only by root on Linux for x86_64")
        _, config, layer = parts(self.written(elf()))
        root = self.folder / "root"
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            archive.extractall(root, filter="tar")
        ran = subprocess.run(
            ["chroot", f"--userspec={config['config']['User']}", root, *config["config"]["Entrypoint"]],
            capture_output=True, check=True,
        )
        self.assertEqual(ran.stdout, WORD)


class Push(Files):
    def setUp(self):
        super().setUp()
        self.ecr = boto3.client("ecr", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
        self.stub = Stubber(self.ecr)
        self.stub.activate()
        self.image = image.image_of("arm64", elf(ARM64), BUNDLE)
        self.layer, self.config = digest(self.image.layer), digest(self.image.config)

    def answers(self, *there):
        """The repository has the blobs `there`."""
        layers = [
            {"layerDigest": name, "layerAvailability": "AVAILABLE" if name in there else "UNAVAILABLE"}
            for name in (self.layer, self.config)
        ]
        asked = {**PLACE, "layerDigests": [self.layer, self.config]}
        self.stub.add_response("batch_check_layer_availability", {"layers": layers, "failures": []}, asked)

    def accepts(self, name, blob, size):
        """The repository accepts a blob in parts of `size` bytes."""
        self.stub.add_response("initiate_layer_upload", {"uploadId": name[-36:], "partSize": size}, PLACE)
        here = {**PLACE, "uploadId": name[-36:]}
        for first in range(0, len(blob), size):
            part = blob[first : first + size]
            self.stub.add_response("upload_layer_part", {}, {
                **here, "partFirstByte": first, "partLastByte": first + len(part) - 1, "layerPartBlob": part,
            })
        self.stub.add_response("complete_layer_upload", {}, {**here, "layerDigests": [name]})

    def puts(self, error=None, has=None):
        """The repository answers the manifest with success or an error. The tag then names `has`."""
        if error is None:
            self.stub.add_response("put_image", {}, {
                **PLACE, "imageManifest": self.image.manifest.decode(), "imageManifestMediaType": image.MANIFEST,
                "imageTag": "1", "imageDigest": digest(self.image.manifest),
            })
            return
        self.stub.add_client_error("put_image", error)
        self.stub.add_response(
            "describe_images", {"imageDetails": [{"imageDigest": has}]}, {**PLACE, "imageIds": [{"imageTag": "1"}]}
        )

    def push(self):
        new = image.push(self.ecr, image.target_of(TARGET), self.image)
        self.stub.assert_no_pending_responses()
        return new

    def test_a_new_image_is_uploaded_in_parts(self):
        self.answers()
        self.accepts(self.layer, self.image.layer, 100)
        self.accepts(self.config, self.image.config, 10**6)
        self.puts()
        self.assertTrue(self.push())

    def test_what_the_repository_has_is_not_uploaded(self):
        self.answers(self.layer)
        self.accepts(self.config, self.image.config, 10**6)
        self.puts()
        self.assertTrue(self.push())

    def test_a_layer_that_another_push_has_completed_is_fine(self):
        self.answers(self.config)
        self.stub.add_response("initiate_layer_upload", {"uploadId": "0" * 36, "partSize": 10**6})
        self.stub.add_response("upload_layer_part", {}, {
            **PLACE, "uploadId": ANY, "partFirstByte": 0, "partLastByte": ANY, "layerPartBlob": ANY,
        })
        self.stub.add_client_error("complete_layer_upload", "LayerAlreadyExistsException")
        self.puts()
        self.assertTrue(self.push())

    def test_a_tag_that_names_the_same_image_is_fine(self):
        for error in ("ImageAlreadyExistsException", "ImageTagAlreadyExistsException"):
            with self.subTest(error):
                self.answers(self.layer, self.config)
                self.puts(error, digest(self.image.manifest))
                self.assertFalse(self.push())

    def test_a_tag_that_names_another_image_asks_for_another_tag(self):
        self.answers(self.layer, self.config)
        self.puts("ImageTagAlreadyExistsException", digest(b"another"))
        self.says("tag `1`", digest(b"another"), "another tag", call=self.push)

    def test_a_missing_repository_is_named_with_the_command_that_creates_it(self):
        self.stub.add_client_error("batch_check_layer_availability", "RepositoryNotFoundException")
        self.says("aws ecr create-repository --region eu-central-1 --repository-name runnel-edge", call=self.push)

    def test_an_error_of_aws_is_one_sentence(self):
        self.stub.add_client_error("batch_check_layer_availability", "ExpiredTokenException")
        self.says("the AWS credentials have expired", call=self.push)

    def test_a_name_that_is_not_in_ecr_is_refused_before_anything_is_written(self):
        for name in (
            "runnel-edge:1", "docker.io/runnel-edge:1", TARGET[:-2], f"{TARGET} ", TARGET.replace("runnel", "Runnel"),
            TARGET.replace("eu-central-1", ""),
        ):
            with self.subTest(name):
                self.says(name, "runnel-edge:1", call=lambda: self.run_with(elf(), "--push", name))
        self.assertFalse((self.folder / "edge.tar").exists())
        for name in (TARGET.replace("runnel-edge", "team/runnel-edge"), TARGET.replace(".com/", ".com.cn/"), f"{TARGET}.2_x-y"):
            image.target_of(name)

    def test_the_command_pushes_and_prints_how_to_deploy(self):
        self.image = image.image_of("amd64", elf(), BUNDLE)
        self.layer, self.config = digest(self.image.layer), digest(self.image.config)
        self.answers(self.layer, self.config)
        self.puts()
        with mock.patch.object(boto3, "client", return_value=self.ecr) as client:
            said, _ = self.run_with(elf(), "--push", TARGET)
        client.assert_called_once_with("ecr", region_name="eu-central-1")
        self.assertIn(f"{TARGET}: pushed", said)
        self.assertIn(f"sam deploy --parameter-overrides EdgeImage={TARGET}", said)
