//! Promise: appended entries are read back by this process and the next one, damage is detected,
//! and a failing disk loses nothing.
//! Method: a real file, on a disk that fails while a flag is set.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use redb::backends::{FileBackend, InMemoryBackend};
use session_guard_core::revocation::record::{NEVER, Record, RecordId};

use super::*;

fn entry(sequence: u64) -> Entry {
    let position = Position { sequence, tag: sequence << 40 };
    let id = RecordId(u128::from(sequence).to_be_bytes());
    Entry { position, record: (sequence > 1).then(|| Record::user(id, 7, NEVER)) }
}

fn entries(sequences: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    sequences.map(entry).collect()
}

fn rows(store: &mut Embedded) -> Vec<Entry> {
    let mut rows = Vec::new();
    store
        .read_all(&mut |row| match row {
            Row::Entry(entry) => rows.push(entry),
            Row::Record(record) => panic!("{record:?}"),
        })
        .unwrap();
    rows
}

fn append(store: &mut Embedded, entries: &[Entry], rows: &[u64]) -> Result<(), StoreError> {
    let obsolete = Obsolete { rows: rows.to_vec(), ..Obsolete::default() };
    let purpose = AppendReason::Acknowledge;
    let appended = store.append(entry(1).position, entries.into(), &obsolete, purpose)?;
    assert_eq!(appended, Appended::AsGiven);
    Ok(())
}

#[test]
fn appended_entries_survive_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut store = Embedded::open(&path).unwrap();
    append(&mut store, &entries(1..=5), &[]).unwrap();
    append(&mut store, &[entry(6)], &[1, 3, 99]).unwrap();
    drop(store);
    assert_eq!(rows(&mut Embedded::open(&path).unwrap()), [2, 4, 5, 6].map(entry));
}

#[test]
fn the_audit_is_kept_in_order_and_the_oldest_rows_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    crate::store::audit_tests::rows_are_kept_in_order(&mut Embedded::open(&path).unwrap());
    let left = Embedded::open(&path).unwrap().read_audit(AuditRange::After(AuditKey::FIRST), 9);
    assert_eq!(left.unwrap().len(), 2, "and survives a reopen");
}

/// Prints the figure of docs/operations.md.
#[test]
#[ignore = "measures: make audit-bytes"]
fn bytes_of_an_audit_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut store = Embedded::open(&path).unwrap();
    store.begin(1).unwrap();
    let before = std::fs::metadata(&path).unwrap().len();
    let count = crate::store::audit_tests::append_sign_outs(&mut store);
    let grown = std::fs::metadata(&path).unwrap().len() - before;
    println!("redb: {count} audit entries take {grown} bytes, {} each", grown / count);
    assert!(grown / count <= LONGEST_AUDIT_BYTES, "docs/operations.md says less");
}

const LONGEST_AUDIT_BYTES: u64 = 200;

#[test]
fn a_second_process_cannot_open_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let _first = Embedded::open(&path).unwrap();
    let second = Embedded::open(&path).map(|_| ()).unwrap_err();
    assert!(second.to_string().contains("another process has it open"), "{second}");
}

#[test]
fn other_formats_and_other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(ABOUT).unwrap().insert("format", 9).unwrap();
    write.commit().unwrap();
    drop(database);
    let other = Embedded::open(&path).map(|_| ()).unwrap_err();
    assert!(other.to_string().contains("format 9"), "{other}");
    std::fs::write(&path, "revocations: []").unwrap();
    assert!(Embedded::open(&path).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"revocations: []", "and left as it was");
}

#[test]
fn a_failing_disk_stores_nothing_and_works_again_later() {
    let folder = tempfile::tempdir().unwrap();
    let (path, fails) = (folder.path().join("db"), Arc::new(AtomicBool::new(false)));
    let (file, trouble) = (path.clone(), Arc::clone(&fails));
    let open = move || {
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file);
        let file = FileBackend::new(file.unwrap())?;
        Database::builder().create_with_backend(FailingDisk { file, fails: Arc::clone(&trouble) })
    };
    let mut store = Embedded::with("a store".to_owned(), open).unwrap();
    append(&mut store, &entries(1..=3), &[]).unwrap();
    fails.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        assert!(append(&mut store, &entries(4..=5), &[2]).is_err());
    }
    fails.store(false, Ordering::Relaxed);
    // Another entry gets a sequence number of an append that failed.
    let instead = Entry { record: entry(9).record, ..entry(4) };
    append(&mut store, &[instead], &[]).unwrap();
    assert_eq!(rows(&mut store), [entry(1), entry(2), entry(3), instead]);
    drop(store);
    assert_eq!(rows(&mut Embedded::open(&path).unwrap()).len(), 4);
}

#[test]
fn unacknowledged_rows_are_deleted_before_others_replace_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Embedded::open(&folder.path().join("db")).unwrap();
    append(&mut store, &entries(1..=9), &[]).unwrap();
    append(&mut store, &[entry(5)], &[]).unwrap();
    assert_eq!(rows(&mut store), entries(1..=5));
}

