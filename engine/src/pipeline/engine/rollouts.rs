//! Watches the workloads of a Kubernetes cluster, and records its rollouts as changes.
//!
//! Each kind and namespace is listed once and then watched from there. A watch that ends goes on where it was; a place that the API has
//! forgotten means a new list, whose difference to what was known is what happened meanwhile.

use super::Engine;
use crate::ingest::changes::kubernetes::client::{ApiError, Client, KubernetesConfig};
use crate::ingest::changes::kubernetes::{Event, Kind, Rollouts, SOURCE};
use crate::pipeline::engine::task::Order;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wire::command::Command;
use wire::status::{Identity, Role};
use wire::topology::Deploy;

/// Pauses while the API does not answer, doubled up to the second.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Watches for as long as the engine runs.
pub(super) async fn run(engine: Arc<Engine>, config: KubernetesConfig) {
    let client = match Client::new(&config) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "Kubernetes is not watched");
            return;
        }
    };
    let watcher = Watcher {
        engine,
        client,
        api: config.api.clone(),
        shown: Mutex::default(),
    };
    let namespaces: Vec<Option<&str>> = match config.namespaces.as_slice() {
        [] => vec![None],
        named => named.iter().map(|name| Some(name.as_str())).collect(),
    };
    let all = namespaces
        .into_iter()
        .flat_map(|namespace| Kind::ALL.map(|kind| watcher.follow(kind, namespace)));
    futures::future::join_all(all).await;
}

/// What people read of the source.
#[derive(Default)]
struct Shown {
    /// Workloads by kind and namespace.
    workloads: BTreeMap<(Kind, String), usize>,
    problem: Option<String>,
    told: String,
}

struct Watcher {
    engine: Arc<Engine>,
    client: Client,
    api: String,
    shown: Mutex<Shown>,
}

impl Watcher {
    async fn follow(&self, kind: Kind, namespace: Option<&str>) {
        let mut rollouts = Rollouts::new(kind);
        let mut pause = FIRST_PAUSE;
        loop {
            match self.list_and_watch(kind, namespace, &mut rollouts, &mut pause).await {
                // A new list, soon.
                Err(ApiError::Expired) => {}
                Err(ApiError::Failed(error)) => self.tell(Some(&error)).await,
                Ok(never) => match never {},
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Ends only with an error.
    async fn list_and_watch(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        rollouts: &mut Rollouts,
        pause: &mut Duration,
    ) -> Result<std::convert::Infallible, ApiError> {
        let (all, mut place) = self.client.list(kind, namespace).await?;
        let changes = rollouts.listed(all, self.engine.clock.now());
        self.record(changes).await;
        loop {
            self.count(kind, namespace, rollouts.len()).await;
            let mut watch = self.client.watch(kind, namespace, &place).await?;
            while let Some((event, next)) = watch.next().await? {
                *pause = FIRST_PAUSE;
                let now = self.engine.clock.now();
                let change = match event {
                    Event::There(workload) => rollouts.there(workload, now),
                    Event::Gone(workload) => rollouts.gone(&workload, now),
                    Event::Bookmark => None,
                    Event::Expired => return Err(ApiError::Expired),
                    Event::Failed(problem) => return Err(ApiError::Failed(problem)),
                };
                self.record(change).await;
                self.count(kind, namespace, rollouts.len()).await;
                // Only now: what is not on record is told again from here.
                if let Some(next) = next {
                    place = next;
                }
            }
        }
    }

    async fn record(&self, changes: impl IntoIterator<Item = Deploy>) {
        for change in changes {
            let who = Identity {
                name: SOURCE.to_owned(),
                role: Role::Operator,
            };
            let order = Command::RecordDeploy { deploy: change };
            let mut pause = FIRST_PAUSE;
            while let Err(error) = self.engine.handle(who.clone()).command(order.clone()).await {
                if error.kind != wire::query::ErrorKind::Unavailable {
                    tracing::warn!(%error, "a rollout could not be recorded");
                    break;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    async fn count(&self, kind: Kind, namespace: Option<&str>, workloads: usize) {
        let key = (kind, namespace.unwrap_or_default().to_owned());
        self.shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .workloads
            .insert(key, workloads);
        self.tell(None).await;
    }

    /// Tells people what is watched, or why not, when that has changed.
    async fn tell(&self, problem: Option<&str>) {
        let note = {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(problem) = problem
                && shown.problem.as_deref() != Some(problem)
            {
                tracing::warn!("Kubernetes: {problem}");
            }
            shown.problem = problem.map(str::to_owned);
            let of = |kind: Kind| {
                shown
                    .workloads
                    .iter()
                    .filter(|((k, _), _)| *k == kind)
                    .map(|(_, n)| n)
                    .sum::<usize>()
            };
            let counts = Kind::ALL
                .map(|kind| format!("{} {}", of(kind), kind.plural()))
                .join(", ");
            let note = match &shown.problem {
                Some(problem) => format!("{}: {problem}", self.api),
                None => format!("{}: watches {counts}", self.api),
            };
            if note == shown.told {
                return;
            }
            shown.told.clone_from(&note);
            note
        };
        let order = Order::Source {
            name: SOURCE.into(),
            kind: "changes",
            note,
        };
        // An error means that the engine is shutting down.
        let _ = self.engine.orders.send(order).await;
    }
}
