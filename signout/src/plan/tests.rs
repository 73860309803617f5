//! Promise: a full set accepts cutoffs, no account can fill it, and a batch is stored up to the
//! first record that does not fit.

use proptest::prelude::*;
use session_guard_core::revocation::record::NEVER;

use super::*;
use crate::store::Obsolete;

fn id(number: u64) -> RecordId {
    RecordId(u128::from(number).to_be_bytes())
}

fn token(number: u64) -> PlannedRecord {
    Record::token(id(number), 4_000_000_000).into()
}

fn user(number: u64) -> PlannedRecord {
    Record::user(id(number), 1_000, NEVER).into()
}

/// Returns the record of a token that names its account.
fn of_account(number: u64, account: u64) -> PlannedRecord {
    let cutoff = Record::user(id(account), 2_000, 4_000_000_000);
    PlannedRecord { of_account: Some(cutoff), ..token(number) }
}

/// Returns the records as the revocations of one call.
fn call(records: &[PlannedRecord]) -> Submission {
    Submission { records: records.to_vec(), ..Submission::default() }
}

fn empty_log() -> Log {
    Log::new(Entry { position: Position { sequence: 1, tag: 1 }, record: None })
}

/// Adds each batch to a log, in its own commit. Returns the number of stored records per batch.
fn store(log: &mut Log, capacity: usize, batches: &[Vec<PlannedRecord>]) -> Vec<usize> {
    let mut accounts = Accounts::default();
    let commit = |batch: &Vec<PlannedRecord>| {
        let mut plan = Plan::new(log, Capacity::of(capacity));
        let stored = plan.add(&call(batch), &mut accounts, 0).unwrap().stored;
        for entry in plan.into_entries() {
            log.append(entry, &mut Obsolete::default());
        }
        stored
    };
    batches.iter().map(commit).collect()
}

#[test]
fn a_full_set_accepts_cutoffs_and_known_tokens() {
    let mut log = empty_log();
    let all: PlannedRecord = Record::all("", 1_000, NEVER).into();
    let later = Record { exp: NEVER, ..token(2).record }.into();
    let batches = [
        vec![token(1), token(2), token(3)],
        vec![token(4)],
        vec![user(1), user(2), all, token(4)],
        vec![later, token(1), token(5), token(2)],
    ];
    assert_eq!(store(&mut log, 3, &batches), [3, 0, 3, 2]);
    assert_eq!((log.count_of(Kind::Token), log.count_of(Kind::User)), (3, 2));
    assert_eq!(log.find(token(2).record.key()).unwrap().exp, NEVER, "a held record may grow");
}

#[test]
fn a_set_full_of_cutoffs_accepts_tokens() {
    let mut log = empty_log();
    assert_eq!(store(&mut log, 2, &[(0..9).map(user).collect(), vec![token(1)]]), [9, 1]);
}

#[test]
fn the_reserve_has_a_limit_too() {
    let log = empty_log();
    let capacity = Capacity { tokens: 2, cutoffs: 2 };
    let mut plan = Plan::new(&log, capacity);
    let batch: Vec<_> = (0..3).map(user).collect();
    assert_eq!(plan.add(&call(&batch), &mut Accounts::default(), 0).unwrap().stored, 2);
    assert_eq!(Capacity::of(5).cutoffs, 1_000_000);
    assert_eq!(Capacity::of(5_000_000).cutoffs, 5_000_000);
}

#[test]
fn one_account_cannot_fill_the_set() {
    let mut log = empty_log();
    let flood = (0..5_000).map(|number| vec![of_account(number, 9_999)]).collect::<Vec<_>>();
    assert!(store(&mut log, 1_000, &flood).iter().all(|stored| *stored == 1), "each is revoked");
    assert_eq!(log.count_of(Kind::Token), 500, "half of the capacity");
    let cutoff = Record::user(id(9_999), 2_000, 4_000_000_000);
    assert_eq!(log.find(cutoff.key()), Some(cutoff));
    let others = (0..400).map(|other| vec![of_account(10_000 + other, 20_000 + other)]);
    let others: Vec<_> = others.collect();
    assert!(store(&mut log, 1_000, &others).iter().all(|stored| *stored == 1));
    assert_eq!((log.count_of(Kind::Token), log.count_of(Kind::User)), (900, 1));
}

