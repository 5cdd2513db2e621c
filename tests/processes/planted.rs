//! Planted mistakes are for the simulator alone.

use std::fs;

use tests::process::program;

/// The variable that names the mistake to make: a program with planted mistakes contains its name.
const VARIABLE: &[u8] = b"PLANTED_MISTAKE";

#[test]
fn no_program_that_ships_contains_a_planted_mistake() {
    for name in ["runnel", "sse-edge", "api", "fanout"] {
        let bytes = fs::read(program(name).as_std().get_program()).unwrap();
        assert!(
            !bytes.windows(VARIABLE.len()).any(|window| window == VARIABLE),
            "`{name}` has mistakes planted"
        );
    }
}
