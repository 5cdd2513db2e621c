"""The templates as CloudFormation gets them, and the code that they have to agree with."""

import json
import os
import re
from pathlib import Path

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


class NoManagedPolicies:
    """Stands for the list of AWS's own policies, which nothing here may need."""

    def load(self):
        return {}


def read(path):
    return (ROOT / path).read_text()


def template(path):
    return yaml_parse(read(path))


def translated():
    """template.yaml after SAM's transform."""
    given = {"Stage": "ci", "JwtIssuer": "https://issuer.example", "JwtAudience": "runnel",
             "JwksUrl": "https://issuer.example/jwks.json"}
    stack = template("template.yaml")
    for resource in stack["Resources"].values():
        # `sam deploy` puts the place of the upload here.
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    return transform(stack, given, NoManagedPolicies())


MAIN = translated()
EDGE = template("infra/edge.yaml")
ALARMS = template("infra/alarms.yaml")
WAF = template("infra/waf.yaml")
ALL = {"template.yaml": MAIN, "infra/edge.yaml": EDGE, "infra/alarms.yaml": ALARMS, "infra/waf.yaml": WAF}
OPENAPI = json.loads(read("docs/openapi.json"))


def of_type(stack, kind):
    """Name and properties of each resource of a type."""
    found = {n: r.get("Properties", {}) for n, r in stack["Resources"].items() if r["Type"] == kind}
    assert found, f"there is no {kind}"
    return found


def properties(stack, name):
    return stack["Resources"][name]["Properties"]


def limit_seconds(name):
    """A duration of crates/domain/src/limits.rs."""
    found = re.search(rf"pub const {name}: Duration = Duration::from_secs\((\d+)\)", read("crates/domain/src/limits.rs"))
    assert found, f"limits.rs has no {name} in seconds"
    return int(found[1])


def limit(name):
    """A number of crates/domain/src/limits.rs."""
    found = re.search(rf"pub const {name}: usize = ([\d_]+);", read("crates/domain/src/limits.rs"))
    assert found, f"limits.rs has no {name}"
    return int(found[1].replace("_", ""))


def sources(folder):
    return "\n".join(path.read_text() for path in sorted((ROOT / folder).rglob("*.rs")))
