//! Blocking work in threads of its own, which learns when nobody waits for it any more.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells work in another thread whether it has been given up.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    /// Returns an error if nobody waits for the work any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(io::Error::other("it was given up")) } else { Ok(()) }
    }
}

/// Gives work up when it is dropped.
struct GiveUp(GivenUp);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// A reader that fails once the work that reads has been given up.
#[derive(Debug)]
pub(crate) struct WhileWanted<R> {
    inner: R,
    given_up: GivenUp,
}

impl<R> WhileWanted<R> {
    pub(crate) fn new(inner: R, given_up: &GivenUp) -> Self {
        Self { inner, given_up: given_up.clone() }
    }
}

impl<R: Read> Read for WhileWanted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.given_up.check()?;
        self.inner.read(buffer)
    }
}

/// Runs blocking work in a thread of its own. A panic in the work continues in the caller.
pub async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    run_while_wanted(|_| work()).await
}

/// Runs blocking work as [`run_blocking`] does, and tells it when the caller has stopped waiting.
pub(crate) async fn run_while_wanted<T: Send + 'static>(
    work: impl FnOnce(&GivenUp) -> T + Send + 'static,
) -> T {
    let give_up = GiveUp(GivenUp::default());
    let given_up = give_up.0.clone();
    match tokio::task::spawn_blocking(move || work(&given_up)).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels such work, and with it whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn work_learns_that_nobody_waits() {
        let (started, has_started) = channel();
        let (ended, has_ended) = channel();
        let work = tokio::spawn(run_while_wanted(move |given_up| {
            started.send(()).unwrap();
            let mut endless = WhileWanted::new(io::repeat(0), given_up);
            ended.send(io::copy(&mut endless, &mut io::sink())).unwrap();
        }));
        run_blocking(move || has_started.recv().unwrap()).await;
        work.abort();
        assert!(run_blocking(move || has_ended.recv().unwrap()).await.is_err());
    }

    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_panic_goes_on_in_the_caller() {
        run_blocking(|| panic!("on purpose")).await;
    }
}
