//! Lists of objects that stay as they are while a client reads them page by page.
//!
//! DataONE's lists have offsets and nothing that names the state of the list. So the gateway remembers for each client which
//! list it reads: the numbers of its objects, in order. Objects that vanish meanwhile leave the rest of the list.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use d1_catalog::{CatalogObject, ObjectFilter, ObjectId, Page};

use crate::answer::Refused;
use crate::store::Store;

/// How long a list is remembered after its last page.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// The most readings that are remembered.
const MOST_READINGS: usize = 1000;
/// The most objects in all lists together: 32 MiB.
const MOST_OBJECTS: usize = 8 << 20;

/// The lists that clients read.
#[derive(Debug, Default)]
pub(crate) struct Paging {
    readings: Mutex<Vec<Reading>>,
}

/// A client that reads a list.
#[derive(Clone, Debug)]
struct Reading {
    client: IpAddr,
    filter: ObjectFilter,
    /// The state of the catalogue that the list is of.
    generation: u64,
    list: Arc<Vec<ObjectId>>,
    /// The end of the last page that the client has.
    end: usize,
    used: Instant,
}

impl Paging {
    /// Returns a page of the public objects that match, from the list that the client reads.
    pub(crate) async fn page(
        &self,
        store: &Store,
        client: IpAddr,
        filter: ObjectFilter,
        start: u64,
        count: u64,
    ) -> Result<Page<CatalogObject>, Refused> {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let reading = match self.continued(client, &filter, start, count) {
            Some(reading) => reading,
            None => self.begun(store, client, filter).await?,
        };
        let list = Arc::clone(&reading.list);
        let (items, list) = store.ask(move |catalog| page_of(catalog, list, start, count)).await?;
        let total = list.len() as u64;
        self.note(&reading, list, start.saturating_add(items.len()));
        Ok(Page { total, items })
    }

    fn readings(&self) -> MutexGuard<'_, Vec<Reading>> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the list that a page belongs to.
    fn continued(
        &self,
        client: IpAddr,
        filter: &ObjectFilter,
        start: usize,
        count: usize,
    ) -> Option<Reading> {
        let readings = self.readings();
        let fits = |reading: &&Reading| {
            let is_same = reading.client == client && reading.filter == *filter;
            // A list begins again, unless the client has only asked for its length.
            is_same && reading.used.elapsed() < KEPT && (start > 0 || (reading.end == 0 && count > 0))
        };
        // Clients read page after page. A page may be asked for again, and pages may be asked for in parallel.
        let found = readings.iter().filter(fits);
        found.max_by_key(|reading| (reading.end == start, reading.end >= start, reading.used)).cloned()
    }

    /// Begins a list.
    async fn begun(&self, store: &Store, client: IpAddr, filter: ObjectFilter) -> Result<Reading, Refused> {
        let generation = store.ask(d1_catalog::Catalog::generation).await?;
        let same = |reading: &&Reading| reading.generation == generation && reading.filter == filter;
        let known = self.readings().iter().find(same).map(|reading| Arc::clone(&reading.list));
        let list = match known {
            Some(list) => list,
            None => {
                let wanted = filter.clone();
                Arc::new(store.ask(move |catalog| catalog.object_ids(&wanted)).await?)
            }
        };
        let reading = Reading { client, filter, generation, list, end: 0, used: Instant::now() };
        let mut readings = self.readings();
        readings.push(reading.clone());
        forget(&mut readings);
        Ok(reading)
    }

    /// Remembers how far the client has come.
    fn note(&self, was: &Reading, list: Arc<Vec<ObjectId>>, end: usize) {
        let mut readings = self.readings();
        let same = |reading: &&mut Reading| {
            reading.client == was.client
                && reading.filter == was.filter
                && reading.end == was.end
                && Arc::ptr_eq(&reading.list, &was.list)
        };
        if let Some(reading) = readings.iter_mut().find(same) {
            if !Arc::ptr_eq(&reading.list, &list) {
                // No other client may begin with a list that lost objects in its middle.
                reading.generation = 0;
                reading.list = list;
            }
            reading.end = reading.end.max(end);
            reading.used = Instant::now();
        }
    }
}

/// Forgets the lists that nobody reads, and the oldest ones if there are too many.
fn forget(readings: &mut Vec<Reading>) {
    readings.retain(|reading| reading.used.elapsed() < KEPT);
    loop {
        let mut lists: Vec<_> =
            readings.iter().map(|reading| (Arc::as_ptr(&reading.list), reading.list.len())).collect();
        lists.sort_unstable();
        lists.dedup();
        let objects: usize = lists.iter().map(|(_, length)| length).sum();
        // The newest one stays, however long it is: its client asks for the next page at once.
        if readings.len() <= 1 || (readings.len() <= MOST_READINGS && objects <= MOST_OBJECTS) {
            return;
        }
        let oldest = readings.iter().enumerate().min_by_key(|(_, reading)| reading.used);
        if let Some((oldest, _)) = oldest {
            readings.swap_remove(oldest);
        }
    }
}

/// Returns the objects of a page, and the list without those that vanished from it.
fn page_of(
    catalog: &d1_catalog::Catalog,
    list: Arc<Vec<ObjectId>>,
    start: usize,
    count: usize,
) -> d1_catalog::Result<(Vec<CatalogObject>, Arc<Vec<ObjectId>>)> {
    let start = start.min(list.len());
    let (mut items, mut kept, mut at) = (Vec::new(), Vec::new(), start);
    while items.len() < count && at < list.len() {
        let wanted = list.iter().skip(at).take(count - items.len()).copied().collect::<Vec<_>>();
        at += wanted.len();
        for (id, found) in wanted.iter().zip(catalog.objects_by_id(&wanted)?) {
            if let Some(object) = found.filter(CatalogObject::is_public) {
                items.push(object);
                kept.push(*id);
            }
        }
    }
    if start + kept.len() == at {
        return Ok((items, list));
    }
    let before = list.iter().take(start).copied();
    let shorter = before.chain(kept).chain(list.iter().skip(at).copied()).collect();
    Ok((items, Arc::new(shorter)))
}
