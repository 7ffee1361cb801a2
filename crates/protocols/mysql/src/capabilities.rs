//! What both sides agree to speak (manual, "Capabilities Flags"; MariaDB, "Connection", "Capabilities").
//!
//! INVARIANT: nothing is promised to the client that the upstream lacks, and nothing to either side that is not
//! handled here.

/// Capability flags: MySQL's 32 bits, and MariaDB's own above them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal,)*) => {
        impl Capabilities {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            /// The names of the flags with their bits.
            pub const NAMES: &'static [(&'static str, u32)] = &[$((stringify!($name), $bit),)*];
        }
    };
}

flags! {
    /// `CLIENT_MYSQL`: off where MariaDB's own flags are meant (`CLIENT_LONG_PASSWORD` of old).
    MYSQL = 0,
    /// Rows that were found, not those that were changed, are counted.
    FOUND_ROWS = 1,
    /// Column flags of two bytes.
    LONG_FLAG = 2,
    /// The schema stands in the handshake.
    CONNECT_WITH_DB = 3,
    /// `schema.table` is not understood.
    NO_SCHEMA = 4,
    /// Envelopes by zlib.
    COMPRESS = 5,
    /// A client of ODBC; means nothing.
    ODBC = 6,
    /// The client has files to give (`LOAD DATA LOCAL`).
    LOCAL_FILES = 7,
    /// Blanks before `(` are allowed: changes how texts are read.
    IGNORE_SPACE = 8,
    /// The protocol since 4.1: asked of everybody.
    PROTOCOL_41 = 9,
    /// An interactive client: another time-out.
    INTERACTIVE = 10,
    /// TLS.
    SSL = 11,
    /// The client ignores signals; means nothing.
    IGNORE_SIGPIPE = 12,
    /// Status flags of transactions.
    TRANSACTIONS = 13,
    /// Means nothing any more.
    RESERVED = 14,
    /// Log-in since 4.1.
    SECURE_CONNECTION = 15,
    /// Several statements in one text.
    MULTI_STATEMENTS = 16,
    /// Several results of one text.
    MULTI_RESULTS = 17,
    /// Several results of one prepared statement.
    PS_MULTI_RESULTS = 18,
    /// Log-in by a named method.
    PLUGIN_AUTH = 19,
    /// Attributes of the client.
    CONNECT_ATTRS = 20,
    /// A log-in answer of more than 255 bytes.
    LENENC_AUTH = 21,
    /// Expired passwords can be handled.
    EXPIRED_PASSWORDS = 22,
    /// Changes of the session's state in OK packets.
    SESSION_TRACK = 23,
    /// No EOF packets.
    DEPRECATE_EOF = 24,
    /// Results may come without their columns.
    OPTIONAL_METADATA = 25,
    /// Envelopes by zstd.
    ZSTD = 26,
    /// Values beside the text of a query.
    QUERY_ATTRIBUTES = 27,
    /// More than one factor of log-in.
    MULTI_FACTOR = 28,
    /// Reserved for more flags.
    EXTENSION = 29,
    /// The client verifies the certificate; not sent.
    VERIFY_SERVER_CERT = 30,
    /// The client keeps its options; not sent.
    REMEMBER_OPTIONS = 31,
    /// MariaDB: progress of long statements.
    PROGRESS = 32,
    /// MariaDB: several commands at once (taken out of the server again).
    MULTI_COMMANDS = 33,
    /// MariaDB: `COM_STMT_BULK_EXECUTE`.
    BULK_OPERATIONS = 34,
    /// MariaDB: type names in column definitions.
    EXTENDED_METADATA = 35,
    /// MariaDB: columns of prepared statements are not sent again.
    CACHE_METADATA = 36,
    /// MariaDB: a result for each row of a bulk execution.
    BULK_UNIT_RESULTS = 37,
}

/// What is handled between client and upstream, whichever of them has it. `OPTIONAL_METADATA` and `CACHE_METADATA` are
/// not: masks need the columns. `IGNORE_SPACE` and `NO_SCHEMA` are not: they change how texts are read.
const HANDLED: u64 = {
    Capabilities::MYSQL.0
        | Capabilities::FOUND_ROWS.0
        | Capabilities::LONG_FLAG.0
        | Capabilities::CONNECT_WITH_DB.0
        | Capabilities::ODBC.0
        | Capabilities::LOCAL_FILES.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::INTERACTIVE.0
        | Capabilities::IGNORE_SIGPIPE.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::RESERVED.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::MULTI_STATEMENTS.0
        | Capabilities::MULTI_RESULTS.0
        | Capabilities::PS_MULTI_RESULTS.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::CONNECT_ATTRS.0
        | Capabilities::LENENC_AUTH.0
        | Capabilities::SESSION_TRACK.0
        | Capabilities::DEPRECATE_EOF.0
        | Capabilities::QUERY_ATTRIBUTES.0
        | Capabilities::PROGRESS.0
        | Capabilities::BULK_OPERATIONS.0
        | Capabilities::EXTENDED_METADATA.0
        | Capabilities::BULK_UNIT_RESULTS.0
};