/// A file on a disk that can neither write nor sync while a flag is set.
#[derive(Debug)]
struct FailingDisk {
    file: FileBackend,
    fails: Arc<AtomicBool>,
}

impl FailingDisk {
    fn check(&self) -> Result<(), io::Error> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl StorageBackend for FailingDisk {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check().and_then(|()| self.file.set_len(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.check().and_then(|()| self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check().and_then(|()| self.file.write(offset, data))
    }

    fn close(&self) -> Result<(), io::Error> {
        self.file.close()
    }
}

#[test]
fn the_first_entry_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Embedded::open(&folder.path().join("db")).unwrap();
    for tag in [7, 8] {
        store.begin(tag).unwrap();
        let first = Entry { position: Position { sequence: 1, tag: 7 }, record: None };
        assert_eq!(rows(&mut store), [first]);
    }
}

/// Returns the file of a store after these commits, and the entries in it. The store was stopped
/// cleanly, or not at all, as after `kill -9`.
fn file_of(commits: u64, rows_per_commit: u64, is_clean: bool) -> (Vec<u8>, Vec<Entry>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut store = Embedded::open(&path).unwrap();
    for commit in 0..commits {
        let first = commit * rows_per_commit + 1;
        let obsolete: Vec<_> = (first > 1).then_some(first / 2).into_iter().collect();
        append(&mut store, &entries(first..=first + rows_per_commit - 1), &obsolete).unwrap();
    }
    let held = rows(&mut store);
    let killed = std::fs::read(&path).unwrap();
    drop(store);
    let bytes = if is_clean { std::fs::read(&path).unwrap() } else { killed };
    (bytes, held)
}

/// Opens a store with these bytes as its file, and returns the entries that a starting service
/// reads.
fn started(bytes: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let bytes = bytes.to_vec();
    let open = move || {
        let memory = InMemoryBackend::new();
        memory.set_len(bytes.len() as u64).unwrap();
        memory.write(0, &bytes).unwrap();
        Database::builder().create_with_backend(memory)
    };
    let mut store = Embedded::with("the store".to_owned(), open)?;
    store.begin(7)?;
    let mut rows = Vec::new();
    store.read_all(&mut |row| match row {
        Row::Entry(entry) => rows.push(entry),
        Row::Record(record) => panic!("{record:?}"),
    })?;
    Ok(rows)
}

/// The bit in redb's header that selects one of its two newest commits. After a crash, a file in
/// which this bit is flipped equals a file whose last commit was not finished, so it cannot be
/// detected.
const WHICH_COMMIT: usize = 9 * 8;

#[test]
fn no_flipped_bit_changes_records_silently() {
    for is_clean in [true, false] {
        let (bytes, held) = file_of(6, 40, is_clean);
        assert_eq!(started(&bytes).unwrap(), held);
        // The header (all of its bits in the long run), and a sample of the other bits.
        let is_long = std::env::var_os("FAULTS_LONG").is_some();
        let header = (0..HEADER_BITS).step_by(if is_long { 1 } else { 5 });
        let others = (HEADER_BITS..bytes.len() * 8).step_by(STEP_BITS);
        let (mut detected, mut harmless) = (0, 0);
        for bit in header.chain(others).filter(|bit| is_clean || *bit != WHICH_COMMIT) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match started(&flipped) {
                Ok(rows) => {
                    assert!(rows == held, "bit {bit} changes the records (clean: {is_clean})");
                    harmless += 1;
                }
                Err(error) => {
                    assert!(error.to_string().starts_with("the store: "), "{error}");
                    detected += 1;
                }
            }
        }
        assert!(detected > 50, "{detected} detected, {harmless} harmless");
    }
}

const HEADER_BITS: usize = 320 * 8;

/// A prime distance, so that the sample covers all positions within a byte and a row. Short enough
/// for some hundred starts.
const STEP_BITS: usize = 8_209;

#[test]
fn a_damaged_row_is_named_with_a_remedy() {
    let (bytes, held) = file_of(1, 5, true);
    let id = held[3].record.unwrap().id.0;
    let at = bytes.windows(16).rposition(|window| window == id).unwrap();
    let mut flipped = bytes;
    flipped[at] ^= 0x10;
    let error = started(&flipped).unwrap_err().to_string();
    assert!(error.contains("row 4 has a wrong checksum"), "{error}");
    assert!(error.contains("Restore a backup"), "{error}");
}

#[test]
fn missing_rows_are_detected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut store = Embedded::open(&path).unwrap();
    append(&mut store, &entries(1..=9), &[]).unwrap();
    drop(store);
    let database = Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(ROWS).unwrap().remove(5).unwrap();
    write.commit().unwrap();
    drop(database);
    let mut store = Embedded::open(&path).unwrap();
    let error = store.read_all(&mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("rows are missing"), "{error}");
}
