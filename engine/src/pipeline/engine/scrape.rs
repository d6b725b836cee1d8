//! Asks the targets of every job in turn: a task for each, started and ended as the lists change.

use super::Engine;
use crate::ingest::scrape::discover::Lists;
use crate::ingest::scrape::target::{Scrape, Scraped, TargetState};
use crate::ingest::scrape::{ScrapeConfig, Target, fetch};
use crate::ingest::{RejectReason, Rejection};
use crate::pipeline::engine::task::Order;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How often lists of targets are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// An engine that is too busy is asked again after this time, until the next scrape is due.
const AGAIN: Duration = Duration::from_secs(1);

/// What the tasks of a job share.
struct Job {
    engine: Arc<Engine>,
    config: ScrapeConfig,
    client: fetch::Client,
    /// `scrape JOB`, the name of its source.
    source: Arc<str>,
    /// By address, what is wrong with each target; `None`: nothing.
    health: Mutex<BTreeMap<String, Option<String>>>,
    /// What is wrong with the lists.
    problems: Mutex<Vec<String>>,
}

/// Runs a job until the engine stops.
pub(super) async fn run(engine: Arc<Engine>, config: ScrapeConfig, mut stopped: watch::Receiver<bool>) {
    let client = match fetch::Client::new(&config) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, job = config.job, "nothing is scraped");
            return;
        }
    };
    let job = Arc::new(Job {
        engine,
        source: format!("scrape {}", config.job).into(),
        client,
        config,
        health: Mutex::default(),
        problems: Mutex::default(),
    });
    let mut lists = Lists::default();
    let mut running: BTreeMap<Target, watch::Sender<bool>> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        // Files are read: not on a thread that others wait for.
        let config = job.config.clone();
        let read = tokio::task::spawn_blocking(move || {
            let found = lists.read(&config);
            (lists, found)
        });
        let Ok((back, found)) = read.await else { return };
        lists = back;
        running.retain(|target, end| {
            let stays = found.targets.contains(target);
            if !stays {
                end.send_replace(true);
            }
            stays
        });
        for target in found.targets {
            running.entry(target).or_insert_with_key(|target| {
                let (end, ended) = watch::channel(false);
                tasks.spawn(watch_target(Arc::clone(&job), target.clone(), ended));
                end
            });
        }
        job.set_problems(found.problems).await;
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            // What was scraped is in the engine; a scrape under way may be dropped.
            _ = stopped.changed() => return,
        }
        while tasks.try_join_next().is_some() {}
    }
}

/// Asks one target until it is no longer wanted; then everything of it ends.
async fn watch_target(job: Arc<Job>, target: Target, mut ended: watch::Receiver<bool>) {
    let interval_ms = job.config.interval_ms;
    let now = job.engine.now().as_millis();
    // The same place in every interval, also after a restart.
    let phase = now.rem_euclid(interval_ms as i64) as u64;
    let wait_ms = (target.offset_ms(interval_ms) + interval_ms - phase) % interval_ms;
    let mut state = TargetState::new(target, job.config.honor_labels, job.engine.config.limits.request);
    let scraping = async {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        let mut ticker = tokio::time::interval(Duration::from_millis(interval_ms));
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticker.tick().await;
            job.scrape(&mut state).await;
        }
    };
    tokio::select! {
        () = scraping => {}
        _ = ended.changed() => {}
    }
    if *ended.borrow() {
        let over = state.end(job.engine.now());
        job.ingest(over).await;
        job.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&state.target().url);
        job.tell().await;
    }
}

impl Job {
    async fn scrape(&self, state: &mut TargetState) {
        let at = self.engine.now();
        let fetched = self.client.fetch(&self.config, state.target()).await;
        let took_ms = self.engine.now().millis_since(at);
        let scrape = Scrape {
            exposition: fetched.as_ref().ok(),
            at,
            took_ms,
        };
        let scraped = state.take(scrape, self.engine.registry());
        self.ingest(scraped).await;
        let problem = fetched.err();
        let url = state.target().url.clone();
        let before = self
            .health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(url.clone(), problem.clone());
        if before.as_ref() != Some(&problem) {
            if let Some(problem) = &problem {
                tracing::warn!(%url, %problem, "a target cannot be scraped");
            }
            self.tell().await;
        }
    }

    /// Hands samples on; an engine that is too busy is asked again until the next scrape is due.
    async fn ingest(&self, scraped: Scraped) {
        let samples = scraped.metrics.batch.samples.len() + scraped.metrics.started.len();
        let tries = (self.config.interval_ms / 2000).max(1);
        for attempt in 1..=tries {
            match self.engine.ingest_started(&self.source, scraped.metrics.clone()).await {
                Ok(_) => {
                    self.engine.keep_exemplars(scraped.exemplars);
                    return;
                }
                Err(error) if attempt == tries => {
                    tracing::warn!(%error, job = self.config.job, samples, "a scrape was lost");
                    let rejection = Rejection {
                        reason: RejectReason::OverLimit,
                        samples: samples as u64,
                        example: error.to_string(),
                    };
                    let order = Order::Refused {
                        source: Arc::clone(&self.source),
                        rejections: vec![rejection],
                    };
                    // An error means that the engine is shutting down.
                    let _ = self.engine.orders.send(order).await;
                }
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    async fn set_problems(&self, problems: Vec<String>) {
        let before = std::mem::replace(
            &mut *self.problems.lock().unwrap_or_else(PoisonError::into_inner),
            problems.clone(),
        );
        if before != problems {
            for problem in &problems {
                tracing::warn!(job = self.config.job, %problem, "a list of targets");
            }
            self.tell().await;
        }
    }

    /// Says how the job stands, on the page of sources.
    async fn tell(&self) {
        let note = {
            let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
            note(&health, &problems)
        };
        let order = Order::Source {
            name: Arc::clone(&self.source),
            kind: "scrape",
            note,
        };
        // An error means that the engine is shutting down.
        let _ = self.engine.orders.send(order).await;
    }
}

/// How many targets answer, the first that does not, and what is wrong with the lists.
fn note(health: &BTreeMap<String, Option<String>>, problems: &[String]) -> String {
    let down: Vec<_> = health
        .iter()
        .filter_map(|(url, problem)| Some((url, problem.as_ref()?)))
        .collect();
    let mut note = format!("{} of {} targets answer", health.len() - down.len(), health.len());
    if let Some((url, problem)) = down.first() {
        note.push_str(&format!("; {url}: {problem}"));
    }
    for problem in problems {
        note.push_str("; ");
        note.push_str(problem);
    }
    note
}
