//! Counters, in the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A counter that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a gateway.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Answers by the first digit of their status.
    answers: [Counter; 6],
    pub(crate) sent_bytes: Counter,
    pub(crate) cut: Counter,
    pub(crate) cache_hits: Counter,
    pub(crate) cache_misses: Counter,
    pub(crate) store_bytes: Counter,
    pub(crate) store_failures: Counter,
    pub(crate) refreshes: Counter,
    pub(crate) failed_refreshes: Counter,
    pub(crate) connections: AtomicI64,
}

impl Metrics {
    pub(crate) fn answered(&self, status: u16) {
        if let Some(counter) = self.answers.get(usize::from(status / 100)) {
            counter.add(1);
        }
    }

    /// Returns all counters, and the number of objects in the catalogue.
    pub(crate) fn text(&self, objects: u64) -> String {
        let mut text = String::new();
        let mut add = |name: &str, kind: &str, help: &str, values: &[(&str, String)]| {
            let _ = writeln!(text, "# HELP d1oci_{name} {help}\n# TYPE d1oci_{name} {kind}");
            for (labels, value) in values {
                let _ = writeln!(text, "d1oci_{name}{labels} {value}");
            }
        };
        let classes =
            ["{class=\"1xx\"}", "{class=\"2xx\"}", "{class=\"3xx\"}", "{class=\"4xx\"}", "{class=\"5xx\"}"];
        let answers: Vec<_> = classes
            .into_iter()
            .zip(self.answers.iter().skip(1))
            .map(|(class, counter)| (class, counter.get().to_string()))
            .collect();
        add("answers_total", "counter", "Answers by class of status.", &answers);
        for (name, help, counter) in [
            ("sent_bytes_total", "Bytes of bodies sent.", &self.sent_bytes),
            ("cut_answers_total", "Bodies that ended early.", &self.cut),
            ("cache_hits_total", "Reads from the memory cache.", &self.cache_hits),
            ("cache_misses_total", "Reads that the memory cache did not have.", &self.cache_misses),
            ("store_bytes_total", "Bytes read from the repositories.", &self.store_bytes),
            ("store_failures_total", "Failed reads of the repositories.", &self.store_failures),
            ("refreshes_total", "Updates of the catalogue.", &self.refreshes),
            ("failed_refreshes_total", "Failed updates of the catalogue.", &self.failed_refreshes),
        ] {
            add(name, "counter", help, &[("", counter.get().to_string())]);
        }
        let connections = self.connections.load(Ordering::Relaxed).to_string();
        add("connections", "gauge", "Open connections.", &[("", connections)]);
        add("objects", "gauge", "Objects in the catalogue.", &[("", objects.to_string())]);
        text
    }
}
