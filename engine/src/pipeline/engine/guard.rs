//! What stands at the door: how fast, how many series, how much memory and disk; and what it has to tell.
//!
//! Refusing is safe in two ways. A whole request that finds no room is told to come later (503, sent again by every sender), and
//! nothing of it is taken. A new series over a limit is refused for good, with a [`Finding`] that names what explodes, and
//! everything that is known goes on.

use super::{Engine, gone};
use crate::config::LimitConfig;
use crate::error::{Error, Result};
use crate::ingest::rate::Rates;
use crate::ingest::{RejectReason, Rejection, memory};
use crate::pipeline::engine::task::Order;
use crate::quality::cardinality::{Cardinality, Finding, Judged, Scope};
use crate::series::{Sample, SeriesInfo};
use crate::store::disk;
use crate::store::log::Recovery;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use wire::protection::{Explosion, Protection, Refusing, Storage};
use wire::{SeriesId, Timestamp};

/// How often memory and disk are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An explosion is over when nothing was refused for this long, and forgotten after a day.
const ACTIVE_MS: i64 = 10 * 60 * 1000;
const REMEMBERED_MS: i64 = 24 * 3600 * 1000;

/// Explosions remembered; the one that was quiet for longest goes first.
const MAX_EXPLOSIONS: usize = 100;

/// Damaged places told of; a broken disk may have many more.
const MAX_DAMAGE: usize = 20;

/// By whom, by which limit, with which metric.
type Offender = (Arc<str>, Scope, String);

/// See the module.
#[derive(Debug)]
pub(super) struct Guard {
    cardinality: Mutex<Cardinality>,
    rates: Mutex<Rates>,
    explosions: Mutex<BTreeMap<Offender, Explosion>>,
    /// Why nothing is acknowledged.
    refusing: Mutex<Option<Refusing>>,
    /// Whether there is such a reason, for those who only ask that.
    is_refusing: AtomicBool,
    has_memory: AtomicBool,
    has_disk: AtomicBool,
    /// 0: not known.
    memory_bytes: AtomicU64,
    memory_limit: u64,
    free_bytes: AtomicU64,
    min_free_bytes: u64,
    data_dir: PathBuf,
    damage: Vec<String>,
    torn: Vec<String>,
}

impl Guard {
    /// A guard that has counted nothing, and tells what was found in the log.
    pub(super) fn new(limits: &LimitConfig, data_dir: &Path, found: Recovery) -> Self {
        let few = |mut places: Vec<String>| {
            places.truncate(MAX_DAMAGE);
            places
        };
        let guard = Self {
            cardinality: Mutex::new(Cardinality::new(limits.series)),
            rates: Mutex::new(Rates::new(limits.samples_per_sec)),
            explosions: Mutex::default(),
            refusing: Mutex::default(),
            is_refusing: AtomicBool::new(false),
            has_memory: AtomicBool::new(true),
            has_disk: AtomicBool::new(true),
            memory_bytes: AtomicU64::new(0),
            memory_limit: limits.memory_bytes.or_else(memory::usual_limit).unwrap_or(0),
            free_bytes: AtomicU64::new(u64::MAX),
            min_free_bytes: limits.min_free_disk_bytes,
            data_dir: data_dir.to_owned(),
            damage: few(found.damage),
            torn: few(found.torn),
        };
        guard.look();
        guard
    }

    /// Looks at memory and disk.
    fn look(&self) {
        if let Some(bytes) = memory::in_use() {
            self.memory_bytes.store(bytes, Ordering::Relaxed);
            let has_memory = self.memory_limit == 0 || bytes < self.memory_limit;
            self.has_memory.store(has_memory, Ordering::Relaxed);
        }
        if let Some(bytes) = disk::free_bytes(&self.data_dir) {
            self.free_bytes.store(bytes, Ordering::Relaxed);
            let has_disk = bytes >= self.min_free_bytes;
            if has_disk && !self.has_disk.swap(has_disk, Ordering::Relaxed) {
                self.durable();
            }
            self.has_disk.store(has_disk, Ordering::Relaxed);
        }
    }

