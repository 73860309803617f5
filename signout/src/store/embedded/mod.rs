//! The embedded store: a redb file that belongs to one process.
//!
//! One table maps sequence numbers to rows. New rows go to the right edge of its tree, so a batch
//! touches few pages. One commit makes any number of batches durable: redb returns from it after
//! `fsync`.
//!
//! After an I/O error redb must be opened again, and nobody knows whether the failed commit reached
//! the disk. The next append therefore opens the file again and first deletes all rows after the
//! entries that the service knows: they were never acknowledged.

use std::fs::File;
use std::path::Path;

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};
use session_guard_core::revocation::record::{RECORD_BYTES, Record};

use super::{Appended, Obsolete, Purpose, Row, Store, StoreError};
use crate::entry::{Entry, Position};

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
    /// Another process has the file open, it is not a redb file, it has another format, or it cannot
    /// be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let name = format!("the store {}", path.display());
        let file = path.to_owned();
        let open = move || Database::builder().set_cache_size(CACHE_BYTES).create(&file);
        let store = Self::with(name, open)?;
        // A new file is durable only after its folder has been synced.
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

    /// Returns the open database; opens it again if the last use failed.
    fn opened(&mut self) -> Result<Database, StoreError> {
        if let Some(database) = self.database.take() {
            return Ok(database);
        }
        let database = (self.open)().map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::new(
                &self.name,
                "another process has it open; a store belongs to one service",
            ),
            error => StoreError::new(&self.name, error),
        })?;
        let format = check_format(&database).map_err(|error| StoreError::new(&self.name, error))?;
        if format != FORMAT {
            let why = format!("it has format {format}, this version reads format {FORMAT}");
            return Err(StoreError::new(&self.name, why));
        }
        Ok(database)
    }
}

impl Store for Embedded {
    fn begin(&mut self, tag: u64) -> Result<(), StoreError> {
        let database = self.opened()?;
        let position = Position { sequence: 1, tag };
        let begun = is_empty(&database).and_then(|is_empty| match is_empty {
            true => write_rows(&database, &[Entry { position, record: None }], &[]),
            false => Ok(()),
        });
        begun.map_err(|error| StoreError::new(&self.name, error))?;
        self.database = Some(database);
        Ok(())
    }

    fn read_all(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), StoreError> {
        let database = self.opened()?;
        read_rows(&database, &mut |entry| each(Row::Entry(entry)))
            .map_err(|error| StoreError::new(&self.name, error))?;
        self.database = Some(database);
        Ok(())
    }

    fn append(
        &mut self,
        _: Position,
        entries: &[Entry],
        obsolete: &Obsolete,
        _: Purpose,
    ) -> Result<Appended, StoreError> {
        let database = self.opened()?;
        write_rows(&database, entries, &obsolete.rows)
            .map_err(|error| StoreError::new(&self.name, error))?;
        self.database = Some(database);
        Ok(Appended::AsGiven)
    }
}

/// Returns the format of the file; a new file gets ours.
fn check_format(database: &Database) -> Result<u64, Box<dyn std::error::Error>> {
    let read = database.begin_read()?;
    match read.open_table(ABOUT) {
        Ok(about) => return Ok(about.get("format")?.map_or(0, |format| format.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let write = database.begin_write()?;
    write.open_table(ABOUT)?.insert("format", FORMAT)?;
    write.open_table(ROWS)?;
    write.commit()?;
    Ok(FORMAT)
}

fn is_empty(database: &Database) -> Result<bool, Box<dyn std::error::Error>> {
    Ok(database.begin_read()?.open_table(ROWS)?.is_empty()?)
}

fn read_rows(
    database: &Database,
    each: &mut dyn FnMut(Entry),
) -> Result<(), Box<dyn std::error::Error>> {
    let read = database.begin_read()?;
    for row in read.open_table(ROWS)?.iter()? {
        let (sequence, row) = row?;
        let sequence = sequence.value();
        let entry = decode(sequence, row.value());
        each(entry.ok_or_else(|| format!("row {sequence} is damaged"))?);
    }
    Ok(())
}

fn write_rows(
    database: &Database,
    entries: &[Entry],
    obsolete: &[u64],
) -> Result<(), Box<dyn std::error::Error>> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    {
        let mut rows = write.open_table(ROWS)?;
        if let Some(first) = entries.first() {
            rows.retain_in(first.position.sequence.., |_, _| false)?;
        }
        for entry in entries {
            rows.insert(entry.position.sequence, encode(entry).as_slice())?;
        }
        for sequence in obsolete {
            rows.remove(sequence)?;
        }
    }
    write.commit()?;
    Ok(())
}

/// A row: the tag (8 bytes, big endian), then the record as in the feed, if there is one.
fn encode(entry: &Entry) -> Vec<u8> {
    let mut row = entry.position.tag.to_be_bytes().to_vec();
    row.extend(entry.record.iter().flat_map(|record| record.to_bytes()));
    row
}

fn decode(sequence: u64, row: &[u8]) -> Option<Entry> {
    let (&tag, rest) = row.split_first_chunk()?;
    let position = Position { sequence, tag: u64::from_be_bytes(tag) };
    let record = match rest {
        [] => None,
        rest => Some(Record::from_bytes(<&[u8; RECORD_BYTES]>::try_from(rest).ok()?)?),
    };
    Some(Entry { position, record })
}

const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");
const FORMAT: u64 = 1;

/// Memory for pages of the file: appending needs its right edge alone, and reading it all is once.
const CACHE_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests;
