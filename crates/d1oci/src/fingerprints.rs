//! `--trust-unchanged`: digests of files from earlier runs, in an SQLite file of the cache directory.

use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bagit::{Algorithm, AlgorithmSet, Digests, FileState, KnownDigests};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use serde::Serialize;

use crate::context::Context;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::output::{Lines, human};

/// How long a digest is trusted, in seconds: a file that seems unchanged is read again once a year.
const LIFETIME: i64 = 365 * 24 * 3600;

/// The age in seconds that the last change of a file must have. The clocks of some file systems count in steps of two seconds, so a
/// second change could leave the same time.
const COARSEST_CLOCK: i64 = 2;

/// The number of digests that are held before they are written.
const BATCH: usize = 10_000;

/// How long to wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The number of the schema. A file with any other number is replaced.
const SCHEMA: i32 = 1;

/// The files that were not read, because their digests are known.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Trusted {
    pub(crate) files: u64,
    /// Their size in bytes.
    pub(crate) bytes: u64,
}

/// The digests of files of earlier runs.
pub(crate) struct Fingerprints {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    /// Paths, states and digests that are not written yet.
    new: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    trusted: Trusted,
    /// The first failure. Digests are a cache: the run goes on without it.
    failed: Option<rusqlite::Error>,
}

impl Fingerprints {
    /// Opens the digests of this user, if they are wanted. A damaged file is replaced.
    pub(crate) fn open_if(is_wanted: bool) -> Result<Option<Arc<Self>>, Failure> {
        if !is_wanted {
            return Ok(None);
        }
        let directory = Environment::of_process().below_cache_home("d1oci").ok_or_else(|| {
            Failure::usage(
                "`--trust-unchanged` needs a cache directory: neither XDG_CACHE_HOME nor HOME is set",
            )
        })?;
        Self::open_in(&directory).map(|opened| Some(Arc::new(opened)))
    }

    fn open_in(directory: &Path) -> Result<Self, Failure> {
        let create = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        create.map_err(|error| Failure::file("create", directory, error))?;
        // A user who can write here decides which files count as unchanged.
        let is_private = safe_files::Directory::open(directory).and_then(|directory| directory.is_private());
        if !is_private.map_err(|error| Failure::file("open", directory, error))? {
            let message = format!("other users can write to `{}`", directory.display());
            let hint = "`chmod go-w` the directory, or leave out `--trust-unchanged`";
            return Err(Failure::new(ExitStatus::LocalIo, message).with_hint(hint));
        }
        let path = directory.join("fingerprints.sqlite3");
        let connection = match connect(&path) {
            Err(error) if is_damaged(&error) => {
                fs::remove_file(&path).map_err(|error| Failure::file("remove", &path, error))?;
                connect(&path)
            }
            connected => connected,
        };
        let connection = connection.map_err(|error| failure(&path, &error))?;
        let state = State { connection, new: Vec::new(), trusted: Trusted::default(), failed: None };
        Ok(Self { path, state: Mutex::new(state) })
    }

    /// Writes the digests of this run, and returns the files that were not read.
    pub(crate) fn finish(&self) -> Result<Trusted, Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.write();
        match state.failed.take() {
            Some(error) => Err(failure(&self.path, &error)),
            None => Ok(state.trusted),
        }
    }
}

/// Ends the use of digests of earlier runs, and returns the files that were not read. A failure is a warning: the work is done.
pub(crate) fn trusted(context: &Context, known: Option<&Fingerprints>) -> Option<Trusted> {
    match known?.finish() {
        Ok(trusted) => Some(trusted),
        Err(failure) => {
            context.printer.warning(&failure);
            None
        }
    }
}

/// Says how many files were not read.
pub(crate) fn trusted_text(trusted: Option<Trusted>, lines: &mut Lines<'_>) {
    if let Some(Trusted { files, bytes }) = trusted {
        let (files, bytes) = (human::count(files, "unchanged file"), human::bytes(bytes));
        lines.add(format_args!("Trusted: {files} of {bytes} not read again"));
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Fingerprints").field("path", &self.path).finish_non_exhaustive()
    }
}

impl KnownDigests for Fingerprints {
    fn lookup(&self, path: &Path, state: &FileState, algorithms: AlgorithmSet) -> Option<Digests> {
        let path = std::path::absolute(path).ok()?;
        let mut inner = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let found = inner.lookup(path.as_os_str().as_bytes(), &state.to_bytes());
        let digests = match found {
            Ok(found) => read_digests(&found?)?,
            Err(error) => {
                inner.failed.get_or_insert(error);
                return None;
            }
        };
        if !algorithms.iter().all(|algorithm| digests.get(algorithm).is_some()) {
            return None;
        }
        inner.trusted.files += 1;
        inner.trusted.bytes += state.size();
        Some(digests)
    }

    fn remember(&self, path: &Path, state: &FileState, digests: &Digests) {
        if state.last_change() > seconds_now() - COARSEST_CLOCK - 1 {
            return;
        }
        let Ok(path) = std::path::absolute(path) else { return };
        let mut inner = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let row = (path.as_os_str().as_bytes().to_vec(), state.to_bytes(), write_digests(digests));
        inner.new.push(row);
        if inner.new.len() >= BATCH {
            inner.write();
        }
    }
}

impl State {
    fn lookup(&self, path: &[u8], state: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
        let sql = "SELECT digests FROM files WHERE path = ?1 AND state = ?2 AND hashed BETWEEN ?3 AND ?4";
        let now = seconds_now();
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_row(params![path, state, now - LIFETIME, now], |row| row.get(0)).optional()
    }

