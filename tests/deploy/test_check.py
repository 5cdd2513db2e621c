"""What `infra/check.py` says before a deployment, as far as it needs no account."""

import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from stack import ROOT, template

sys.path.insert(0, str(ROOT / "infra"))
import check  # noqa: E402

TEMPLATE = template("template.yaml")
NEEDED = ["Stage=prod", "JwtIssuer=https://id.example.com", "JwtAudience=runnel"]


class Check(unittest.TestCase):
    def says(self, *words, call):
        with self.assertRaises(check.Wrong) as raised:
            call()
        for word in words:
            self.assertIn(word, str(raised.exception))

    def test_defaults_and_what_the_docs_give_are_taken(self):
        values = check.whole(TEMPLATE, check.read(TEMPLATE, NEEDED), {})
        for name, value in values.items():
            self.assertTrue(check.allows(TEMPLATE["Parameters"][name], value), f"{name}={value}")

    def test_a_value_that_cannot_be_is_answered_with_what_can(self):
        for given, word in {
            "Stage=Prod": "a-z 0-9", "Stage=my-stage": "a-z 0-9", "JwtIssuer=id.example.com": "https URL",
            "JwtAudience=": "aud", "Architecture=arm": "arm64, x86_64", "LogDays=10": "CloudWatch",
            "MinEdges=0": "from 1", "RequestsPerSecond=many": "whole number", "StreamsPerEdge=50000": "18000",
            "AllowedOrigins=https://a.example/,https://b.example": "without a path", "EdgeImage=runnel-edge": "tag",
            "Domain=https://chat.example.com": "without https", "VpcId=default": "vpc-", "Zones=a,b": "us-west-1a",
            "DomainCertificate=arn:aws:acm:eu-central-1:123456789012:certificate/x": "us-east-1",
            "AlarmEmail=ops": "ops@example.com", "Queues=both": "per-user, per-edge",
        }.items():
            with self.subTest(given):
                self.says(given, word, call=lambda: check.read(TEMPLATE, [given]))

    def test_what_is_misspelt_or_missing_is_named(self):
        self.says("Stag=prod", "Stage", call=lambda: check.read(TEMPLATE, ["Stag=prod"]))
        self.says("JwtAudience", "aud", call=lambda: check.whole(TEMPLATE, check.read(TEMPLATE, NEEDED[:2]), {}))

    def test_parameters_that_need_another_name_it(self):
        certificate = "DomainCertificate=arn:aws:acm:us-east-1:123456789012:certificate/x"
        for given, word in (
            (["Domain=chat.example.com"], "DomainCertificate"), (["Domain=chat.example.com", certificate], None), ([certificate], "Domain"),
            (["VpcId=vpc-1"], "SubnetIds"), (["VpcId=vpc-1", "SubnetIds=subnet-1,subnet-2"], None), ([], None),
        ):
            with self.subTest(given):
                values = check.whole(TEMPLATE, check.read(TEMPLATE, [*NEEDED, *given]), {})
                if word:
                    self.says(word, call=lambda: check.keeps_rules(TEMPLATE, values))
                else:
                    check.keeps_rules(TEMPLATE, values)

    def test_two_zones_are_two(self):
        values = check.whole(TEMPLATE, check.read(TEMPLATE, NEEDED), {})
        check.can_begin(values, {})
        check.can_begin({**values, "Zones": "us-west-1a,us-west-1b"}, {})
        for zones in ("us-west-1a", "us-west-1a,us-west-1a", "us-west-1a,us-west-1b,us-west-1c"):
            self.says("two different zones", call=lambda: check.can_begin({**values, "Zones": zones}, {}))

    def test_an_upgrade_that_leaves_no_room_for_a_new_edge_is_done_in_two_steps(self):
        kept = check.whole(TEMPLATE, check.read(TEMPLATE, [*NEEDED, "EdgeImage=edge:1"]), {})
        check.can_begin({**kept, "EdgeImage": "edge:2"}, kept)
        check.can_begin({**kept, "MinEdges": "4"}, kept)
        check.can_begin({**kept, "EdgeImage": "edge:2", "MinEdges": "1"}, kept)
        self.says("EdgeImage=edge:1 first", call=lambda: check.can_begin({**kept, "EdgeImage": "edge:2", "MinEdges": "4"}, kept))
        follows = {**kept, "Autoscaling": "false"}
        self.says("first", call=lambda: check.can_begin({**kept, "EdgeImage": "edge:2"}, follows))

    def test_what_a_stack_has_is_kept(self):
        values = check.whole(TEMPLATE, {"LogDays": "7"}, dict(t.split("=") for t in NEEDED))
        self.assertEqual((values["LogDays"], values["JwtAudience"]), ("7", "runnel"))

    def test_functions_have_to_be_built_and_for_the_machine_they_run_on(self):
        with tempfile.TemporaryDirectory() as folder:
            self.says("sam build", call=lambda: check.built_for(Path(folder), "arm64"))
            program = Path(folder) / "ApiFunction/bootstrap"
            program.parent.mkdir()
            program.write_bytes(b"\x7fELF" + bytes(14) + b"\x3e\0")
            check.built_for(Path(folder), "x86_64")
            self.says("ApiFunction", "x86_64", "Architecture=arm64", call=lambda: check.built_for(Path(folder), "arm64"))

    def test_a_file_for_no_known_machine_is_built_again(self):
        elf = b"\x7fELF" + bytes(14)
        for content in (b"", b"#!/bin/sh\n", elf, elf + b"\x3e", elf + b"\xf3\0", b"\xcf\xfa\xed\xfe" + bytes(14) + b"\x3e\0"):
            with self.subTest(content), tempfile.TemporaryDirectory() as folder:
                program = Path(folder) / "ApiFunction/bootstrap"
                program.parent.mkdir()
                program.write_bytes(content)
                self.says(
                    "ApiFunction is no program for x86_64 or arm64: run `sam build --parameter-overrides Architecture=arm64`",
                    call=lambda: check.built_for(Path(folder), "arm64"),
                )

    def test_the_provider_is_checked_with_the_values_of_the_stack(self):
        kept = {"JwtIssuer": "https://id.example.com", "JwksUrl": "https://id.example.com/keys"}
        stack = {"Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in kept.items()]}
        with mock.patch("check.there", return_value=stack), mock.patch("provider.check", side_effect=check.Wrong("stop")) as called:
            self.says("stop", call=lambda: check.check(["Stage=prod", "JwtAudience=runnel"]))
        called.assert_called_once_with(*kept.values())

    def test_every_parameter_says_what_it_may_be(self):
        for name, parameter in TEMPLATE["Parameters"].items():
            limited = {"AllowedPattern", "AllowedValues", "MinValue"} & set(parameter)
            self.assertTrue(limited, name)
            self.assertTrue("AllowedValues" in parameter or parameter.get("ConstraintDescription"), name)
