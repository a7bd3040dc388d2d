//! The lock on a layout's index.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::time::{Duration, Instant};

use registry_backend::{Error, ErrorKind, Result, Retry};

use super::failure::failure;
use super::paths::Paths;
use crate::blocking::blocking;

const OPERATION: &str = "lock the index of";

/// The longest pause between two attempts to get the lock.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// A lock that is held until the value is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Who else may hold the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nobody.
    Exclusive,
    /// Others that share it.
    Shared,
}

impl Lock {
    /// Waits for the lock, at most for `patience`.
    ///
    /// It is polled: no thread is blocked while others hold it, so those who hold it can always go on.
    pub(super) async fn acquire(paths: &Paths, mode: Mode, patience: Duration) -> Result<Self> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let tried = paths.clone();
            if let Some(lock) = blocking(OPERATION, move || Self::attempt(&tried, mode)).await? {
                return Ok(lock);
            }
            if begun.elapsed() >= patience {
                return Err(Error::new(ErrorKind::Conflict, OPERATION, paths)
                    .because(format!(
                        "another process has held the lock on `{}` for {} seconds",
                        paths.lock().display(),
                        patience.as_secs()
                    ))
                    .with_retry(Retry::Yes));
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// Takes the lock if it is free.
    pub(super) fn attempt(paths: &Paths, mode: Mode) -> Result<Option<Self>> {
        let path = paths.lock();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| failure(OPERATION, paths, &path, error))?;
        let tried = match mode {
            Mode::Exclusive => file.try_lock(),
            Mode::Shared => file.try_lock_shared(),
        };
        match tried {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(no_locks(paths, error)),
        }
    }
}

fn no_locks(paths: &Paths, error: io::Error) -> Error {
    Error::new(ErrorKind::Unsupported, OPERATION, paths)
        .because(
            "its file system does not lock files, and without locks two writers would lose each other's work: \
             write to a local directory and copy it there",
        )
        .caused_by(error)
}
