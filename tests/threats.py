"""Fails if docs/THREATS.md names a test that does not exist, or a threat without a test."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUST = [path for folder in ("crates", "sse-edge", "tests") for path in (ROOT / folder).rglob("*.rs")]
PYTHON = list((ROOT / "tests/deploy").glob("test_*.py"))


def main():
    code = "\n".join(path.read_text() for path in RUST + PYTHON)
    known = set(re.findall(r"\b(?:fn|def) (\w+)\(", code))
    rows = [line for line in (ROOT / "docs/THREATS.md").read_text().splitlines() if line.startswith("| ") and line.count(" | ") == 2]
    threats = [row for row in rows if not row.startswith("| threat |")]
    wrong = []
    for row in threats:
        named = re.findall(r"`([a-z0-9_]+_[a-z0-9_]+)`", row.rsplit(" | ", 1)[1])
        wrong += [f"no test: {row}"] if not named else []
        wrong += [f"`{name}` does not exist: {row}" for name in named if name not in known]
    print(*wrong, f"{len(threats)} threats", sep="\n")
    return 1 if wrong or len(threats) < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
