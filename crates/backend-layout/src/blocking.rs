//! Running what blocks on a thread where it may.

use registry_backend::{Error, ErrorKind, Result};
use tokio::task::JoinHandle;

/// Runs the work on a thread for blocking work.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    joined(operation, tokio::task::spawn_blocking(work)).await
}

/// Waits for work that was begun.
pub(crate) async fn joined<T>(operation: &'static str, handle: JoinHandle<Result<T>>) -> Result<T> {
    match handle.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::new(ErrorKind::Io, operation, "the layout")
                .because("the program is shutting down")
                .caused_by(error)),
        },
    }
}
