//! The embedded store: a redb file that belongs to one process.
//!
//! One table maps sequence numbers to rows, and another contains the audit. New rows go to the
//! right edge of the first table's B-tree, so a batch changes few pages. One commit makes any
//! number of batches durable: redb returns from it after `fsync`.
//!
//! After an I/O error the redb file must be opened again, and it is unknown whether the failed
//! commit reached the disk. The next append therefore opens the file again, and deletes all rows
//! after the entries that the service knows. Those rows were never acknowledged.
//!
//! # Damage
//!
//! Disks and memory flip bits. redb verifies its checksums only after a crash, so otherwise a
//! service could start with changed records. Three measures detect damage, and the service then
//! does not start:
//!
//! - Each row has a [checksum] over its sequence number and content.
//! - Each commit also stores the number of rows and the sum of their checksums. A missing or
//!   duplicate row no longer matches them.
//! - Commits have two phases. Otherwise, if a page of the last commit was damaged after a crash,
//!   redb would silently fall back to the commit before it.

use std::fs::File;
use std::ops::Bound;
use std::path::Path;

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    Table, TableDefinition,
};

use self::damage::{Damage, Failure, damaged, guarded};
use self::row::{checksum_of, decode, encode};
use super::{
    Additions, AppendReason, Appended, AuditKey, AuditRange, AuditRow, Obsolete, Row, Store,
    StoreError,
};
use crate::entry::{Entry, Position};

mod damage;
mod row;

/// A redb file that belongs to one process.
pub struct Embedded {
    open: Box<dyn Fn() -> Result<Database, DatabaseError> + Send>,
    name: String,
    database: Option<Database>,
}

impl Embedded {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    ///
    /// Another process has the file open, it is not a redb file, it has another format, it is
    /// damaged, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let name = format!("the store {}", path.display());
        let file = path.to_owned();
        let open = move || Database::builder().set_cache_size(CACHE_BYTES).create(&file);
        let store = Self::with(name, open)?;
        // A new file survives a crash of the system only if its folder is synced, too.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let synced =
            File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        synced.map_err(|error| StoreError::new(&store.name, error))?;
        Ok(store)
    }

    fn with(
        name: String,
        open: impl Fn() -> Result<Database, DatabaseError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let mut store = Self { open: Box::new(open), name, database: None };
        store.database = Some(store.opened()?);
        Ok(store)
    }

    /// Returns the open database. Opens it again if its last use failed.
    fn opened(&mut self) -> Result<Database, StoreError> {
        if let Some(database) = self.database.take() {
            return Ok(database);
        }
        let database = guarded(&self.name, || Ok((self.open)()))?.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::new(
                &self.name,
                "another process has it open; a store belongs to one service",
            ),
            DatabaseError::Storage(redb::StorageError::Corrupted(reason)) => {
                damaged(&self.name, reason)
            }
            error => StoreError::new(&self.name, error),
        })?;
        let format = guarded(&self.name, || check_format(&database))?;
        if format != FORMAT {
            let reason = format!(
                "its data has format {format}, and this version reads only format {FORMAT}: run the \
                 version that wrote it, or start with an empty store"
            );
            return Err(StoreError::new(&self.name, reason));
        }
        Ok(database)
    }
}

impl Store for Embedded {
    fn begin(&mut self, tag: u64) -> Result<(), StoreError> {
        let database = self.opened()?;
        let position = Position { sequence: 1, tag };
        guarded(&self.name, || match is_empty(&database)? {
            true => {
                let first = [Entry { position, record: None }];
                write_rows(&database, Additions::from(&first[..]), &Obsolete::default())
            }
            false => Ok(()),
        })?;
        self.database = Some(database);
        Ok(())
    }

    fn read_all(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), StoreError> {
        let database = self.opened()?;
        guarded(&self.name, || read_rows(&database, &mut |entry| each(Row::Entry(entry))))?;
        self.database = Some(database);
        Ok(())
    }

    fn append(
        &mut self,
        _: Position,
        new: Additions<'_>,
        obsolete: &Obsolete,
        _: AppendReason,
    ) -> Result<Appended, StoreError> {
        let database = self.opened()?;
        guarded(&self.name, || write_rows(&database, new, obsolete))?;
        self.database = Some(database);
        Ok(Appended::AsGiven)
    }

    fn read_audit(&mut self, range: AuditRange, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let database = self.opened()?;
        let rows = guarded(&self.name, || read_audit(&database, range, limit))?;
        self.database = Some(database);
        Ok(rows)
    }
}

/// The number of rows, and the sum of their checksums (wrapping).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    rows: u64,
    sum: u64,
}

