//! What was appended is read back, by this process or the next; a disk in trouble takes nothing and
//! forgets nothing: a real file below a disk that fails on command.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;
use session_guard_core::revocation::record::{NEVER, RecordId};

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
    let obsolete = Obsolete { rows: rows.to_vec(), records: Vec::new() };
    let purpose = Purpose::Acknowledge;
    let appended = store.append(entry(1).position, entries, &obsolete, purpose)?;
    assert_eq!(appended, Appended::AsGiven);
    Ok(())
}

#[test]
fn what_was_appended_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut store = Embedded::open(&path).unwrap();
    append(&mut store, &entries(1..=5), &[]).unwrap();
    append(&mut store, &[entry(6)], &[1, 3, 99]).unwrap();
    drop(store);
    assert_eq!(rows(&mut Embedded::open(&path).unwrap()), [2, 4, 5, 6].map(entry));
}

#[test]
fn a_second_process_is_told_that_the_store_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let _first = Embedded::open(&path).unwrap();
    let second = Embedded::open(&path).map(|_| ()).unwrap_err();
    assert!(second.to_string().contains("another process has it open"), "{second}");
}

#[test]
fn another_format_and_another_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(ABOUT).unwrap().insert("format", 2).unwrap();
    write.commit().unwrap();
    drop(database);
    let other = Embedded::open(&path).map(|_| ()).unwrap_err();
    assert!(other.to_string().contains("format 2"), "{other}");
    std::fs::write(&path, "revocations: []").unwrap();
    assert!(Embedded::open(&path).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"revocations: []", "and left as it was");
}

#[test]
fn a_row_that_is_damaged_is_an_error_and_not_a_shorter_set() {
    for row in [&[1u8; 7][..], &[1; 9], &[9; 8 + RECORD_BYTES]] {
        assert_eq!(decode(2, row), None, "{row:?}");
    }
    assert_eq!(decode(2, &encode(&entry(2))), Some(entry(2)));
    assert_eq!(decode(1, &encode(&entry(1))), Some(entry(1)));
}

#[test]
fn a_disk_in_trouble_takes_nothing_and_works_again_when_it_is_well() {
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
        Database::builder().create_with_backend(Disk { file, fails: Arc::clone(&trouble) })
    };
    let mut store = Embedded::with("a store".to_owned(), open).unwrap();
    append(&mut store, &entries(1..=3), &[]).unwrap();
    fails.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        assert!(append(&mut store, &entries(4..=5), &[2]).is_err());
    }
    fails.store(false, Ordering::Relaxed);
    // Other entries take the sequence numbers of those that failed.
    let instead = Entry { record: entry(9).record, ..entry(4) };
    append(&mut store, &[instead], &[]).unwrap();
    assert_eq!(rows(&mut store), [entry(1), entry(2), entry(3), instead]);
    drop(store);
    assert_eq!(rows(&mut Embedded::open(&path).unwrap()).len(), 4);
}

#[test]
fn rows_that_nobody_was_told_of_go_before_others_take_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Embedded::open(&folder.path().join("db")).unwrap();
    append(&mut store, &entries(1..=9), &[]).unwrap();
    append(&mut store, &[entry(5)], &[]).unwrap();
    assert_eq!(rows(&mut store), entries(1..=5));
}

/// A file whose disk can neither write nor sync while it is told so.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    fails: Arc<AtomicBool>,
}

impl Disk {
    fn check(&self) -> Result<(), io::Error> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
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
