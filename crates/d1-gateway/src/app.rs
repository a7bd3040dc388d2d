//! The state that all requests share, and its refreshes.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use d1_catalog::{Catalog, UpdateOptions};
use d1_transfer::parts::run_blocking;
use header_case::HeaderCase;
use registry_backend::RegistryBackend;
use tokio::runtime::Handle;

use crate::answer::HEADER_NAMES;
use crate::cache::Cache;
use crate::checksums::Checksums;
use crate::crc32s::Crc32s;
use crate::event::{Event, Observer};
use crate::metrics::Metrics;
use crate::options::GatewayOptions;
use crate::store::{Reporter, Store};

/// The state that all requests share.
pub(crate) struct App {
    pub(crate) options: GatewayOptions,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) header_case: HeaderCase,
    pub(crate) checksums: Checksums,
    pub(crate) crc32s: Crc32s,
    /// Whether all repositories answered at the last refresh.
    is_current: AtomicBool,
    objects: AtomicU64,
}

/// The shortest pause between two refreshes.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

impl App {
    pub(crate) async fn new(
        repositories: Vec<Arc<dyn RegistryBackend>>,
        catalog: Catalog,
        options: GatewayOptions,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let by_name: HashMap<_, _> =
            repositories.into_iter().map(|backend| (backend.to_string(), backend)).collect();
        let store = Store {
            catalog: Arc::new(catalog),
            repositories: by_name,
            cache: Cache::new(options.cache_bytes),
            metrics: Arc::clone(&metrics),
            reporter: Reporter { metrics: Arc::clone(&metrics), observer: Arc::clone(&observer) },
        };
        let header_case = HeaderCase::learn(&HEADER_NAMES).await?;
        Ok(Self {
            options,
            store,
            metrics,
            observer,
            header_case,
            checksums: Checksums::default(),
            crc32s: Crc32s::default(),
            is_current: AtomicBool::new(false),
            objects: AtomicU64::new(0),
        })
    }

    /// Brings the catalogue up to date with all repositories, and returns the first failure.
    pub(crate) async fn refresh(&self) -> d1_catalog::Result<()> {
        let started = Instant::now();
        let observer = crate::event::as_transfer_observer(&self.observer);
        let mut first_failure = None;
        for backend in self.store.repositories.values() {
            if let Err(error) = self.update(backend, &observer).await {
                self.metrics.failed_refreshes.add(1);
                let text = format!("cannot refresh {backend}: {}", d1_transfer::with_causes(&error));
                self.observer.event(&Event::Warning(&text));
                first_failure.get_or_insert(error);
            }
        }
        self.metrics.refreshes.add(1);
        self.is_current.store(first_failure.is_none(), Ordering::Relaxed);
        let repositories = self.store.ask(Catalog::repositories).await.unwrap_or_default();
        let objects = repositories.iter().map(|status| status.objects).sum();
        self.objects.store(objects, Ordering::Relaxed);
        self.observer.event(&Event::Refreshed { objects, elapsed: started.elapsed() });
        first_failure.map_or(Ok(()), Err)
    }

    /// Brings one repository up to date.
    async fn update(
        &self,
        backend: &Arc<dyn RegistryBackend>,
        observer: &Arc<dyn d1_transfer::Observer>,
    ) -> d1_catalog::Result<()> {
        let (catalog, backend) = (Arc::clone(&self.store.catalog), Arc::clone(backend));
        let (observer, runtime) = (Arc::clone(observer), Handle::current());
        // The future of an update stays on one thread. It gets one of its own.
        run_blocking(move || {
            let options = UpdateOptions::default();
            runtime.block_on(catalog.update(&*backend, &options, &observer)).map(|_| ())
        })
        .await
    }

    /// Refreshes the catalogue as often as the options say.
    pub(crate) async fn refresh_for_ever(self: Arc<Self>) {
        let Some(pause) = self.options.refresh else { return };
        loop {
            tokio::time::sleep(pause.max(SHORTEST_PAUSE)).await;
            // The observer and the counters have the failure.
            let _ = self.refresh().await;
        }
    }

    /// Returns whether all repositories answered at the last refresh.
    pub(crate) fn is_current(&self) -> bool {
        self.is_current.load(Ordering::Relaxed)
    }

    /// Returns the number of objects at the last refresh.
    pub(crate) fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }
}
