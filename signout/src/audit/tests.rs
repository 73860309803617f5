//! Promise: an entry is read back as it was written, and a damaged one is not read.

use super::*;

fn entry() -> AuditEntry {
    let revocation = |subject, user| AuditedRevocation { subject, id: RecordId([7; 16]), user };
    AuditEntry {
        key: AuditKey::new(1_795_332_120_123, u64::MAX),
        origin: AuditOrigin { via: "api".into(), name: "curl".into(), api_token: "1".into() },
        trace_id: Some(TraceId([5; 16])),
        note: AuditNote { realm: "shop".into(), reason: "a device was stolen".into() },
        exp: NEVER,
        revocations: vec![
            revocation(AuditSubject::Session, Some(RecordId([9; 16]))),
            revocation(AuditSubject::All, None),
        ],
    }
}

#[test]
fn an_entry_is_read_back() {
    assert_eq!(AuditEntry::of_row(&entry().row()), Some(entry()));
    let without_trace = AuditEntry { trace_id: None, ..entry() };
    assert_eq!(AuditEntry::of_row(&without_trace.row()), Some(without_trace));
    assert_eq!(entry().key.unix_milliseconds(), 1_795_332_120_123);
    assert_eq!(entry().key.to_string().parse(), Ok(entry().key));
}

#[test]
fn every_flipped_bit_of_an_entry_is_detected() {
    let row = entry().row();
    for bit in 0..row.content.len() * 8 {
        let mut flipped = row.clone();
        flipped.content[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(AuditEntry::of_row(&flipped), None, "bit {bit}");
    }
    for length in 0..row.content.len() {
        let short = AuditRow { content: row.content[..length].to_vec(), ..row.clone() };
        assert_eq!(AuditEntry::of_row(&short), None, "{length} bytes");
    }
    assert_eq!(AuditEntry::of_row(&AuditRow { key: AuditKey::FIRST, ..row }), None);
}

#[test]
fn an_entry_concerns_its_subjects_and_their_user() {
    let id = |byte| RecordId([byte; 16]);
    for (ids, expected) in [
        (&[id(7)][..], true),
        (&[id(9)], true),
        (&[id(8), id(9)], true),
        (&[id(8)], false),
        (&[], false),
    ] {
        assert_eq!(entry().concerns(ids), expected, "{ids:?}");
    }
}
