"""What goes into the functions and the edge."""

import subprocess
import tomllib
import unittest

from stack import ROOT

EMULATORS = ("dynoxide", "rustack")


def tree(package):
    """The names of all crates that a program is made of."""
    command = ["cargo", "tree", "--locked", "--offline", "-p", package, "-e", "normal", "--prefix", "none"]
    # The first look may have to fetch what no build has fetched yet.
    for command in (command, [part for part in command if part != "--offline"]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return {line.split()[0] for line in done.stdout.splitlines() if line}
    raise AssertionError(done.stderr)


class Dependencies(unittest.TestCase):
    def test_no_emulator_is_deployed(self):
        for package in ("api-lambda", "sse-edge"):
            crates = tree(package)
            self.assertIn("aws-sdk-dynamodb", crates)
            self.assertEqual([c for c in crates if c.startswith(EMULATORS) or c == "runnel"], [], package)

    def test_what_ships_is_optimised_whatever_people_build(self):
        profiles = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]
        functions = tomllib.loads((ROOT / "api-lambda/.cargo/config.toml").read_text())["profile"]["release"]
        settings = {crate: set(own) for crate, own in profiles["release"]["package"].items()}
        self.assertEqual({crate: set(own) for crate, own in profiles["dist"]["package"].items()}, settings)
        theirs = {crate for crate in settings if not crate.startswith((*EMULATORS, "runnel"))}
        self.assertEqual(set(functions["package"]), theirs)
        for profile in (profiles["dist"], functions):
            for name in ("opt-level", "codegen-units"):
                values = {own[name] for own in profile["package"].values() if name in own}
                self.assertLessEqual(values, {profile[name]} if name in profile else {1}, name)

    def test_the_one_process_has_those_that_are_looked_for(self):
        crates = tree("runnel")
        for name in EMULATORS:
            self.assertTrue([c for c in crates if c.startswith(name)], name)
