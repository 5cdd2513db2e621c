"""The code stands on the floors that docs/ARCHITECTURE.md gives its rooms."""

import sys
import unittest

from stack import ROOT

sys.path.insert(0, str(ROOT / "tests"))
from structure import Crate, cycles, floors


class Structure(unittest.TestCase):
    def test_each_room_of_the_edge_is_on_the_map(self):
        self.assertEqual(sorted(floors()), Crate("sse-edge").rooms())

    def test_each_room_of_the_edge_uses_only_lower_floors(self):
        self.assertEqual(Crate("sse-edge").upward(floors()), [])

    def test_no_rooms_of_the_edge_use_each_other(self):
        crate = Crate("sse-edge")
        self.assertEqual(cycles({a: {y for x, y in crate.room_arrows() if x == a} for a in crate.rooms()}), [])

    def test_an_import_that_goes_up_is_found(self):
        crate = Crate("sse-edge")
        crate.files["wire.frame"] += "\nuse crate::{context::Context, user::{self, hub::Hub}};\n"
        crate.arrows["wire.frame"] = crate.used("wire.frame")
        found = ["wire.frame uses context", "wire.frame uses user", "wire.frame uses user.hub"]
        self.assertEqual(crate.upward(floors()), found)


if __name__ == "__main__":
    unittest.main()
