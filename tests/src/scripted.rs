//! A scripted registry for tests that start programs. It answers on a thread of its own.

use std::ops::Deref;

use registry_conformance::scripted::{Config, Route, ScriptedRegistry};
use registry_conformance::{CutAfter, CuttingProxy};
use tokio::runtime::Runtime;

/// A running registry with its log. It ends when the value is dropped.
#[derive(Debug)]
pub struct Scripted {
    registry: ScriptedRegistry,
    runtime: Runtime,
}

impl Scripted {
    /// Starts a registry.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(config: Config) -> Self {
        let runtime = Runtime::new().expect("threads can be started");
        let registry = runtime.block_on(ScriptedRegistry::start(config)).expect("it starts");
        Self { registry, runtime }
    }

    /// Starts a proxy to the registry that cuts all connections each time `bytes` bytes have passed on them.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn behind_cuts(&self, bytes: u64) -> CuttingProxy {
        let started = CuttingProxy::start(self.registry.host(), CutAfter::AllConnections(bytes));
        self.runtime.block_on(started).expect("it starts")
    }

    /// Returns the number of requests for blobs, without those that only ask whether a blob exists.
    pub fn blob_transfers(&self) -> usize {
        let is_transfer = |route| {
            matches!(
                route,
                Route::BlobGet
                    | Route::Storage
                    | Route::UploadStart
                    | Route::Mount
                    | Route::UploadPatch
                    | Route::UploadCommit
            )
        };
        // A mount from the repository itself looks for a blob, and renews it (Quay).
        let is_look = |uri: &str| {
            let path = uri.strip_prefix("/v2/").and_then(|path| path.split_once("/blobs/uploads/"));
            let source = path.and_then(|(_, query)| query.split("from=").nth(1)?.split('&').next());
            path.zip(source).is_some_and(|((repository, _), source)| source.replace("%2F", "/") == repository)
        };
        let requests = self.registry.requests();
        requests.iter().filter(|request| is_transfer(request.route) && !is_look(&request.uri)).count()
    }

    /// Returns the number of committed blobs.
    pub fn commits(&self) -> usize {
        let requests = self.registry.requests();
        let committed = requests
            .iter()
            .filter(|request| request.route == Route::UploadCommit && request.status == Some(201));
        committed.count()
    }
}

impl Deref for Scripted {
    type Target = ScriptedRegistry;

    fn deref(&self) -> &ScriptedRegistry {
        &self.registry
    }
}
