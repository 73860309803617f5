//! Stores key sets in shared data, for all VMs of the process.
//!
//! One value contains the set as it was published and the time when it was fetched. Each VM
//! interprets it according to its own configuration. Two more values record when a token named an
//! unknown key, and that fetching has failed.

use crate::shared::names::{KeySpace, SharedName};
use crate::shared::{Expect, SharedData, Stored, Version};

/// The names of one set's values in shared data.
#[derive(Clone, Debug)]
pub(super) struct KeySetNames {
    set: SharedName,
    missed: SharedName,
    failed: SharedName,
}

/// A set as it was published.
pub(super) struct Published {
    /// The time when the set was fetched, in monotonic milliseconds.
    pub(super) fetched_at: u64,
    pub(super) json: Vec<u8>,
}

impl KeySetNames {
    pub(super) fn new(space: &KeySpace) -> Self {
        Self {
            set: space.name("keys", None),
            missed: space.name("missed", None),
            failed: space.name("failed", None),
        }
    }

    /// Reads the set unless it still has the version `seen`. Returns its version and, if the value is
    /// well-formed, the set.
    pub(super) fn read(
        &self,
        shared: &dyn SharedData,
        seen: Option<Version>,
    ) -> Option<(Version, Option<Published>)> {
        let Stored { value, version } = shared.get(&self.set)?;
        (Some(version) != seen).then(|| (version, Published::from_bytes(&value)))
    }

    /// Writes the set unless another VM has written it since version `since`.
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

    /// Returns when a token last named a key that is not in the set.
    pub(super) fn missed_at(&self, shared: &dyn SharedData) -> Option<u64> {
        let value = shared.get(&self.missed)?.value;
        Some(u64::from_be_bytes(value.strip_prefix(MAGIC)?.try_into().ok()?))
    }

    /// Records that a token has named a key that is not in the set.
    pub(super) fn note_missed(&self, shared: &dyn SharedData, now: u64) {
        let value = [MAGIC, &now.to_be_bytes()].concat();
        let _always = shared.set_if(&self.missed, &value, Expect::Anything);
    }

    /// Returns whether fetching the set has failed in this process.
    pub(super) fn has_failed(&self, shared: &dyn SharedData) -> bool {
        shared.version(&self.failed).is_some()
    }

    /// Records that fetching the set has failed.
    pub(super) fn note_failed(&self, shared: &dyn SharedData) {
        if !self.has_failed(shared) {
            let _always = shared.set_if(&self.failed, &[], Expect::Anything);
        }
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
