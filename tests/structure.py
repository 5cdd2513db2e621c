"""Prints the structure of the code: rooms, floors, arrows, cycles, and how long files are.

    python3 tests/structure.py [CRATE]      a folder such as `sse-edge`, the default

A room is a top-level module of the crate: a file and the folder of the same name. `docs/ARCHITECTURE.md` puts the rooms
of `sse-edge` on floors. An arrow from a room to one on the same floor or above goes up.
"""

import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOOR = re.compile(r"^\| (\d+) \| `(\w+)` \|", re.MULTILINE)
USE = re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?use ([^;]+);", re.MULTILINE)
PATH = re.compile(r"\bcrate((?:::\w+)+)")


def floors():
    """The floor of each room of the edge: 1 is the top."""
    return {room: int(floor) for floor, room in FLOOR.findall((ROOT / "docs/ARCHITECTURE.md").read_text())}


def without_tests(text):
    return text.split("#[cfg(test)]\nmod tests {")[0]


def without_comments(text):
    return re.sub(r"//.*", "", text)


def flat(use):
    """The paths of one `use`, without braces."""
    if "{" not in use:
        return [use.strip()]
    before, rest = use.split("{", 1)
    inside, parts, depth, part = rest.rsplit("}", 1)[0], [], 0, ""
    for letter in inside + ",":
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += letter
    return [path for part in parts if part.strip() for path in flat(before.strip() + part.strip())]


class Crate:
    def __init__(self, folder):
        source = ROOT / folder / "src"
        files = [f for f in sorted(source.rglob("*.rs"))
                 if "tests" not in f.relative_to(source).with_suffix("").parts and f.name not in ("lib.rs", "main.rs")]
        self.files = {".".join(f.relative_to(source).with_suffix("").parts): without_tests(f.read_text()) for f in files}
        self.lines = {name: text.count("\n") for name, text in self.files.items()}
        self.arrows = {name: self.used(name) - {name} for name in self.files}

    def used(self, name):
        """The files that a file uses."""
        text, found = without_comments(self.files[name]), set()
        paths = [path for use in USE.findall(text) for path in flat(use)] + ["crate" + p for p in PATH.findall(text)]
        for path in paths:
            parts, here = path.split("::"), name.split(".")
            if parts[0] == "self":
                parts = here + parts[1:]
            elif parts[0] == "super":
                ups = len([p for p in parts if p == "super"])
                parts = here[:-ups] + parts[ups:]
            elif parts[0] == "crate":
                parts = parts[1:]
            elif ".".join([*here, parts[0]]) in self.files:
                parts = here + parts
            else:
                continue
            # The longest beginning of the path that is a file.
            ends = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
            found.update(next(([end] for end in ends if end in self.files), []))
        return found

    def rooms(self):
        return sorted({room(name) for name in self.files})

    def room_arrows(self):
        return sorted({(room(a), room(b)) for a, used in self.arrows.items() for b in used if room(a) != room(b)})

    def upward(self, floor):
        """The imports that go up, as texts."""
        return [f"{a} uses {b}" for a, used in sorted(self.arrows.items()) for b in sorted(used)
                if room(a) != room(b) and floor[room(b)] <= floor[room(a)]]

    def cycles(self):
        """Files of which each uses the others, if not at once; a file and the files of its own folder count as one."""
        arrows = {}
        for a, used in self.arrows.items():
            arrows.setdefault(a, set()).update(b for b in used if not (a.startswith(b + ".") or b.startswith(a + ".")))
        return cycles(arrows)


def room(name):
    return name.split(".")[0]


def cycles(arrows):
    """The strongly connected components with more than one member."""
    def reached(start):
        seen, todo = set(), [start]
        while todo:
            for following in arrows.get(todo.pop(), ()):
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
        return seen
    reach = {name: reached(name) for name in arrows}
    groups = {frozenset({a} | {b for b in reach[a] if a in reach.get(b, ())}) for a in arrows if a in reach[a]}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def main(folder="sse-edge"):
    crate = Crate(folder)
    known = floors() if folder == "sse-edge" else {}
    for name in sorted(crate.rooms(), key=lambda name: (known.get(name, 0), name)):
        files = [f for f in crate.files if room(f) == name]
        uses = ", ".join(b for a, b in crate.room_arrows() if a == name)
        print(f"{known.get(name, ''):>2} {name:12} {len(files):2} files {sum(crate.lines[f] for f in files):5} lines  → {uses}")
    lengths = sorted(crate.lines.values())
    print(f"{len(lengths)} files, {sum(lengths)} lines without tests: median {statistics.median(lengths):.0f}, "
          f"p90 {lengths[int(len(lengths) * 0.9)]}, longest {lengths[-1]}")
    if known:
        print(f"{len(crate.room_arrows())} arrows between rooms, {len(crate.upward(known))} of them up")
    between = cycles({a: {y for x, y in crate.room_arrows() if x == a} for a in crate.rooms()})
    print(f"{len(between)} cycles across rooms{''.join(f'; {group}' for group in between)}")
    print(f"{len(crate.cycles())} cycles of files{''.join(f'; {group}' for group in crate.cycles())}")


if __name__ == "__main__":
    main(*sys.argv[1:])
