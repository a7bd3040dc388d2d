//! The thread that reads the index.
//!
//! An index of many manifests takes a few large pieces of memory, again each time that it has changed. Were they allocated by whichever
//! thread for blocking work comes next, each of these would keep a share of them: allocators give every thread a part of the memory of its
//! own.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError, mpsc};
use std::{io, thread};

use registry_backend::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// A thread that begins with its first work and ends with the value.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    works: Mutex<Option<mpsc::Sender<Work>>>,
}

impl Keeper {
    /// Runs the work on the thread, after what was given to it before.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, result) = oneshot::channel();
        let failed = |error: io::Error| Error::new(ErrorKind::Io, operation, "the layout").caused_by(error);
        self.give(Box::new(move || {
            // Nobody waits any more if the one who asked has given up.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
        }))
        .map_err(failed)?;
        match result.await {
            Ok(result) => result.unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => Err(failed(io::Error::other("its thread has ended"))),
        }
    }

    fn give(&self, work: Work) -> io::Result<()> {
        let mut works = self.works.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match works.take() {
            Some(sender) => sender,
            None => {
                let (sender, receiver) = mpsc::channel::<Work>();
                let keep = move || receiver.iter().for_each(|work| work());
                thread::Builder::new().name("layout index".to_owned()).spawn(keep)?;
                sender
            }
        };
        // Its thread ends after its senders.
        sender.send(work).map_err(|_| io::Error::other("its thread has ended"))?;
        *works = Some(sender);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_order_on_one_thread_whatever_becomes_of_it() {
        let keeper = Keeper::default();
        let thread = || Ok(thread::current().id());
        let first = keeper.run("test", thread).await.unwrap();
        let refused = || Err::<(), _>(Error::new(ErrorKind::Invalid, "test", "x"));
        assert_eq!(keeper.run("test", refused).await.unwrap_err().kind(), ErrorKind::Invalid);
        drop(keeper.run("test", thread));
        assert_eq!(keeper.run("test", thread).await.unwrap(), first);
        assert_ne!(first, thread().unwrap());
    }
}
