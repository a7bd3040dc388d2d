//! A scripted registry for tests that start programs, with a thread of its own to answer on.

use std::ops::Deref;

use registry_conformance::scripted::{Config, Route, ScriptedRegistry};
use registry_conformance::{CutAfter, CuttingProxy};
use tokio::runtime::Runtime;

/// A running registry with its log; it ends with the value.
#[derive(Debug)]
pub struct Scripted {
    registry: ScriptedRegistry,
    runtime: Runtime,
}

impl Scripted {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(config: Config) -> Self {
        let runtime = Runtime::new().expect("threads can be started");
        let registry = runtime.block_on(ScriptedRegistry::start(config)).expect("it starts");
        Self { registry, runtime }
    }

    /// Starts a way to it on which connections are cut each time so many bytes have passed on all of them.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn behind_cuts(&self, bytes: u64) -> CuttingProxy {
        let started = CuttingProxy::start(self.registry.host(), CutAfter::AllConnections(bytes));
        self.runtime.block_on(started).expect("it starts")
    }

    /// Returns how many requests were about blobs and more than to ask whether they are there.
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
        self.registry.requests().iter().filter(|request| is_transfer(request.route)).count()
    }

    /// Returns how many blobs were committed.
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
