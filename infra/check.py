"""Check a deployment before `sam deploy`, and explain the first problem in one sentence.

    python infra/check.py [--stack-name NAME] [PARAMETER=VALUE ...]

Give the stack name and the parameters that `sam deploy` will get. Run this after `sam build`, with the Python that
has the SAM CLI.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

import provider
from account import Wrong, free, parameters_of, there, usable_zones
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[1]
# e_machine, the 19th byte of an ELF file (elf(5)).
MACHINES = {0x3E: "x86_64", 0xB7: "arm64"}


def read(template, texts):
    """The given parameters. Each one must satisfy its constraint."""
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in template["Parameters"]:
            raise Wrong(f"`{text}` names no parameter: write NAME=VALUE, where NAME is one of {', '.join(template['Parameters'])}")
        values[name] = value
        if not allows(template["Parameters"][name], value):
            raise Wrong(f"`{text}` is invalid: {advice(template['Parameters'][name])}")
    return values


def allows(parameter, value):
    """Whether CloudFormation accepts the value."""
    if "AllowedValues" in parameter:
        return value in map(str, parameter["AllowedValues"])
    if parameter["Type"] == "Number":
        least, most = parameter.get("MinValue", 0), parameter.get("MaxValue", float("inf"))
        return value.isdecimal() and least <= int(value) <= most
    parts = value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]
    return all(re.fullmatch(parameter.get("AllowedPattern", ".*"), part) for part in parts)


def advice(parameter):
    """An instruction that describes the valid values."""
    return parameter.get("ConstraintDescription") or f"choose one of {', '.join(map(str, parameter['AllowedValues']))}"


def whole(template, given, kept):
    """All parameters: given values, then values of the existing stack, then defaults."""
    values = {**kept, **given}
    for name, parameter in template["Parameters"].items():
        if name not in values and "Default" not in parameter:
            raise Wrong(f"`{name}=…` is missing: {advice(parameter)}")
        values.setdefault(name, str(parameter.get("Default")))
    return values


def built_for(folder, architecture):
    """Checks that the functions are built, and for the architecture that they will run on."""
    programs = sorted(folder.glob("*/bootstrap"))
    if not programs:
        raise Wrong(f"{folder} contains no function: run `sam build` first")
    for program in programs:
        machine, build = machine_of(program), f"run `sam build --parameter-overrides Architecture={architecture}`"
        if machine is None:
            raise Wrong(f"{program.parent.name} is no program for {' or '.join(MACHINES.values())}: {build}")
        if machine != architecture:
            raise Wrong(
                f"{program.parent.name} is built for {machine}, but must run on {architecture}: "
                f"{build}, or deploy with Architecture={machine}"
            )


def machine_of(program):
    """The architecture of an ELF file, or None."""
    with program.open("rb") as file:
        head = file.read(20)
    return MACHINES.get(head[18]) if head.startswith(b"\x7fELF") and len(head) == 20 else None


def keeps_rules(template, values):
    """Checks the template's rules, which relate several parameters."""
    for rule in template["Rules"].values():
        if holds(rule["RuleCondition"], values):
            for assertion in rule["Assertions"]:
                if not holds(assertion["Assert"], values):
                    raise Wrong(assertion["AssertDescription"])


def can_begin(values, kept):
    """Checks two things that no rule of the template can count."""
    if values["Zones"] and len(set(values["Zones"].split(","))) != 2:
        raise Wrong("Zones does not name two different zones: use two of them, such as us-west-1a,us-west-1b, or leave it empty")
    if kept.get("EdgeImage") and values["EdgeImage"] != kept["EdgeImage"]:
        more = int(values["MinEdges"]) > int(kept.get("MinEdges", values["MinEdges"]))
        if more or (values["Autoscaling"], kept.get("Autoscaling")) == ("true", "false"):
            raise Wrong(
                "more edges and a new EdgeImage together may leave ECS no room to start one: "
                f"deploy with EdgeImage={kept['EdgeImage']} first, and with the new image afterwards"
            )


def holds(condition, values):
    """Evaluates the condition of a rule. Knows only the functions that the rules use."""
    [(function, parts)] = condition.items()
    if function == "Fn::Not":
        return not holds(parts[0], values)
    value, other = values[parts[0]["Ref"]], parts[1]
    return {"Fn::Equals": value == other, "Fn::Contains": other in value.split(",")}[function]


def check(arguments):
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]["deploy"]["parameters"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stack-name", default=settings["stack_name"])
    parser.add_argument("--built", type=Path, default=ROOT / ".aws-sam/build", help="the folder that `sam build` created")
    parser.add_argument("parameters", nargs="*", metavar="PARAMETER=VALUE")
    args = parser.parse_args(arguments)
    template = yaml_parse((ROOT / "template.yaml").read_text())
    given = read(template, args.parameters)
    stack = there(args.stack_name)
    values = whole(template, given, parameters_of(stack))
    keeps_rules(template, values)
    can_begin(values, parameters_of(stack))
    provider.check(values["JwtIssuer"], values["JwksUrl"])
    built_for(args.built, values["Architecture"])
    if values["EdgeImage"] and not values["VpcId"]:
        usable_zones(values["Zones"])
    free(args.stack_name, stack, values["Stage"])


if __name__ == "__main__":
    try:
        check(sys.argv[1:])
    except Wrong as wrong:
        sys.exit(f"error: {' '.join(str(wrong).split())}")