    /// Writes the new digests, and forgets those that are too old.
    fn write(&mut self) {
        let new = std::mem::take(&mut self.new);
        if let Err(error) = self.try_write(&new) {
            self.failed.get_or_insert(error);
        }
    }

    fn try_write(&mut self, new: &[(Vec<u8>, Vec<u8>, Vec<u8>)]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let sql = "INSERT OR REPLACE INTO files (path, state, digests, hashed) VALUES (?1, ?2, ?3, ?4)";
            let mut insert = transaction.prepare_cached(sql)?;
            for (path, state, digests) in new {
                insert.execute(params![path, state, digests, seconds_now()])?;
            }
        }
        transaction.execute("DELETE FROM files WHERE hashed < ?1", [seconds_now() - LIFETIME])?;
        transaction.commit()
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let schema: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if schema != SCHEMA {
        transaction.execute_batch(
            "DROP TABLE IF EXISTS files;
             CREATE TABLE files (
                 path BLOB PRIMARY KEY,
                 state BLOB NOT NULL,
                 digests BLOB NOT NULL,
                 hashed INTEGER NOT NULL
             ) STRICT, WITHOUT ROWID;
             CREATE INDEX files_hashed ON files (hashed);",
        )?;
        transaction.pragma_update(None, "user_version", SCHEMA)?;
    }
    transaction.commit()?;
    Ok(connection)
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

fn failure(path: &Path, error: &rusqlite::Error) -> Failure {
    let message = format!("cannot use the digests of earlier runs in `{}`: {error}", path.display());
    Failure::new(ExitStatus::LocalIo, message).with_hint("remove the file, or leave out `--trust-unchanged`")
}

/// Returns digests as text: `md5:` and hexadecimal digits, separated by spaces.
fn write_digests(digests: &Digests) -> Vec<u8> {
    let texts = digests.iter().filter_map(|(algorithm, _)| {
        digests.hex(algorithm).map(|digits| format!("{}:{digits}", algorithm.name()))
    });
    texts.collect::<Vec<_>>().join(" ").into_bytes()
}

fn read_digests(text: &[u8]) -> Option<Digests> {
    let mut digests = Digests::new();
    for pair in std::str::from_utf8(text).ok()?.split(' ') {
        let (algorithm, digits) = pair.split_once(':')?;
        let algorithm: Algorithm = algorithm.parse().ok()?;
        if !digests.insert(algorithm, &hex::decode(digits).ok()?) {
            return None;
        }
    }
    Some(digests)
}

fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn state(path: &Path) -> FileState {
        FileState::of(&File::open(path).unwrap()).unwrap()
    }

    /// A file that was changed long ago, as far as its own time can say: the time of the last status change cannot be set.
    fn old_file(place: &Path) -> PathBuf {
        let path = place.join("a.csv");
        fs::write(&path, "15,7.2\n").unwrap();
        std::thread::sleep(Duration::from_secs(COARSEST_CLOCK.unsigned_abs() + 2));
        path
    }

    #[test]
    fn digests_of_old_files_are_known_until_the_file_changes() {
        let place = tempfile::tempdir().unwrap();
        let path = old_file(place.path());
        let both: AlgorithmSet = [Algorithm::Md5, Algorithm::Sha256].into_iter().collect();
        let digests = Digests::of(both, b"15,7.2\n");
        let cache = place.path().join("cache");
        let known = Fingerprints::open_in(&cache).unwrap();
        assert!(known.lookup(&path, &state(&path), both).is_none());
        known.remember(&path, &state(&path), &digests);
        assert_eq!(known.finish().unwrap().files, 0);
        let known = Fingerprints::open_in(&cache).unwrap();
        assert_eq!(known.lookup(&path, &state(&path), both), Some(digests.clone()));
        assert_eq!(known.lookup(&path, &state(&path), Algorithm::Md5.into()), Some(digests.clone()));
        assert!(known.lookup(&path, &state(&path), Algorithm::Sha512.into()).is_none());
        assert!(known.lookup(&place.path().join("b.csv"), &state(&path), both).is_none());
        let trusted = known.finish().unwrap();
        assert_eq!((trusted.files, trusted.bytes), (2, 14));
        // A young file is read again next time: its next change may leave the same time.
        fs::write(&path, "15,7.3\n").unwrap();
        assert!(known.lookup(&path, &state(&path), both).is_none());
        known.remember(&path, &state(&path), &digests);
        known.finish().unwrap();
        assert!(known.lookup(&path, &state(&path), both).is_none());
    }

    #[test]
    fn digests_are_trusted_for_a_year() {
        let place = tempfile::tempdir().unwrap();
        let path = old_file(place.path());
        let known = Fingerprints::open_in(place.path()).unwrap();
        known.remember(&path, &state(&path), &Digests::of(Algorithm::Md5.into(), b"15,7.2\n"));
        known.finish().unwrap();
        for (hashed, is_known) in [(-LIFETIME - 60, false), (60, false), (-LIFETIME + 60, true)] {
            let inner = known.state.lock().unwrap();
            inner.connection.execute("UPDATE files SET hashed = ?1", [seconds_now() + hashed]).unwrap();
            drop(inner);
            assert_eq!(known.lookup(&path, &state(&path), Algorithm::Md5.into()).is_some(), is_known);
        }
    }

    #[test]
    fn a_damaged_file_is_replaced_and_a_directory_of_others_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("fingerprints.sqlite3");
        fs::write(&path, "no database, but long enough to be looked at").unwrap();
        Fingerprints::open_in(place.path()).unwrap().finish().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Fingerprints::open_in(place.path()).is_err());
    }
}
