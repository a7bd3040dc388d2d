//! The file of a catalogue: opening and migrating it, and its connections.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::error::{Error, Result};

/// A catalogue of one or more repositories, in one SQLite file.
///
/// It is a cache: it can be rebuilt at any time, and content is always verified by digest, never by the catalogue. Threads
/// and processes share the file. Readers see the last finished batch of an update and do not wait for it. All calls but
/// [`Catalog::update`] block.
///
/// ```
/// use std::sync::Arc;
///
/// use d1_catalog::{Catalog, UpdateOptions};
/// use d1_transfer::{Observer, PushOptions, Silent, push_directory};
/// use registry_backend::MemoryBackend;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("temperature.csv"), "15,7.2\n")?;
/// let backend = MemoryBackend::new();
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let mut options = PushOptions::new(std::env::temp_dir());
/// options.tags = vec!["v1".parse()?];
/// push_directory(&backend, folder.path(), &options, &observer).await?;
///
/// # let place = tempfile::tempdir()?;
/// let catalog = Catalog::open(&place.path().join("catalog.sqlite3"))?;
/// let report = catalog.update(&backend, &UpdateOptions::default(), &observer).await?;
/// assert_eq!((report.added, report.unchanged), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Connection>,
    /// Held by an update from its beginning to its end.
    updating: tokio::sync::Mutex<()>,
}

/// Marks the file as a catalogue, in the header of SQLite: "d1oc".
const APPLICATION_ID: i32 = 0x6431_6f63;

/// The steps from each version of the schema to the next one, beginning with an empty file.
pub(crate) const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

/// How long a writer waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// How many connections wait for readers. Each holds up to 4 MiB of pages.
const MOST_IDLE_READERS: usize = 8;

const READER_CACHE_KIB: i32 = 4 << 10;
const WRITER_CACHE_KIB: i32 = 32 << 10;

impl Catalog {
    /// Opens a catalogue, and creates it or migrates it to the current schema.
    ///
    /// # Errors
    ///
    /// [`Error::NotACatalog`] if the file is something else. [`Error::Newer`] if a newer version of the program made it.
    /// [`Error::Damaged`] if it cannot be read. [`Error::Catalog`] if the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut writer = connect(path, flags, WRITER_CACHE_KIB)?;
        migrate(path, &mut writer)?;
        let inner = Inner {
            path: path.to_owned(),
            readers: Mutex::new(Vec::new()),
            writer: Mutex::new(writer),
            updating: tokio::sync::Mutex::new(()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens a catalogue as [`Catalog::open`] does, if the file exists.
    ///
    /// # Errors
    ///
    /// As [`Catalog::open`].
    pub fn open_existing(path: &Path) -> Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(_) => Self::open(path).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Catalog {
                operation: "open",
                path: path.to_owned(),
                is_busy: false,
                source: Box::new(error),
            }),
        }
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Runs queries that see one state of the catalogue.
    pub(crate) fn read<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let pooled = lock(&self.inner.readers).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => connect(&self.inner.path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB)?,
        };
        let result = {
            let transaction = connection.unchecked_transaction();
            transaction.and_then(|transaction| work(&transaction))
        };
        let result = result.map_err(|error| self.failed(operation, error))?;
        let mut readers = lock(&self.inner.readers);
        if readers.len() < MOST_IDLE_READERS {
            readers.push(connection);
        }
        Ok(result)
    }

    /// Runs changes in one transaction.
    pub(crate) fn write<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let mut connection = lock(&self.inner.writer);
        let result =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
                let value = work(&transaction)?;
                transaction.commit()?;
                Ok(value)
            });
        result.map_err(|error| self.failed(operation, error))
    }

    /// Writes a copy to a new file.
    pub(crate) fn copy_to(&self, target: &Path) -> Result<()> {
        let copied = lock(&self.inner.writer).execute("VACUUM INTO ?1", [target.to_string_lossy()]);
        copied.map(drop).map_err(|error| self.failed("copy", error))
    }

    /// Removes the file of a catalogue, and those beside it.
    ///
    /// # Errors
    ///
    /// If a file cannot be removed.
    pub fn delete(path: &Path) -> std::io::Result<()> {
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            match std::fs::remove_file(PathBuf::from(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits until no other update of this value runs.
    pub(crate) async fn updating(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.updating.lock().await
    }

    fn failed(&self, operation: &'static str, error: rusqlite::Error) -> Error {
        failed(&self.inner.path, operation, error)
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Catalog").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

/// A panic in another thread leaves a connection whose transaction was rolled back: it can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path, flags: OpenFlags, cache_kib: i32) -> Result<Connection> {
    let open = || {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "cache_size", -cache_kib)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // The file may come from outside: its schema must not call functions.
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.set_prepared_statement_cache_capacity(128);
        Ok(connection)
    };
    open().map_err(|error| failed(path, "open", error))
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<()> {
    let run = |error| failed(path, "open", error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(run)?;
    let version = check_header(path, &transaction)?;
    let current = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    for step in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        transaction.execute_batch(step).map_err(run)?;
    }
    if version < current {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(run)?;
        transaction.pragma_update(None, "user_version", current).map_err(run)?;
    }
    transaction.commit().map_err(run)?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(run)?;
    // The catalogue is a cache: the last batch may be lost with the power, but the file stays whole.
    connection.pragma_update(None, "synchronous", "normal").map_err(run)
}

/// Checks that the file is a catalogue or empty, and returns the version of its schema.
pub(crate) fn check_header(path: &Path, connection: &Connection) -> Result<i32> {
    let run = |error| failed(path, "open", error);
    let number =
        |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map_err(run);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(run)?;
    let (application, version) = (number("application_id")?, number("user_version")?);
    let is_empty = tables == 0 && application == 0 && version == 0;
    if !is_empty && application != APPLICATION_ID {
        return Err(Error::NotACatalog { path: path.to_owned() });
    }
    let supported = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    if version > supported {
        return Err(Error::Newer { path: path.to_owned(), found: version, supported });
    }
    Ok(version)
}

pub(crate) fn failed(path: &Path, operation: &'static str, error: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::NotACatalog { path },
        Some(ErrorCode::DatabaseCorrupt) => Error::Damaged { path, source: Box::new(error) },
        code => {
            let is_busy = matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked));
            Error::Catalog { operation, path, is_busy, source: Box::new(error) }
        }
    }
}
