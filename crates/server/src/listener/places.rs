//! The places of a listener: how many connections it holds, in all and of one client address.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Options;
use crate::address_limit::{AddressLimits, AddressPermit};

/// The places of a listener, taken and free. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    max: usize,
    addresses: Arc<AddressLimits>,
    /// None behind a proxy: its address is that of many clients.
    address_max: Option<usize>,
}

impl Places {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            free: Arc::new(Semaphore::new(options.connections_max)),
            max: options.connections_max,
            addresses: Arc::default(),
            address_max: options.address_connections_max,
        }
    }

    /// A place, as soon as one is free.
    pub(super) async fn take(&self) -> OwnedSemaphorePermit {
        self.free.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// The permit of a connection from `address`; none if that address has as many as it may.
    pub(super) fn admit(&self, address: IpAddr) -> Option<AddressPermit> {
        self.addresses.acquire(self.address_max.map(|_| address), self.address_max.unwrap_or(0))
    }

    /// Whether idle connections give way to new ones: less than a fifth of the places is free. Not behind a proxy, which
    /// would send its next request into a connection that closes.
    pub(super) fn are_scarce(&self) -> bool {
        self.address_max.is_some() && self.free.available_permits() * 5 < self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(address_connections_max: Option<usize>) -> Places {
        Places::new(&Options { connections_max: 10, address_connections_max, ..Options::default() })
    }

    #[tokio::test]
    async fn one_address_leaves_places_to_the_others() {
        let (places, one) = (places(Some(2)), "203.0.113.7".parse().unwrap());
        let held = [places.admit(one), places.admit(one)];
        assert!(held.iter().all(Option::is_some) && places.admit(one).is_none());
        assert!(places.admit("203.0.113.8".parse().unwrap()).is_some());
        drop(held);
        assert!(places.admit(one).is_some());
    }

    #[tokio::test]
    async fn behind_a_proxy_no_address_counts_and_nothing_gives_way() {
        let (places, proxy) = (places(None), "203.0.113.7".parse().unwrap());
        let held: Vec<_> = (0..20).map(|_| places.admit(proxy)).collect();
        assert!(held.iter().all(Option::is_some));
        let mut taken = Vec::new();
        for _ in 0..10 {
            taken.push(places.take().await);
        }
        assert!(!places.are_scarce());
    }
}
