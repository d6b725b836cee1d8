//! The live snapshot and its readers: one writer publishes, each reader gets a full copy and then every delta.

use crate::view::diff;
use futures::stream::{BoxStream, StreamExt, unfold};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use wire::incident::{IncidentState, IncidentSummary, Severity};
use wire::status::Identity;
use wire::stream::{Delta, Event, Snapshot};

/// Deltas kept for a reader that falls behind: about two minutes at two a second. One that is slower starts over from a
/// snapshot and is told how much it missed.
const BACKLOG: usize = 256;

/// The state everybody sees.
#[derive(Debug)]
pub(crate) struct Live {
    state: Mutex<Snapshot>,
    deltas: broadcast::Sender<Arc<Delta>>,
}

impl Live {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self {
            state: Mutex::new(snapshot),
            deltas: broadcast::Sender::new(BACKLOG),
        }
    }

    /// The state now, as `identity` sees it.
    pub(crate) fn snapshot(&self, identity: &Identity) -> Snapshot {
        let mut snapshot = self.lock().clone();
        snapshot.status.identity = identity.clone();
        snapshot
    }

    /// Whether an incident of `source` is open that somebody should look at now: P1 or P2.
    pub(crate) fn has_urgent_incident(&self, source: &str) -> bool {
        let open = |i: &IncidentSummary| {
            i.source == source
                && i.state != IncidentState::Resolved
                && matches!(i.severity, Severity::P1 | Severity::P2)
        };
        self.lock().incidents.iter().any(open)
    }

    /// Replaces the state and tells the readers what changed. The status alone is told only if `with_status`: it moves
    /// all the time.
    pub(crate) fn publish(&self, mut next: Snapshot, with_status: bool) {
        let mut state = self.lock();
        let delta = diff(&state, &next, with_status);
        if delta.is_empty() {
            return;
        }
        next.seq = delta.seq;
        if delta.status.is_none() {
            next.status = state.status.clone();
        }
        *state = next;
        // Sent under the lock, so that a reader who subscribes gets each delta after its snapshot and none twice. An
        // error means that nobody listens.
        let _ = self.deltas.send(Arc::new(delta));
    }

    /// A full snapshot, then every delta.
    pub(crate) fn watch(self: &Arc<Self>, identity: Identity) -> BoxStream<'static, Event> {
        let (snapshot, deltas) = self.subscribe(&identity);
        let reader = Reader {
            seq: snapshot.seq,
            live: Arc::clone(self),
            identity,
            deltas,
            ready: VecDeque::new(),
        };
        let first = futures::stream::once(async move { Event::Snapshot(snapshot) });
        first
            .chain(unfold(reader, |mut reader| async move {
                reader.next().await.map(|event| (event, reader))
            }))
            .boxed()
    }

    fn subscribe(&self, identity: &Identity) -> (Snapshot, broadcast::Receiver<Arc<Delta>>) {
        let state = self.lock();
        let mut snapshot = state.clone();
        snapshot.status.identity = identity.clone();
        (snapshot, self.deltas.subscribe())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Snapshot> {
        // A snapshot is replaced whole, so a panic elsewhere cannot leave it half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader {
    live: Arc<Live>,
    identity: Identity,
    deltas: broadcast::Receiver<Arc<Delta>>,
    seq: u64,
    ready: VecDeque<Event>,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        match self.deltas.recv().await {
            Ok(delta) => {
                let mut delta = Delta::clone(&delta);
                self.seq = delta.seq;
                if let Some(status) = &mut delta.status {
                    status.identity = self.identity.clone();
                }
                Some(Event::Delta(delta))
            }
            Err(RecvError::Lagged(dropped)) => {
                let loss = Event::Delta(Delta {
                    seq: self.seq + 1,
                    dropped,
                    ..Delta::default()
                });
                let (snapshot, deltas) = self.live.subscribe(&self.identity);
                self.seq = snapshot.seq;
                self.deltas = deltas;
                self.ready.push_back(Event::Snapshot(snapshot));
                Some(loss)
            }
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::topology::Edge;

    fn with_edges(count: usize) -> Snapshot {
        let mut snapshot = Snapshot {
            version: wire::VERSION,
            ..Snapshot::default()
        };
        snapshot.edges = (0..count)
            .map(|i| Edge {
                caller: format!("a{i:05}").into(),
                callee: "b".into(),
            })
            .collect();
        snapshot
    }

    #[tokio::test]
    async fn a_reader_gets_a_snapshot_and_then_consecutive_deltas() {
        let live = Arc::new(Live::new(with_edges(1)));
        let mut stream = live.watch(Identity::default());
        let Some(Event::Snapshot(mut copy)) = stream.next().await else {
            panic!("a snapshot comes first")
        };
        for count in 2..5 {
            live.publish(with_edges(count), true);
            let Some(Event::Delta(delta)) = stream.next().await else {
                panic!("then deltas")
            };
            copy.apply(delta).expect("deltas are consecutive");
        }
        assert_eq!(copy, live.snapshot(&Identity::default()));
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_lost_and_starts_over() {
        let live = Arc::new(Live::new(with_edges(0)));
        let mut stream = live.watch(Identity::default());
        let _ = stream.next().await;
        for count in 1..BACKLOG + 11 {
            live.publish(with_edges(count), true);
        }
        let Some(Event::Delta(loss)) = stream.next().await else {
            panic!("the loss comes first")
        };
        assert_eq!(loss.dropped, 10);
        let Some(Event::Snapshot(copy)) = stream.next().await else {
            panic!("then a snapshot")
        };
        assert_eq!(copy, live.snapshot(&Identity::default()));
    }

    #[test]
    fn nothing_new_sends_nothing() {
        let live = Live::new(with_edges(3));
        live.publish(with_edges(3), true);
        assert_eq!(live.snapshot(&Identity::default()).seq, 0);
    }
}