#[test]
fn a_token_without_room_becomes_a_cutoff_of_its_account() {
    let mut log = empty_log();
    let batches = [vec![token(1), token(2)], vec![of_account(3, 7)], vec![token(4)]];
    assert_eq!(store(&mut log, 2, &batches), [1 + 1, 1, 0]);
    assert_eq!((log.count_of(Kind::Token), log.count_of(Kind::User)), (2, 1));
}

#[test]
fn session_cutoffs_of_one_account_cannot_fill_the_reserve() {
    let mut log = empty_log();
    let session =
        |number| PlannedRecord { of_account: of_account(0, 9).of_account, ..user(number) };
    let mut accounts = Accounts::default();
    for number in 100..200 {
        let mut plan = Plan::new(&log, Capacity { tokens: 10, cutoffs: 10 });
        assert_eq!(plan.add(&call(&[session(number)]), &mut accounts, 0).unwrap().stored, 1);
        let entries = plan.into_entries();
        entries.into_iter().for_each(|entry| log.append(entry, &mut Obsolete::default()));
    }
    assert!(log.len() <= 6, "{} records", log.len());
}

#[test]
fn each_reason_of_a_call_gets_one_audit_entry_of_what_is_new() {
    let mut log = empty_log();
    store(&mut log, 10, &[vec![token(1)]]);
    let note = |reason: &str| AuditNote { reason: reason.to_owned(), ..AuditNote::default() };
    let submission = Submission {
        records: vec![
            PlannedRecord { note: 1, ..of_account(2, 7) },
            PlannedRecord { note: 0, ..token(1) },
            PlannedRecord { note: 1, ..user(3) },
            PlannedRecord { note: 1, ..token(2) },
            PlannedRecord { note: 2, ..token(4) },
        ],
        notes: vec![note("known"), note("a"), note("b")],
        ..Submission::default()
    };
    let mut plan = Plan::new(&log, Capacity::of(10));
    let mut audit = plan.add(&submission, &mut Accounts::default(), 5).unwrap().audit;
    audit.sort_by(|one, other| one.note.reason.cmp(&other.note.reason));
    let revocation = |subject, number, user| AuditedRevocation { subject, id: id(number), user };
    let [a, b] = &audit[..] else { panic!("{audit:?}") };
    assert_eq!((&*a.note.reason, a.exp, a.key.unix_milliseconds()), ("a", NEVER, 5));
    assert_eq!(
        a.revocations,
        [revocation(AuditSubject::Token, 2, Some(id(7))), revocation(AuditSubject::User, 3, None)]
    );
    assert_eq!(
        (b.exp, &b.revocations[..]),
        (4_000_000_000, &[revocation(AuditSubject::Token, 4, None)][..])
    );
    assert_ne!(a.key, b.key);
}

proptest! {
    /// For any batches, the limits hold, and each stored record is in the set, or the cutoff of its
    /// account is.
    #[test]
    fn limits_hold_and_stored_records_are_revoked(
        records in prop::collection::vec((0u64..60, 0u64..4, any::<bool>()), 0..80),
        capacity in 0usize..20,
        split in 1usize..10,
    ) {
        let batch: Vec<_> = records
            .iter()
            .map(|&(number, account, named)| match named {
                true => of_account(number, 1_000 + account),
                false => token(number),
            })
            .collect();
        let batches: Vec<_> = batch.chunks(split).map(<[_]>::to_vec).collect();
        let mut log = empty_log();
        let stored = store(&mut log, capacity, &batches);
        prop_assert!(log.count_of(Kind::Token) as usize <= capacity);
        for (batch, stored) in batches.iter().zip(stored) {
            for revocation in &batch[..stored] {
                let holds = |record: &Record| {
                    log.find(record.key()).is_some_and(|held| held.covers(record))
                };
                let account = revocation.of_account;
                prop_assert!(holds(&revocation.record) || account.as_ref().is_some_and(holds));
            }
            prop_assert!(batch[stored..].first().is_none_or(|refused| refused.of_account.is_none()));
        }
    }
}
