//! One target, run by libFuzzer: `tests/run fuzz` builds this with coverage, and names the target in `RUNNEL_FUZZ`.

#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("RUNNEL_FUZZ").unwrap_or_default();
    fuzz::target(&name).unwrap_or_else(|| panic!("RUNNEL_FUZZ must name a folder of tests/fuzz/seeds"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
