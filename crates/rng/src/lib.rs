//! Random numbers: ids, generations, jitter, the order in which streams end.
//!
//! By default they come from the operating system, through `rand`. A thread with a seed draws the same sequence each
//! time: that is how the simulator replays a run.

use std::cell::RefCell;

use rand::{
    Rng, RngExt as _, SeedableRng as _,
    distr::{Distribution, StandardUniform, uniform::SampleRange, uniform::SampleUniform},
    rngs::StdRng,
    seq::SliceRandom as _,
};

thread_local! {
    static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// From now on this thread draws what follows from `seed`. For simulations only.
pub fn seed(seed: u64) {
    SEEDED.set(Some(StdRng::seed_from_u64(seed)));
}

/// Any value of `T`, each as likely as the others; of `f64`, one of 0 to 1 without 1.
pub fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    with(|rng| rng.random())
}

/// A value of `range`, each as likely as the others.
pub fn range<T: SampleUniform>(range: impl SampleRange<T>) -> T {
    with(|rng| rng.random_range(range))
}

/// Brings `items` into any order.
pub fn shuffle<T>(items: &mut [T]) {
    with(|mut rng| items.shuffle(&mut rng));
}

fn with<T>(draw: impl FnOnce(&mut dyn Rng) -> T) -> T {
    SEEDED.with_borrow_mut(|seeded| match seeded {
        Some(rng) => draw(rng),
        None => draw(&mut rand::rng()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_replayed_and_no_seed_is_not() {
        let draw = || {
            (random::<u128>(), range(0..1_000_000), {
                let mut items: Vec<u32> = (0..100).collect();
                shuffle(&mut items);
                items
            })
        };
        assert_ne!(draw(), draw());
        seed(7);
        let first = draw();
        assert_ne!(draw(), first);
        seed(7);
        assert_eq!(draw(), first);
    }
}
