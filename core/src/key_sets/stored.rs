//! How do the VMs of one process share a set?
//!
//! As it was published, with the time at which it came, in one value: whoever reads it judges it anew
//! under a configuration of its own. The moment at which a token missed a key is another value.

use crate::shared::names::{KeySpace, SharedName};
use crate::shared::{Expect, SharedData, Stored, Version};

/// Where the values of one set are.
#[derive(Clone, Debug)]
pub(super) struct KeySetNames {
    set: SharedName,
    missed: SharedName,
}

/// A set as it was published.
pub(super) struct Published {
    /// Monotonic milliseconds.
    pub(super) fetched_at: u64,
    pub(super) json: Vec<u8>,
}

impl KeySetNames {
    pub(super) fn new(space: &KeySpace) -> Self {
        Self { set: space.name("keys", None), missed: space.name("missed", None) }
    }

    /// The number of the last write and, if it is well-formed, what it wrote.
    pub(super) fn read(&self, shared: &dyn SharedData) -> Option<(Version, Option<Published>)> {
        let Stored { value, version } = shared.get(&self.set)?;
        Some((version, Published::from_bytes(&value)))
    }

    /// Writes the set if nobody has since that write.
    #[must_use]
    pub(super) fn write(
        &self,
        shared: &dyn SharedData,
        published: &Published,
        since: Option<Version>,
    ) -> bool {
        let expect = since.map_or(Expect::Absent, Expect::At);
        shared.set_if(&self.set, &published.to_bytes(), expect)
    }

    /// When a token last missed a key.
    pub(super) fn missed_at(&self, shared: &dyn SharedData) -> Option<u64> {
        let value = shared.get(&self.missed)?.value;
        Some(u64::from_be_bytes(value.strip_prefix(MAGIC)?.try_into().ok()?))
    }

    /// A token missed a key.
    pub(super) fn note_missed(&self, shared: &dyn SharedData, now: u64) {
        let value = [MAGIC, &now.to_be_bytes()].concat();
        let _always = shared.set_if(&self.missed, &value, Expect::Anything);
    }
}

impl Published {
    fn to_bytes(&self) -> Vec<u8> {
        [MAGIC, &self.fetched_at.to_be_bytes(), &self.json].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&fetched_at, json) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        Some(Self { fetched_at: u64::from_be_bytes(fetched_at), json: json.to_vec() })
    }
}

const MAGIC: &[u8] = b"SGK1";