/// What the gateway does for the client by itself, whatever the upstream can.
const OWN: u64 = Capabilities::PLUGIN_AUTH.0
    | Capabilities::SECURE_CONNECTION.0
    | Capabilities::PROTOCOL_41.0
    | Capabilities::CONNECT_ATTRS.0
    | Capabilities::LENENC_AUTH.0
    | Capabilities::CONNECT_WITH_DB.0;

/// Without these no session is had: the packets of older clients and servers are others.
const NEEDED: u64 = Capabilities::PROTOCOL_41.0 | Capabilities::SECURE_CONNECTION.0 | Capabilities::PLUGIN_AUTH.0;

impl Capabilities {
    /// Whether all of `wanted` are set.
    pub const fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// These and `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether MariaDB's own flags are meant.
    pub const fn is_mariadb(self) -> bool {
        !self.has(Self::MYSQL)
    }

    /// The 32 bits of MySQL.
    pub const fn low(self) -> u32 {
        let [a, b, c, d, ..] = self.0.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// The 32 bits of MariaDB; only meant where [`Capabilities::is_mariadb`].
    pub const fn high(self) -> u32 {
        let [.., a, b, c, d] = self.0.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// Flags out of both halves.
    pub const fn of(low: u32, high: u32) -> Self {
        let [a, b, c, d] = low.to_le_bytes();
        let [e, f, g, h] = high.to_le_bytes();
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    /// Whether a peer speaks enough for a session.
    pub const fn are_enough(self) -> bool {
        self.0 & NEEDED == NEEDED
    }

    /// What the greeting promises a client: `tls` and `compression` are the gateway's own to offer.
    #[must_use]
    pub const fn offered(upstream: Self, tls: bool, compression: bool) -> Self {
        let mut out = Self(upstream.0 & HANDLED | OWN);
        if tls {
            out = out.with(Self::SSL);
        }
        if compression {
            out = out.with(Self::COMPRESS).with(Self::ZSTD);
        }
        out
    }

    /// What the client and the gateway speak: what was offered and is wanted.
    #[must_use]
    pub const fn agreed(offered: Self, wanted: Self) -> Self {
        Self(offered.0 & wanted.0)
    }

    /// What the gateway asks of the upstream for a client that agreed to `client`: the same, so that answers can be
    /// passed on, and changes of the session's state, by which texts are read rightly.
    #[must_use]
    pub const fn towards_upstream(upstream: Self, client: Self) -> Self {
        let own = OWN | Self::SESSION_TRACK.0 | Self::TRANSACTIONS.0 | Self::LONG_FLAG.0;
        // The flag that says whose dialect of the protocol this is follows the upstream.
        Self((client.0 & HANDLED | own) & upstream.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_promised_that_the_upstream_lacks_or_that_is_not_handled(upstream: u64, wanted: u64) {
            let upstream = Capabilities(upstream);
            let offered = Capabilities::offered(upstream, false, false);
            prop_assert_eq!(offered.0 & !(upstream.0 | OWN), 0);
            prop_assert_eq!(offered.0 & !(HANDLED | OWN), 0);
            let agreed = Capabilities::agreed(offered, Capabilities(wanted));
            let asked = Capabilities::towards_upstream(upstream, agreed);
            prop_assert_eq!(asked.0 & !upstream.0, 0);
            for never in [Capabilities::OPTIONAL_METADATA, Capabilities::CACHE_METADATA, Capabilities::IGNORE_SPACE,
                Capabilities::NO_SCHEMA, Capabilities::MULTI_FACTOR, Capabilities::EXPIRED_PASSWORDS] {
                prop_assert!(!offered.has(never) && !asked.has(never));
            }
        }
    }

    #[test]
    fn halves_come_back() {
        let all = Capabilities::of(0x8000_0001, 0x2000_0004);
        assert_eq!((all.low(), all.high()), (0x8000_0001, 0x2000_0004));
        assert!(all.has(Capabilities::BULK_OPERATIONS) && all.has(Capabilities::MYSQL));
    }
}
