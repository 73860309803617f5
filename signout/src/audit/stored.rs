//! The form of an audit entry in a store.
//!
//! The form is a version, then the entry in the compact form of
//! [postcard](https://postcard.jamesmunns.com), then the trace id if the entry has one, then a
//! checksum over key and content. Because of the checksum, a damaged entry is left out instead of
//! shown.
//!
//! Postcard knows where its part ends, so a version that does not know the trace id ignores it. A
//! later addition belongs behind it.

use serde::{Deserialize, Serialize};
use session_guard_core::hash::sha256;
use session_guard_core::revocation::record::RecordId;
use session_guard_core::trace_context::TraceId;

use super::{
    AuditEntry, AuditKey, AuditNote, AuditOrigin, AuditRow, AuditSubject, AuditedRevocation,
};

/// The content of a row, except its version and its checksum.
#[derive(Serialize, Deserialize)]
struct StoredAudit {
    origin: AuditOrigin,
    note: AuditNote,
    exp: u64,
    revocations: Vec<(AuditSubject, [u8; 16], Option<[u8; 16]>)>,
}

/// Returns the content of the entry's row.
pub(super) fn encode(entry: &AuditEntry) -> Vec<u8> {
    let stored = StoredAudit {
        origin: entry.origin.clone(),
        note: entry.note.clone(),
        exp: entry.exp,
        revocations: (entry.revocations.iter())
            .map(|it| (it.subject, it.id.0, it.user.map(|user| user.0)))
            .collect(),
    };
    // Only a type that postcard does not support could fail.
    let mut content = postcard::to_extend(&stored, vec![VERSION]).unwrap_or_default();
    content.extend(entry.trace_id.iter().flat_map(|trace| trace.0));
    content.extend(checksum(entry.key, &content));
    content
}

/// Returns the entry of a row, or `None` if it cannot be read.
pub(super) fn decode(row: &AuditRow) -> Option<AuditEntry> {
    let (content, stored) = row.content.split_last_chunk()?;
    let (&version, bytes) = content.split_first()?;
    if version != VERSION || checksum(row.key, content) != *stored {
        return None;
    }
    let (stored, rest) = postcard::take_from_bytes(bytes).ok()?;
    let StoredAudit { origin, note, exp, revocations } = stored;
    let trace_id = rest.first_chunk().copied().map(TraceId);
    let revocation = |(subject, id, user): (_, _, Option<_>)| AuditedRevocation {
        subject,
        id: RecordId(id),
        user: user.map(RecordId),
    };
    let revocations = revocations.into_iter().map(revocation).collect();
    Some(AuditEntry { key: row.key, origin, trace_id, note, exp, revocations })
}

fn checksum(key: AuditKey, content: &[u8]) -> [u8; 8] {
    sha256([&key.0.to_be_bytes()[..], content])
}

const VERSION: u8 = 1;
