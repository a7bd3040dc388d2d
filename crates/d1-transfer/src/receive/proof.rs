//! Hashing received files side by side, in a thread of its own, while others are written.
//!
//! A file of middle size costs several times less to hash beside others than alone, and reading it again from the page
//! cache costs little. A larger file is hashed while it comes, so that nothing is left to do at its end.

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use bagit::{
    AlgorithmSet, Digests, FileToHash, HashOptions, HashOutcome, Progress, ProgressEvent, hash_files,
};
use multi_digest::Lanes;
use tokio::sync::oneshot;

use crate::blocking::{GivenUp, run_while_wanted};
use crate::error::{Error, Result};
use crate::staging::Staging;

/// The sizes of files that are read again to be hashed.
const SIZES: RangeInclusive<u64> = (256 << 10) + 1..=64 << 20;

/// How many files are hashed before the results go back.
const FILES_AT_ONCE: usize = 2 * Lanes::MOST;

type Reply = Box<dyn FnOnce(io::Result<Digests>) + Send>;

struct Request {
    /// The path below the root of the staging directory.
    path: String,
    size: u64,
    algorithms: AlgorithmSet,
    reply: Reply,
}

/// Hashes files of a staging directory for several jobs. The files that wait while it works are hashed together next.
#[derive(Clone, Debug)]
pub(crate) struct Prover {
    root: Arc<Path>,
    requests: mpsc::Sender<Request>,
}

impl Prover {
    /// Returns a prover and its work, which ends when no clone of the prover is left.
    pub(crate) fn new(staging: &Staging) -> (Self, impl Future<Output = ()> + use<>) {
        let (requests, incoming) = mpsc::channel();
        let root: Arc<Path> = staging.root().into();
        let prover = Self { root: Arc::clone(&root), requests };
        (prover, run_while_wanted(move |given_up| prove_all(&root, &incoming, given_up)))
    }

    /// Tells whether a file of this size should be hashed by the prover.
    pub(crate) fn takes(size: u64) -> bool {
        SIZES.contains(&size)
    }

    /// Hashes a file that is complete.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read, or changes meanwhile.
    pub(crate) async fn prove(&self, path: &Path, size: u64, algorithms: AlgorithmSet) -> Result<Digests> {
        let (sender, receiver) = oneshot::channel();
        self.ask(path, size, algorithms, Box::new(|digests| _ = sender.send(digests)));
        let digests = receiver.await.unwrap_or_else(|_| Err(stopped()));
        digests.map_err(|error| Error::io("read", path, error))
    }

    /// Hashes a file that is complete, for a thread that goes on meanwhile.
    pub(crate) fn start(&self, path: &Path, size: u64, algorithms: AlgorithmSet) -> Proof {
        let (sender, receiver) = mpsc::channel();
        self.ask(path, size, algorithms, Box::new(move |digests| _ = sender.send(digests)));
        Proof(receiver)
    }

    fn ask(&self, path: &Path, size: u64, algorithms: AlgorithmSet, reply: Reply) {
        let relative = path.strip_prefix(&self.root).ok().and_then(Path::to_str).map(str::to_owned);
        let Some(path) = relative else { return reply(Err(io::ErrorKind::InvalidInput.into())) };
        // If the work has ended, nobody waits for the reply.
        let _ = self.requests.send(Request { path, size, algorithms, reply });
    }
}

/// Digests that are being computed.
#[derive(Debug)]
pub(crate) struct Proof(mpsc::Receiver<io::Result<Digests>>);

impl Proof {
    /// Returns the digests, if they are known.
    pub(crate) fn ready(&self) -> Option<io::Result<Digests>> {
        match self.0.try_recv() {
            Ok(digests) => Some(digests),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(Err(stopped())),
        }
    }

