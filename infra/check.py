"""Says in one sentence what would keep `sam deploy` from succeeding, before it begins.

    python infra/check.py [--stack-name NAME] [PARAMETER=VALUE ...]

Takes what `sam deploy` takes. Run it after `sam build`, by the Python that has the SAM CLI.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[1]
# e_machine, the 19th byte of an ELF file (elf(5)).
MACHINES = {0x3E: "x86_64", 0xB7: "arm64"}


class Wrong(Exception):
    """What to do, in one sentence."""


def read(template, texts):
    """The parameters that are given, each of which has to be what it may be."""
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in template["Parameters"]:
            raise Wrong(f"`{text}` is no parameter: write NAME=VALUE with one of {', '.join(template['Parameters'])}")
        values[name] = value
        if not allows(template["Parameters"][name], value):
            raise Wrong(f"`{text}` cannot be: {advice(template['Parameters'][name])}")
    return values


def allows(parameter, value):
    """Whether CloudFormation takes the value."""
    if "AllowedValues" in parameter:
        return value in map(str, parameter["AllowedValues"])
    if parameter["Type"] == "Number":
        least, most = parameter.get("MinValue", 0), parameter.get("MaxValue", float("inf"))
        return value.isdecimal() and least <= int(value) <= most
    parts = value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]
    return all(re.fullmatch(parameter.get("AllowedPattern", ".*"), part) for part in parts)


def advice(parameter):
    """What the value has to be."""
    return parameter.get("ConstraintDescription") or f"choose one of {', '.join(map(str, parameter['AllowedValues']))}"


def whole(template, given, kept):
    """All parameters: those given, those that the stack has already, and defaults."""
    values = {**kept, **given}
    for name, parameter in template["Parameters"].items():
        if name not in values and "Default" not in parameter:
            raise Wrong(f"`{name}=…` is missing: {advice(parameter)}")
        values.setdefault(name, str(parameter.get("Default")))
    return values


def built_for(folder, architecture):
    """The functions have to be built, and for the machines that they are to run on."""
    programs = sorted(folder.glob("*/bootstrap"))
    if not programs:
        raise Wrong(f"there is no function in {folder}: run `sam build` first")
    for program in programs:
        machine = MACHINES.get(program.read_bytes()[18], "something else")
        if machine != architecture:
            raise Wrong(
                f"{program.parent.name} is built for {machine}, but is to run on {architecture}: "
                f"`sam build --parameter-overrides Architecture={architecture}`, or deploy with Architecture={machine}"
            )


def found(ask, *missing):
    """What AWS answers; nothing, if it says that there is no such thing."""
    try:
        return ask()
    except NoCredentialsError:
        raise Wrong("there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from None
    except NoRegionError:
        raise Wrong("there is no AWS region: set AWS_DEFAULT_REGION, such as eu-central-1") from None
    except EndpointConnectionError as error:
        raise Wrong(f"AWS cannot be reached: {error}") from None
    except BotoCoreError as error:
        raise Wrong(f"the AWS credentials or settings cannot be used: {error}") from None
    except ClientError as error:
        if error.response["Error"]["Code"] in missing:
            return None
        raise Wrong(f"AWS refuses to say what is there already, so renew or change the credentials: {error}") from None


def there(name):
    """The stack of that name, if there is one."""
    formation = found(lambda: boto3.client("cloudformation"))
    answer = found(lambda: formation.describe_stacks(StackName=name), "ValidationError")
    return answer["Stacks"][0] if answer and answer["Stacks"] else None


def free(name, stack, stage):
    """Stack and stage have to be new, or each other's."""
    if stack is None:
        table = f"runnel-{stage}"
        database = boto3.client("dynamodb")
        if found(lambda: database.describe_table(TableName=table), "ResourceNotFoundException"):
            raise Wrong(f"stage `{stage}` is taken: table `{table}` is there, of another stack or of a deleted one; choose another Stage, or delete the table")
        return
    has = {p["ParameterKey"]: p.get("ParameterValue", "") for p in stack.get("Parameters", [])}
    if not {"Stage", "JwtIssuer"} <= set(has):
        raise Wrong(f"stack name `{name}` is taken by something else: choose another with --stack-name")
    if stack["StackStatus"] in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"):
        raise Wrong(f"stack `{name}` is broken ({stack['StackStatus']}): `sam delete --stack-name {name}`, then deploy again")
    if has["Stage"] != stage:
        raise Wrong(f"stack name `{name}` is taken by stage `{has['Stage']}`: a second stage is a second stack, so choose another with --stack-name")


def check(arguments):
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]["deploy"]["parameters"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stack-name", default=settings["stack_name"])
    parser.add_argument("--built", type=Path, default=ROOT / ".aws-sam/build", help="what `sam build` made")
    parser.add_argument("parameters", nargs="*", metavar="PARAMETER=VALUE")
    args = parser.parse_args(arguments)
    template = yaml_parse((ROOT / "template.yaml").read_text())
    given = read(template, args.parameters)
    stack = there(args.stack_name)
    kept = {p["ParameterKey"]: p.get("ParameterValue", "") for p in (stack or {}).get("Parameters", [])}
    values = whole(template, given, kept)
    built_for(args.built, values["Architecture"])
    free(args.stack_name, stack, values["Stage"])


if __name__ == "__main__":
    try:
        check(sys.argv[1:])
    except Wrong as wrong:
        sys.exit(f"error: {wrong}")