    /// Takes in series that were added.
    pub(super) fn count<'a>(&self, source: &Arc<str>, added: impl IntoIterator<Item = &'a SeriesInfo>) {
        lock(&self.cardinality).count(source, added);
    }

    /// Decides which new series find room.
    pub(super) fn judge(&self, source: &str, new: Vec<SeriesInfo>) -> Judged {
        lock(&self.cardinality).judge(source, new, self.has_memory.load(Ordering::Relaxed))
    }

    /// Takes refused samples out of a request, and keeps what is to be told of them.
    pub(super) fn cut(
        &self,
        source: &Arc<str>,
        refused: &BTreeMap<SeriesId, Scope>,
        findings: Vec<Finding>,
        samples: &mut Vec<Sample>,
        now: Timestamp,
    ) -> Vec<Rejection> {
        let mut lost: BTreeMap<Scope, u64> = BTreeMap::new();
        samples.retain(|sample| {
            let over = refused.get(&sample.series);
            if let Some(scope) = over {
                *lost.entry(*scope).or_default() += 1;
            }
            over.is_none()
        });
        let mut rejections = Vec::new();
        let mut explosions = lock(&self.explosions);
        let all: BTreeMap<Scope, u64> = findings.iter().fold(BTreeMap::new(), |mut all, finding| {
            *all.entry(finding.scope).or_default() += finding.refused;
            all
        });
        for finding in findings {
            let of_scope = lost.get(&finding.scope).copied().unwrap_or(0);
            // A request names each series once and gives most of them as many samples.
            let samples = of_scope * finding.refused / all.get(&finding.scope).copied().unwrap_or(1).max(1);
            rejections.push(Rejection {
                reason: reason(finding.scope),
                samples,
                example: finding.text.clone(),
            });
            let offender = (Arc::clone(source), finding.scope, finding.metric.clone());
            let known = explosions.get(&offender).map(|known| (known.since, known.refused));
            if known.is_none() {
                tracing::warn!(%source, text = %finding.text, "series explode");
            }
            let (since, before) = known.unwrap_or((now, 0));
            explosions.insert(offender, explosion(source, finding, (since, now), before + samples));
        }
        // What rounding left goes to the first.
        let counted: u64 = rejections.iter().map(|r| r.samples).sum();
        if let Some(first) = rejections.first_mut() {
            first.samples += lost.values().sum::<u64>().saturating_sub(counted);
        }
        while explosions.len() > MAX_EXPLOSIONS {
            let quiet = explosions.iter().min_by_key(|(_, known)| known.last_at);
            let Some(quiet) = quiet.map(|(offender, _)| offender.clone()) else {
                break;
            };
            explosions.remove(&quiet);
        }
        rejections
    }

    /// Nothing is acknowledged, for this reason.
    fn refuse(&self, problem: String, now: Timestamp) {
        let mut refusing = lock(&self.refusing);
        let since = refusing.as_ref().map_or(now, |before| before.since);
        if refusing.is_none() {
            tracing::error!(%problem, "samples are refused until it is solved; questions are answered");
        }
        *refusing = Some(Refusing { since, problem });
        self.is_refusing.store(true, Ordering::Release);
    }

    /// Something was acknowledged.
    fn durable(&self) {
        if self.is_refusing.swap(false, Ordering::AcqRel) && lock(&self.refusing).take().is_some() {
            tracing::info!("samples are taken again");
        }
    }

    /// What there is to tell at `now`; `log_bytes` a start would have to read.
    pub(super) fn state(&self, log_bytes: u64, now: Timestamp) -> Protection {
        let mut explosions = lock(&self.explosions);
        explosions.retain(|_, known| now.millis_since(known.last_at) <= REMEMBERED_MS);
        let mut shown: Vec<Explosion> = explosions.values().cloned().collect();
        for explosion in &mut shown {
            explosion.active = now.millis_since(explosion.last_at) <= ACTIVE_MS;
        }
        shown.sort_by_key(|explosion| std::cmp::Reverse(explosion.last_at));
        let known = |place: &AtomicU64, unknown: u64| Some(place.load(Ordering::Relaxed)).filter(|n| *n != unknown);
        Protection {
            explosions: shown,
            storage: Storage {
                refusing: lock(&self.refusing).clone(),
                damage: self.damage.clone(),
                torn: self.torn.clone(),
                log_bytes,
                free_bytes: known(&self.free_bytes, u64::MAX),
                memory_bytes: known(&self.memory_bytes, 0),
                memory_limit_bytes: self.memory_limit,
            },
        }
    }
}

