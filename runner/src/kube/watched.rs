//! Objects of a run, kept up to date by one watch, which every wait uses.

use crate::cluster::PodName;
use futures::StreamExt;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

/// The first pause before a broken watch is started again; it doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// The longest such pause; short, because deadlines keep running.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The watched objects as last seen.
#[derive(Debug)]
pub(super) struct Seen<K> {
    /// By namespace and name; the namespace is empty for cluster-scoped objects.
    pub(super) objects: BTreeMap<PodName, Arc<K>>,
    /// Whether the first list is complete.
    pub(super) listed: bool,
    /// Why the watch does not work at the moment.
    pub(super) problem: Option<String>,
}

/// A watch, for as long as this value lives.
#[derive(Debug)]
pub(super) struct Watched<K> {
    seen: watch::Receiver<Seen<K>>,
    task: JoinHandle<()>,
}

impl<K> Watched<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Starts watching what the configuration selects.
    pub(super) fn start(api: Api<K>, configuration: watcher::Config) -> Self {
        let empty = Seen { objects: BTreeMap::new(), listed: false, problem: None };
        let (sender, seen) = watch::channel(empty);
        let task = tokio::spawn(async move {
            let mut events = watcher(api, configuration).backoff(Pauses(SHORTEST_PAUSE)).boxed();
            let mut fresh = BTreeMap::new();
            while let Some(event) = events.next().await {
                sender.send_modify(|seen| take(seen, &mut fresh, event));
            }
        });
        Self { seen, task }
    }

    /// Waits until the closure finds what it looks for; `None` if the deadline comes first.
    pub(super) async fn until<T>(
        &self,
        deadline: Instant,
        mut find: impl FnMut(&Seen<K>) -> Option<T>,
    ) -> Option<T> {
        let mut seen = self.seen.clone();
        let mut found = None;
        let wait = seen.wait_for(|seen| {
            found = find(seen);
            found.is_some()
        });
        let ended = timeout_at(deadline, wait).await;
        drop(ended);
        found
    }

    pub(super) fn now<T>(&self, look: impl FnOnce(&Seen<K>) -> T) -> T {
        look(&self.seen.borrow())
    }
}

impl<K> Drop for Watched<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn take<K: Resource>(
    seen: &mut Seen<K>,
    fresh: &mut BTreeMap<PodName, Arc<K>>,
    event: Result<watcher::Event<K>, watcher::Error>,
) {
    let name = |object: &K| PodName::new(object.namespace().unwrap_or_default(), object.name_any());
    seen.problem = None;
    match event {
        Ok(watcher::Event::Apply(object)) => {
            seen.objects.insert(name(&object), Arc::new(object));
        }
        Ok(watcher::Event::Delete(object)) => {
            seen.objects.remove(&name(&object));
        }
        Ok(watcher::Event::Init) => fresh.clear(),
        Ok(watcher::Event::InitApply(object)) => {
            fresh.insert(name(&object), Arc::new(object));
        }
        Ok(watcher::Event::InitDone) => {
            seen.objects = std::mem::take(fresh);
            seen.listed = true;
        }
        Err(error) => seen.problem = Some(super::failure::chain(&error)),
    }
}

/// The pauses between attempts to watch.
struct Pauses(Duration);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = SHORTEST_PAUSE;
    }
}