    /// Waits for the digests.
    pub(crate) fn wait(&self) -> io::Result<Digests> {
        self.0.recv().unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> io::Error {
    io::Error::other("the caller has stopped waiting")
}

/// Stops the hashing when nobody waits for it.
struct WhileWanted<'a>(&'a GivenUp);

impl Progress for WhileWanted<'_> {
    fn event(&self, _: ProgressEvent<'_>) {}

    fn is_cancelled(&self) -> bool {
        self.0.check().is_err()
    }
}

fn prove_all(root: &Path, requests: &mpsc::Receiver<Request>, given_up: &GivenUp) {
    while let Ok(first) = requests.recv() {
        let mut batch = vec![first];
        batch.extend(requests.try_iter().take(FILES_AT_ONCE - 1));
        let files: Vec<FileToHash<'_>> = batch
            .iter()
            .map(|Request { path, size, algorithms, .. }| FileToHash {
                path,
                size: *size,
                algorithms: *algorithms,
            })
            .collect();
        // One thread fills its lanes before another starts.
        let threads = files.len().div_ceil(Lanes::MOST);
        let Ok(outcomes) =
            hash_files(root, &files, &HashOptions::default().with_threads(threads), &WhileWanted(given_up))
        else {
            return;
        };
        for (request, outcome) in batch.into_iter().zip(outcomes) {
            (request.reply)(digests(outcome, request.size));
        }
    }
}

fn digests(outcome: HashOutcome, expected: u64) -> io::Result<Digests> {
    match outcome {
        HashOutcome::Hashed { size, digests } if size == expected => Ok(digests),
        HashOutcome::Hashed { size, .. } => {
            Err(io::Error::other(format!("expected {expected} bytes, found {size}")))
        }
        HashOutcome::Unreadable(error) => Err(error),
        HashOutcome::Vanished => Err(io::ErrorKind::NotFound.into()),
        _ => Err(io::Error::other("the file changed while it was read")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bagit::Algorithm;

    use super::*;

    #[tokio::test]
    async fn files_are_hashed_for_tasks_and_for_threads() {
        let output = tempfile::tempdir().unwrap();
        let digest = oci_model::Digest::sha256_of(b"a manifest");
        let (staging, _released) = Staging::open(output.path(), &digest, None).unwrap();
        let algorithms: AlgorithmSet = [Algorithm::Md5, Algorithm::Sha256].into_iter().collect();
        let content = |n: usize| vec![n.to_le_bytes()[0]; 1 + n * 100_000];
        let path = |n: usize| staging.finished(&format!("f{n}"));
        (0..40).for_each(|n| fs::write(path(n), content(n)).unwrap());
        let (prover, work) = Prover::new(&staging);
        let asking = async {
            let size = |n: usize| content(n).len() as u64;
            let proofs: Vec<Proof> = (0..40).map(|n| prover.start(&path(n), size(n), algorithms)).collect();
            let one = prover.prove(&path(7), size(7), algorithms).await.unwrap();
            assert_eq!(one, Digests::of(algorithms, &content(7)));
            for (n, proof) in proofs.iter().enumerate() {
                assert_eq!(proof.wait().unwrap(), Digests::of(algorithms, &content(n)), "{n}");
            }
            assert!(prover.prove(&path(7), 1, algorithms).await.is_err());
            assert!(prover.prove(&path(99), 1, algorithms).await.is_err());
            assert!(prover.prove(Path::new("/elsewhere"), 1, algorithms).await.is_err());
            drop(prover);
        };
        futures::future::join(work, asking).await;
    }

    #[tokio::test]
    async fn nobody_waits_for_a_prover_that_was_given_up() {
        let output = tempfile::tempdir().unwrap();
        let digest = oci_model::Digest::sha256_of(b"a manifest");
        let (staging, _released) = Staging::open(output.path(), &digest, None).unwrap();
        let (prover, work) = Prover::new(&staging);
        drop(work);
        let proof = prover.start(&staging.finished("f"), 1, Algorithm::Md5.into());
        assert!(proof.wait().is_err() && proof.ready().unwrap().is_err());
    }
}