impl Engine {
    /// Whether a source may send so many samples now.
    pub(super) async fn may_come(&self, source: &Arc<str>, samples: usize) -> Result<()> {
        self.has_disk(source, samples as u64).await?;
        let now = self.clock.now();
        let allowed = lock(&self.guard.rates).take(source, samples, now);
        match allowed {
            Ok(()) => Ok(()),
            Err(wait_ms) => {
                let problem = format!(
                    "{source} sends more than limits.max_samples_per_sec = {}: send again in {} s",
                    self.config.limits.samples_per_sec,
                    (wait_ms + 999) / 1000
                );
                Err(self
                    .put_off(source, RejectReason::OverRate, samples as u64, problem)
                    .await)
            }
        }
    }

    /// Whether there is room on the disk for what a source sends.
    pub(super) async fn has_disk(&self, source: &Arc<str>, samples: u64) -> Result<()> {
        if self.guard.has_disk.load(Ordering::Relaxed) {
            return Ok(());
        }
        let problem = format!(
            "the disk has {} MB left, less than limits.min_free_disk_mb asks for: make room at {}",
            self.guard.free_bytes.load(Ordering::Relaxed) >> 20,
            self.guard.data_dir.display()
        );
        Err(self.not_durable(source, samples, problem).await)
    }

    /// The answer to a request that must come again, counted by source and reason.
    pub(super) async fn put_off(
        &self,
        source: &Arc<str>,
        reason: RejectReason,
        samples: u64,
        problem: String,
    ) -> Error {
        let order = Order::Refused {
            source: Arc::clone(source),
            rejections: vec![Rejection {
                reason,
                samples,
                example: problem.clone(),
            }],
        };
        match self.orders.send(order).await {
            Ok(()) => Error::Unavailable(problem),
            Err(_) => gone(),
        }
    }

    /// The same where the disk is at fault; people are told until something is durable again.
    pub(super) async fn not_durable(&self, source: &Arc<str>, samples: u64, problem: String) -> Error {
        self.guard.refuse(problem.clone(), self.clock.now());
        self.put_off(source, RejectReason::NotDurable, samples, problem).await
    }

    /// What came is durable: if nothing was before, that is over.
    pub(super) fn is_durable_again(&self) {
        if self.guard.is_refusing.load(Ordering::Acquire) {
            self.guard.durable();
        }
    }

    /// What protects the engine, for its status.
    pub(super) fn protection(&self) -> Protection {
        self.guard.state(self.log.bytes_since_checkpoint(), self.clock.now())
    }
}

/// Looks at memory and disk until the engine stops.
pub(super) async fn watch(engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    let mut ticker = tokio::time::interval(LOOK_EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticker.tick() => {}
            _ = stopped.changed() => return,
        }
        let engine = Arc::clone(&engine);
        // A disk that hangs must not stop a thread that others wait for. It fails only when the process ends.
        let _ = tokio::task::spawn_blocking(move || engine.guard.look()).await;
    }
}

fn reason(scope: Scope) -> RejectReason {
    match scope {
        Scope::Metric => RejectReason::Cardinality,
        Scope::Tenant | Scope::Source | Scope::Total => RejectReason::TooManySeries,
        Scope::Memory => RejectReason::OverMemory,
    }
}

fn explosion(source: &Arc<str>, finding: Finding, (since, now): (Timestamp, Timestamp), refused: u64) -> Explosion {
    Explosion {
        source: source.to_string(),
        metric: finding.metric,
        label: finding.label,
        values: finding.values,
        series: finding.series,
        limit: finding.limit,
        refused,
        since,
        last_at: now,
        active: true,
        text: finding.text,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
