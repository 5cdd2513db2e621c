//! Eight parsers of untrusted bytes, and what must hold whatever the bytes are.
//!
//! A target panics if its parser does, or if the parser contradicts itself. `tests/run fuzz` runs each of them under
//! libFuzzer; the tests here run them on their seeds and on a few mutants of those.

mod head;
mod parsers;

/// What takes bytes, and panics where something does not hold.
pub type Target = fn(&[u8]);

/// The targets: each has a folder of seeds by its name.
pub const TARGETS: [(&str, Target); 8] = [
    ("cookie", parsers::cookie),
    ("cursor", parsers::cursor),
    ("envelope", parsers::envelope),
    ("head", head::head),
    ("job", parsers::job),
    ("json", parsers::json),
    ("page", parsers::page),
    ("token", parsers::token),
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    /// Mutants of each seed.
    const MUTANTS: usize = 100;

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    /// Some bytes changed, taken out or doubled.
    fn mutant(seed: &[u8], rng: &mut StdRng) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..=bytes.len());
            match rng.random_range(0..4) {
                0 => bytes.insert(at, rng.random()),
                1 if at < bytes.len() => bytes[at] = rng.random(),
                2 => drop(bytes.drain(at..(at + rng.random_range(0..8)).min(bytes.len()))),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    }

    #[test]
    fn each_target_has_seeds_and_takes_their_mutants() {
        let mut folders = BTreeSet::new();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")).unwrap() {
            folders.insert(entry.unwrap().file_name().into_string().unwrap());
        }
        assert_eq!(folders, TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
        let mut rng = StdRng::seed_from_u64(7);
        for (name, target) in TARGETS {
            let seeds = seeds(name);
            assert!(!seeds.is_empty(), "{name}");
            for seed in &seeds {
                target(seed);
                (0..MUTANTS).for_each(|_| target(&mutant(seed, &mut rng)));
            }
        }
    }
}
