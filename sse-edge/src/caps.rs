//! How many streams may be open at once, and who is counted together.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cap {
    /// The user has as many streams here as one may have.
    User,
    /// The client's address has.
    Address,
    /// The edge holds as many as it takes.
    Edge,
}

impl Cap {
    /// Every cap, for metrics.
    pub(crate) const ALL: [Self; 3] = [Self::User, Self::Address, Self::Edge];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Address => "address",
            Self::Edge => "edge",
        }
    }
}

/// Streams by client address.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// A place among the streams of an address; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    addresses: Arc<Addresses>,
    /// None of an address that is not counted.
    group: Option<IpAddr>,
}

impl Addresses {
    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for `address`, if fewer than `most` are taken.
    pub(crate) fn take(self: &Arc<Self>, address: Option<IpAddr>, most: usize) -> Result<Place, Cap> {
        let group = address.and_then(group);
        if let Some(group) = group {
            let mut counts = self.counts();
            let taken = counts.entry(group).or_default();
            if *taken >= most {
                return Err(Cap::Address);
            }
            *taken += 1;
        }
        Ok(Place { addresses: self.clone(), group })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(group) = self.group else { return };
        let mut counts = self.addresses.counts();
        let left = counts.get_mut(&group).map_or(0, |taken| {
            *taken -= 1;
            *taken
        });
        if left == 0 {
            counts.remove(&group);
        }
    }
}

/// The address that streams are counted under: of IPv6 the /64, which is one customer's. None for
/// addresses of one's own networks, where whoever comes for many is a proxy.
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

    impl Addresses {
        fn at(self: &Arc<Self>, address: &str, most: usize) -> Result<Place, Cap> {
            self.take(Some(address.parse().unwrap()), most)
        }
    }

    #[test]
    fn an_address_is_full_until_one_of_its_places_is_given_back() {
        let addresses = Arc::new(Addresses::default());
        let one = addresses.at("203.0.113.7", 2).unwrap();
        let _two = addresses.at("::ffff:203.0.113.7", 2).unwrap();
        assert_eq!(addresses.at("203.0.113.7", 2).unwrap_err(), Cap::Address);
        assert!(addresses.at("203.0.113.8", 2).is_ok());
        drop(one);
        assert!(addresses.at("203.0.113.7", 2).is_ok());
    }

    #[test]
    fn a_customer_with_many_ipv6_addresses_counts_as_one() {
        let addresses = Arc::new(Addresses::default());
        let _one = addresses.at("2001:db8:1:2::1", 1).unwrap();
        assert!(addresses.at("2001:db8:1:2:ffff::9", 1).is_err());
        assert!(addresses.at("2001:db8:1:3::1", 1).is_ok());
    }

    #[test]
    fn proxies_are_not_counted_and_nothing_stays_behind() {
        let addresses = Arc::new(Addresses::default());
        for own in ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "::1", "fd00::1"] {
            assert!(addresses.at(own, 0).is_ok(), "{own}");
        }
        drop(addresses.at("203.0.113.7", 1).unwrap());
        assert!(addresses.counts().is_empty());
    }
}
