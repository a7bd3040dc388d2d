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

use crate::answer::HEADER_NAMES;
use crate::blocks::Blocks;
use crate::cache::Cache;
use crate::checksums::Checksums;
use crate::content::Reader;
use crate::crc32s::Crc32s;
use crate::dataone::Paging;
use crate::event::{Event, Observer};
use crate::metrics::Metrics;
use crate::options::GatewayOptions;
use crate::recent::{Limits, Recent};
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
    pub(crate) paging: Paging,
    pub(crate) recent: Recent,
    pub(crate) limits: Limits,
    /// Whether all repositories answered at the last refresh.
    is_current: AtomicBool,
    objects: AtomicU64,
}

/// Makes the cache on the disk, if a repository is remote. Without it, content comes straight from the store.
fn disk_cache(
    repositories: &HashMap<String, Arc<dyn RegistryBackend>>,
    options: &GatewayOptions,
    metrics: &Arc<Metrics>,
    observer: &Arc<dyn Observer>,
) -> Option<Arc<Blocks>> {
    let has_remote = repositories.values().any(|backend| !backend.capabilities().local_files);
    if options.disk_cache_bytes == 0 || !has_remote {
        return None;
    }
    let directory = &options.disk_cache_directory;
    let made = Blocks::new(directory, options.disk_cache_bytes, Arc::clone(metrics));
    let failed = |error| {
        let text = format!("cannot keep content on the disk in {}: {error}", directory.display());
        observer.event(&Event::Warning(&text));
    };
    made.map_err(failed).ok()
}

/// Bounds of the memory for decoded members of archives.
const FEWEST_MEMBER_BYTES: u64 = 4 << 20;
const MOST_MEMBER_BYTES: u64 = 32 << 20;

/// The shortest pause between two refreshes.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

impl App {
    pub(crate) async fn new(
        repositories: HashMap<String, Arc<dyn RegistryBackend>>,
        catalog: Catalog,
        options: GatewayOptions,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let members_bytes = (options.cache_bytes / 2).clamp(FEWEST_MEMBER_BYTES, MOST_MEMBER_BYTES);
        let blocks = disk_cache(&repositories, &options, &metrics, &observer);
        let store = Store {
            catalog: Arc::new(catalog),
            repositories,
            reader: Reader::new(blocks, Arc::clone(&metrics), members_bytes),
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
            paging: Paging::default(),
            recent: Recent::default(),
            limits: Limits::default(),
            is_current: AtomicBool::new(false),
            objects: AtomicU64::new(0),
        })
    }

    /// Brings the catalogue up to date with all repositories, and returns the first failure.
    pub(crate) async fn refresh(&self) -> d1_catalog::Result<()> {
        let started = Instant::now();
        let observer = crate::event::as_transfer_observer(&self.observer);
        let mut first_failure = None;
        for (name, backend) in &self.store.repositories {
            let mut options = UpdateOptions::default();
            options.name = Some(name.clone());
            if let Err(error) = self.store.catalog.update(&**backend, &options, &observer).await {
                self.metrics.failed_refreshes.add(1);
                let text = format!("cannot refresh {backend}: {}", d1_transfer::with_causes(&error));
                self.observer.event(&Event::Warning(&text));
                first_failure.get_or_insert(error);
            }
        }
        if let Ok(Some(other)) = self.other_repository().await {
            let text = format!("the catalogue also holds `{other}`: it is listed, but not served");
            self.observer.event(&Event::Warning(&text));
        }
        self.metrics.refreshes.add(1);
        self.is_current.store(first_failure.is_none(), Ordering::Relaxed);
        let repositories = self.store.ask(Catalog::repositories).await.unwrap_or_default();
        let objects = repositories.iter().map(|status| status.objects).sum();
        self.objects.store(objects, Ordering::Relaxed);
        self.observer.event(&Event::Refreshed { objects, elapsed: started.elapsed() });
        first_failure.map_or(Ok(()), Err)
    }

    /// Returns the name of a repository that the catalogue holds and the gateway does not serve.
    pub(crate) async fn other_repository(&self) -> d1_catalog::Result<Option<String>> {
        let catalog = Arc::clone(&self.store.catalog);
        let known = run_blocking(move || catalog.repositories()).await?;
        let mut names = known.into_iter().map(|status| status.name);
        Ok(names.find(|name| !self.store.repositories.contains_key(name)))
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
