//! Why the edge ends a stream, resets a client, or refuses a stream. The words of each list stand on the wire and in
//! the metrics.

/// Writes an enum, the list of its variants and their words from one list, so that none can be forgotten in another.
macro_rules! reasons {
    (
        $(#[$about:meta])*
        $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$what])* $variant,)+
        }

        impl $name {
            /// Every variant, in the order of their discriminants.
            pub(crate) const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The variant as clients and metrics read it.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

reasons! {
    /// Why the edge ends a stream. The client reads it in `bye`.
    CloseReason {
        /// The edge shuts down; another edge takes over.
        Drain = "drain",
        /// The credentials have expired: fetch new ones.
        Expired = "expired",
        /// The user's credentials were revoked.
        Revoked = "revoked",
        /// The ticket is unknown, used or expired: fetch a new one.
        Ticket = "ticket",
        /// A limit is reached, or the credentials cannot be verified just now.
        Busy = "busy",
        /// The stream has reached its maximum age, so that a fleet rebalances.
        Age = "age",
    }
}

reasons! {
    /// Why a client has to list again.
    ResetReason {
        /// The client's cursor cannot be read.
        Unreadable = "unreadable",
        /// The cursor is of another generation of the inbox.
        Generation = "generation",
        /// The cursor is above the inbox, twice.
        Above = "above",
        /// The client is more than [`REPLAY_EVENTS`](domain::limits::REPLAY_EVENTS) events behind.
        Behind = "behind",
        /// The next event of the inbox is missing for good.
        Gap = "hole",
    }
}

reasons! {
    /// Which limit refuses a stream.
    Limit {
        /// Streams of the user on this edge.
        User = "user",
        /// Streams of the client's address.
        Address = "address",
        /// Streams of the edge.
        Edge = "edge",
    }
}

/// Why a stream ended, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The client disconnected, or the socket broke.
    Gone,
    /// The stream was a poll's, and the poll was answered.
    Polled,
    /// The edge said bye.
    Closed(CloseReason),
}

impl EndReason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Polled => "polled",
            Self::Closed(why) => why.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_page_explains_each_reason_that_a_client_reads() {
        let page = include_str!("../../../docs/WIRE.md");
        let closes = CloseReason::ALL.map(CloseReason::as_str);
        let resets = ResetReason::ALL.map(ResetReason::as_str);
        for reason in closes.iter().chain(&resets) {
            assert!(page.contains(&format!("| `{reason}` |")), "docs/WIRE.md does not explain `{reason}`");
        }
    }

    #[test]
    fn a_variant_stands_at_the_place_of_its_discriminant() {
        assert!(CloseReason::ALL.iter().enumerate().all(|(place, why)| *why as usize == place));
    }
}
