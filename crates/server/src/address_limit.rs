//! How much of something one client address may hold, such as streams or connections, and which addresses count as one.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What is held, by client address.
#[derive(Debug, Default)]
pub struct AddressLimits(Mutex<HashMap<IpAddr, usize>>);

/// A permit of an address; dropping it gives it back.
#[derive(Debug)]
pub struct AddressPermit {
    addresses: Arc<AddressLimits>,
    /// None for an address that is not counted.
    group: Option<IpAddr>,
}

impl AddressLimits {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit for `address`, if fewer than `most` are given.
    pub fn acquire(self: &Arc<Self>, address: Option<IpAddr>, most: usize) -> Option<AddressPermit> {
        let group = address.and_then(group);
        if let Some(group) = group {
            let mut counts = self.lock();
            let given = counts.entry(group).or_default();
            if *given >= most {
                return None;
            }
            *given += 1;
        }
        Some(AddressPermit { addresses: self.clone(), group })
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let Some(group) = self.group else { return };
        let mut counts = self.addresses.lock();
        let left = counts.get_mut(&group).map_or(0, |given| {
            *given -= 1;
            *given
        });
        if left == 0 {
            counts.remove(&group);
        }
    }
}

/// The address that counts: for IPv6 the /64, which belongs to one customer. None for addresses of
/// private networks, which are proxies with many clients.
fn group(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_private() || v4.is_link_local() => None,
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() => None,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
        v4 @ IpAddr::V4(_) => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl AddressLimits {
        fn at(self: &Arc<Self>, address: &str, most: usize) -> Option<AddressPermit> {
            self.acquire(Some(address.parse().unwrap()), most)
        }
    }

    #[test]
    fn an_address_is_at_its_limit_until_a_permit_is_given_back() {
        let addresses = Arc::new(AddressLimits::default());
        let one = addresses.at("203.0.113.7", 2).unwrap();
        let _two = addresses.at("::ffff:203.0.113.7", 2).unwrap();
        assert!(addresses.at("203.0.113.7", 2).is_none());
        assert!(addresses.at("203.0.113.8", 2).is_some());
        drop(one);
        assert!(addresses.at("203.0.113.7", 2).is_some());
    }

    #[test]
    fn a_customer_with_many_ipv6_addresses_counts_as_one() {
        let addresses = Arc::new(AddressLimits::default());
        let _one = addresses.at("2001:db8:1:2::1", 1).unwrap();
        assert!(addresses.at("2001:db8:1:2:ffff::9", 1).is_none());
        assert!(addresses.at("2001:db8:1:3::1", 1).is_some());
    }

    #[test]
    fn proxies_are_not_counted_and_nothing_is_left() {
        let addresses = Arc::new(AddressLimits::default());
        for own in ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "::1", "fd00::1"] {
            assert!(addresses.at(own, 0).is_some(), "{own}");
        }
        drop(addresses.at("203.0.113.7", 1).unwrap());
        assert!(addresses.lock().is_empty());
    }
}