impl Totals {
    fn add(&mut self, checksum: u64) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(checksum);
    }

    fn remove(&mut self, checksum: u64) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(checksum);
    }

    fn read(about: &impl ReadableTable<&'static str, u64>) -> Result<Self, Failure> {
        let value = |name| Ok::<_, Failure>(about.get(name)?.map_or(0, |value| value.value()));
        Ok(Self { rows: value("rows")?, sum: value("sum")? })
    }

    fn write(self, about: &mut Table<'_, &'static str, u64>) -> Result<(), Failure> {
        about.insert("rows", self.rows)?;
        about.insert("sum", self.sum)?;
        Ok(())
    }
}

/// Returns the format of the file. Initialises a new file with the current format.
fn check_format(database: &Database) -> Result<u64, Failure> {
    let read = database.begin_read()?;
    match read.open_table(ABOUT) {
        Ok(about) => return Ok(about.get("format")?.map_or(0, |format| format.value())),
        Err(redb::TableError::TableDoesNotExist(_)) if read.list_tables()?.next().is_none() => {}
        Err(redb::TableError::TableDoesNotExist(_)) => return Err(Damage::Rows.into()),
        Err(error) => return Err(error.into()),
    }
    let write = database.begin_write()?;
    write.open_table(ABOUT)?.insert("format", FORMAT)?;
    write.open_table(ROWS)?;
    write.commit()?;
    Ok(FORMAT)
}

fn is_empty(database: &Database) -> Result<bool, Failure> {
    let read = database.begin_read()?;
    let is_empty = read.open_table(ROWS)?.is_empty()?;
    match Totals::read(&read.open_table(ABOUT)?)? {
        Totals { rows: 0, .. } => Ok(is_empty),
        _ if is_empty => Err(Damage::Rows.into()),
        _ => Ok(false),
    }
}

fn read_rows(database: &Database, each: &mut dyn FnMut(Entry)) -> Result<(), Failure> {
    let read = database.begin_read()?;
    let expected = Totals::read(&read.open_table(ABOUT)?)?;
    let mut found = Totals::default();
    for row in read.open_table(ROWS)?.iter()? {
        let (sequence, row) = row?;
        let sequence = sequence.value();
        let entry = decode(sequence, row.value()).ok_or(Damage::Row(sequence))?;
        found.add(checksum_of(row.value()).ok_or(Damage::Row(sequence))?);
        if found.rows > expected.rows {
            break; // a damaged tree may go round in circles
        }
        each(entry);
    }
    match found == expected {
        true => Ok(()),
        false => Err(Damage::Rows.into()),
    }
}

fn read_audit(
    database: &Database,
    range: AuditRange,
    limit: usize,
) -> Result<Vec<AuditRow>, Failure> {
    let read = database.begin_read()?;
    let audit = match read.open_table(AUDIT) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        audit => audit?,
    };
    let row = |row: Result<(redb::AccessGuard<'_, u128>, redb::AccessGuard<'_, &[u8]>), _>| {
        let (key, content) = row?;
        Ok(AuditRow { key: AuditKey(key.value()), content: content.value().to_vec() })
    };
    match range {
        AuditRange::Before(key) => audit.range(..key.0)?.rev().take(limit).map(row).collect(),
        AuditRange::After(key) => {
            let after = (Bound::Excluded(key.0), Bound::Unbounded);
            audit.range::<u128>(after)?.take(limit).map(row).collect()
        }
    }
}

fn write_rows(database: &Database, new: Additions<'_>, obsolete: &Obsolete) -> Result<(), Failure> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    write.set_two_phase_commit(true);
    {
        let (mut rows, mut about) = (write.open_table(ROWS)?, write.open_table(ABOUT)?);
        let mut totals = Totals::read(&about)?;
        let mut unacknowledged = Vec::new();
        if let Some(first) = new.entries.first() {
            for row in rows.range(first.position.sequence..)? {
                unacknowledged.push(row?.0.value());
            }
        }
        for sequence in unacknowledged.iter().chain(&obsolete.rows) {
            if let Some(row) = rows.remove(sequence)? {
                totals.remove(checksum_of(row.value()).ok_or(Damage::Row(*sequence))?);
            }
        }
        for entry in new.entries {
            let row = encode(entry);
            totals.add(checksum_of(&row).ok_or(Damage::Row(entry.position.sequence))?);
            rows.insert(entry.position.sequence, row.as_slice())?;
        }
        totals.write(&mut about)?;
    }
    if !new.audit.is_empty() || !obsolete.audit.is_empty() {
        let mut audit = write.open_table(AUDIT)?;
        for key in &obsolete.audit {
            audit.remove(key.0)?;
        }
        for row in new.audit {
            audit.insert(row.key.0, row.content.as_slice())?;
        }
        let limit = u64::try_from(new.audit_limit).unwrap_or(u64::MAX);
        for _ in limit..audit.len()? {
            audit.pop_first()?;
        }
    }
    write.commit()?;
    Ok(())
}

const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");
const AUDIT: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("audit");
const FORMAT: u64 = 2;

/// Memory for cached pages of the file. A small cache is enough: an append needs only the right
/// edge of the tree, and the whole file is read only once.
const CACHE_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests;
