//! A revocation, as a value.
//!
//! A [`Record`] revokes one token, or it is a cutoff: it revokes all tokens of a user, a session or
//! a realm that were issued before a given time. A record names the token, user, session or realm
//! by a [hash](crate::revocation::name). Records form a join-semilattice under [`Record::merge`],
//! so reordering, duplicates and replays lose nothing.

pub use crate::revocation::name::RecordId;

/// The `exp` of a record that is kept for ever.
pub const NEVER: u64 = u64::MAX;

/// The first time that is refused, in seconds since 1970 UTC. A larger value must be in
/// milliseconds: seconds reach it in the year 36,812, milliseconds did in 2004.
pub const TIME_LIMIT_SECONDS: u64 = 1 << 40;

/// The length of a record in the feed and the outbox: kind, id, issued_before and exp, big endian.
pub const RECORD_BYTES: usize = 33;

/// The kind of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// One token.
    Token = 1,
    /// The tokens of one user, or of one session of a user, that were issued before a given time,
    /// and those without `iat`. Users and sessions have different [names](crate::revocation::name).
    User = 2,
    /// The tokens of every user of a realm that were issued before a given time, and those without
    /// `iat`.
    All = 3,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Token, Self::User, Self::All];

    /// Returns the name of the kind in the service's JSON and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::User => "user",
            Self::All => "all",
        }
    }
}

/// One revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// The id of the token, the user, the session or, for [`Kind::All`], the realm. It is the first
    /// field, so that records sort by id.
    pub id: RecordId,
    /// The kind of the revocation.
    pub kind: Kind,
    /// For a cutoff ([`Kind::User`] or [`Kind::All`]), a time in seconds since 1970 UTC: of the
    /// user, session or realm, every token whose `iat` is earlier and every token without `iat` is
    /// revoked. For one token ([`Kind::Token`]): 0.
    pub issued_before: u64,
    /// The time when the last revoked token has expired, in seconds since 1970 UTC, or [`NEVER`].
    pub exp: u64,
}

impl Record {
    /// Creates the revocation of one token.
    #[must_use]
    pub fn token(id: RecordId, exp: u64) -> Self {
        Self { id, kind: Kind::Token, issued_before: 0, exp }
    }

    /// Creates a user's cutoff.
    #[must_use]
    pub fn user(id: RecordId, issued_before: u64, exp: u64) -> Self {
        Self { id, kind: Kind::User, issued_before, exp }
    }

    /// Creates a session's cutoff. Its kind is [`Kind::User`], like that of a user's cutoff.
    #[must_use]
    pub fn session(id: RecordId, issued_before: u64, exp: u64) -> Self {
        Self::user(id, issued_before, exp)
    }

    /// Creates the cutoff for all users of a realm.
    #[must_use]
    pub fn all(realm: &str, issued_before: u64, exp: u64) -> Self {
        Self { id: RecordId::of_all(realm), kind: Kind::All, issued_before, exp }
    }

    /// Returns the key under which records are merged and sorted.
    #[must_use]
    pub fn key(&self) -> (RecordId, Kind) {
        (self.id, self.kind)
    }

    /// Merges two records of the same key. The result revokes every token that one of them revokes,
    /// and is kept as long as either.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        debug_assert_eq!(self.key(), other.key());
        Self {
            issued_before: self.issued_before.max(other.issued_before),
            exp: self.exp.max(other.exp),
            ..self
        }
    }

    /// Returns whether this record makes `other` superfluous: both have the same key, and `other`
    /// revokes no further token and need not be kept longer.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.key() == other.key() && self.merge(*other) == *self
    }

    /// Encodes the record for the feed and the outbox.
    #[must_use]
    pub fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let parts: [&[u8]; 4] = [
            &[self.kind as u8],
            &self.id.0,
            &self.issued_before.to_be_bytes(),
            &self.exp.to_be_bytes(),
        ];
        for (byte, from) in bytes.iter_mut().zip(parts.concat()) {
            *byte = from;
        }
        bytes
    }

    /// Decodes a record. Returns `None` if a field has an invalid value.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        let (&id, rest) = rest.split_first_chunk()?;
        let (&issued_before, rest) = rest.split_first_chunk()?;
        let exp = rest.try_into().ok()?;
        let record = Self {
            id: RecordId(id),
            kind: Kind::ALL.into_iter().find(|known| *known as u8 == kind)?,
            issued_before: u64::from_be_bytes(issued_before),
            exp: u64::from_be_bytes(exp),
        };
        record.is_sound().then_some(record)
    }

    /// Returns whether the times are valid: `issued_before` is 0 for a token and positive for a
    /// cutoff, and no time is so large that it must be in milliseconds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let exp = self.exp < TIME_LIMIT_SECONDS || self.exp == NEVER;
        let cutoff = match self.kind {
            Kind::Token => self.issued_before == 0,
            Kind::User | Kind::All => (1..TIME_LIMIT_SECONDS).contains(&self.issued_before),
        };
        exp && cutoff
    }
}

#[cfg(test)]
pub(crate) mod strategies {
    //! Arbitrary records for the property tests of the set and the wire form.
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn record() -> impl Strategy<Value = Record> {
        // Few different ids, so that records collide.
        let id = (0u8..8, any::<bool>()).prop_map(|(tail, high)| {
            let mut id = [if high { 0xff } else { 0 }; 16];
            id[15] = tail;
            RecordId(id)
        });
        let exp = prop_oneof![3 => 0u64..2_000, 1 => Just(NEVER)];
        (id, 0..3usize, 1u64..2_000, exp).prop_map(|(id, kind, issued_before, exp)| {
            let kind = Kind::ALL[kind];
            let issued_before = if kind == Kind::Token { 0 } else { issued_before };
            Record { id, kind, issued_before, exp }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_in_milliseconds_is_not_sound() {
        let id = RecordId::FIRST;
        for (exp, is_sound) in [
            (1_795_332_120, true),
            (TIME_LIMIT_SECONDS - 1, true),
            (TIME_LIMIT_SECONDS, false),
            (1_795_332_120_000, false),
            (NEVER - 1, false),
            (NEVER, true),
        ] {
            assert_eq!(Record::token(id, exp).is_sound(), is_sound, "{exp}");
        }
        assert!(!Record::user(id, 1_795_332_120_000, NEVER).is_sound());
        assert!(!Record::user(id, 0, NEVER).is_sound());
    }

    proptest! {
        #[test]
        fn a_record_is_read_back(record in strategies::record()) {
            prop_assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        }

        #[test]
        fn a_merge_covers_both(a in strategies::record(), b in strategies::record()) {
            let b = Record { id: a.id, kind: a.kind, issued_before: if a.kind == Kind::Token { 0 } else { b.issued_before.max(1) }, ..b };
            prop_assert_eq!(a.merge(b), b.merge(a));
            prop_assert!(a.merge(b).covers(&a) && a.merge(b).covers(&b));
        }

        #[test]
        fn any_33_bytes_are_read_or_refused(bytes: [u8; 32], kind in 0u8..5) {
            let mut whole = [kind; RECORD_BYTES];
            whole[1..].copy_from_slice(&bytes);
            if let Some(record) = Record::from_bytes(&whole) {
                prop_assert_eq!(record.to_bytes(), whole);
            }
        }
    }
}
