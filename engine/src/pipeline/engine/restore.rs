//! From what an earlier run left to a running engine: the store first, then the log on top of it.

use super::inbox::TYPES_SETTING;
use super::log_files::{POSITIONS_SETTING, Positions};
use super::{Engine, gone};
use crate::config::Config;
use crate::context::calendar::Span;
use crate::context::{Context, Mask, MaskReason, Masks, Selector};
use crate::correlate::Incident;
use crate::decide::audit::AuditChain;
use crate::detect::LASTING_MS;
use crate::detect::SHIPPED_THRESHOLD;
use crate::error::{Error, Result};
use crate::learn::{Thresholds, TrackRecord};
use crate::pipeline::coordinator::{REPLAY_SOURCE, Restored, TRAINED_AT};
use crate::pipeline::message::{Past, Sealed, ShardMessage};
use crate::series::{Catalog, Labels, SeriesInfo, SeriesKind, family_of, home_of, info_from_labels};
use crate::store::history::SealedChunk;
use crate::store::log::{Batch, Position, Record};
use crate::store::rollup::Level;
use crate::store::signals::SignalStore;
use crate::store::{Change, Saved, Store};
use crate::topology::edges_of;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use tokio::sync::oneshot;
use wire::incident::Verdict;
use wire::signal::{LogRecord, SignalFilter};
use wire::{SeriesId, Timestamp};

/// Lines of logs that are looked at again after a start: a few seconds of work at most.
const LINES_LEARNT: usize = 50_000;

/// History that detectors learn from at a start.
const LEARN_MS: i64 = 15 * 24 * 3600 * 1000;

/// Samples of a series that detectors learn from one by one at most: two weeks of minutes would make a start slow.
const LEARN_SAMPLES: usize = 4096;

/// What came before those is averaged over this time: enough for the shape of days and weeks.
const THINNED_MS: i64 = 5 * 60 * 1000;

/// Chunks that go to the store together: few enough to hold in memory while all series seal at once.
const LOT: usize = 1024;

/// Reads the store. What a recording left is forgotten if it is replayed again.
pub(super) async fn load(store: &dyn Store, config: &Config, now: Timestamp) -> Result<(Saved, Restored)> {
    let mut saved = store.load().await?;
    let last_incident = saved
        .incidents
        .iter()
        .filter_map(|i| i.id.as_str().rsplit('-').next()?.parse().ok())
        .max()
        .unwrap_or_default();
    let last_proposal = saved
        .proposals
        .iter()
        .filter_map(|p| p.id.as_str().rsplit('-').next()?.parse().ok())
        .max()
        .unwrap_or_default();
    if config.replay.is_some() {
        let replayed: Vec<_> = saved
            .incidents
            .iter()
            .filter(|i| i.source == REPLAY_SOURCE)
            .map(|i| i.id.clone())
            .collect();
        let of_replay = |incident: &Option<wire::IncidentId>| incident.as_ref().is_some_and(|id| replayed.contains(id));
        let known: Vec<SeriesId> = saved.series.iter().map(|(info, _)| info.id).collect();
        let mut forget: Vec<String> = replayed.iter().map(ToString::to_string).collect();
        forget.extend(
            saved
                .proposals
                .iter()
                .filter(|p| of_replay(&p.incident))
                .map(|p| p.id.to_string()),
        );
        // Series of a recording are not in the store, so a prediction about an unknown series was one of its own.
        forget.extend(
            saved
                .predictions
                .iter()
                .filter(|p| !known.contains(&p.series))
                .map(|p| p.id.to_string()),
        );
        store.forget(&forget).await?;
        saved.incidents.retain(|i| i.source != REPLAY_SOURCE);
        saved.proposals.retain(|p| !of_replay(&p.incident));
        saved.predictions.retain(|p| known.contains(&p.series));
    }
    let trained_at = setting::<Option<i64>>(&saved, TRAINED_AT)?.map(Timestamp);
    let kill_switch = setting(&saved, "kill_switch")?;
    let thresholds: Thresholds = setting(&saved, "thresholds")?;
    let record: TrackRecord = setting(&saved, "record")?;
    let heard = |id: &SeriesId| saved.sealed_until.get(id).copied().unwrap_or(now);
    let found = saved.series.iter().flat_map(|(info, _)| {
        let at = heard(&info.id);
        edges_of(info).into_iter().map(move |found| (found, at))
    });
    let restored = Restored {
        found: found.collect(),
        incidents: std::mem::take(&mut saved.incidents),
        predictions: std::mem::take(&mut saved.predictions),
        proposals: std::mem::take(&mut saved.proposals),
        deploys: std::mem::take(&mut saved.deploys),
        edges: std::mem::take(&mut saved.edges),
        alerts: std::mem::take(&mut saved.alerts),
        silences: std::mem::take(&mut saved.silences),
        told: std::mem::take(&mut saved.told),
        parcels: std::mem::take(&mut saved.parcels),
        audit: AuditChain::restore(std::mem::take(&mut saved.audit)).map_err(|message| Error::Corrupt {
            place: "the audit chain".to_owned(),
            message,
        })?,
        kill_switch,
        thresholds,
        record,
        trained_at,
        last_incident,
        last_proposal,
    };
    Ok((saved, restored))
}

/// What shards know beside the samples: the configuration's windows and settings, deploys, and the spans of past incidents,
/// which must not teach what is normal.
pub(super) fn context(config: &Config, restored: &Restored) -> Context {
    let mut context = Context::new(&config.context);
    context.set_masks(incident_masks(&restored.incidents));
    for deploy in restored.deploys.iter().filter(|d| d.kind.may_be_a_cause()) {
        context.record_deploy(&deploy.entity, deploy.at);
    }
    context
}

/// The newest lines of logs that are kept, oldest first: what they say is usual. Not those of whoever was in trouble then.
pub(super) async fn lines(signals: &dyn SignalStore, incidents: &[Incident]) -> Result<Vec<LogRecord>> {
    let masks = incident_masks(incidents);
    let mut spans: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    let mut lines = Vec::new();
    let mut filter = SignalFilter {
        limit: Some(1000),
        ..SignalFilter::default()
    };
    while lines.len() < LINES_LEARNT {
        let page = signals.logs(&filter).await?;
        lines.extend(page.records.into_iter().filter(|line| {
            let own = spans
                .entry(line.service.clone())
                .or_insert_with(|| masks.spans_of(&info_from_labels(&Labels::of(&line.service, "log_lines", None))));
            !own.iter().any(|span| span.from <= line.at && line.at < span.until)
        }));
        match page.next {
            Some(next) => filter.page = Some(next),
            None => break,
        }
    }
    lines.reverse();
    Ok(lines)
}

/// The spans of past incidents, also of those that a person called false, of all that they touched; a day of those that lasted
/// longer.
pub(super) fn incident_masks(incidents: &[Incident]) -> Masks {
    let mut masks = Masks::default();
    for incident in incidents.iter().filter(|i| i.merged_into.is_none()) {
        let id = incident.id.clone();
        let until = incident.ended.unwrap_or(incident.last_anomaly) + incident.step_ms.max(1);
        masks.add(Mask {
            selector: Selector::of_entities(incident.touched().cloned().collect()),
            span: Span {
                from: incident.started,
                until: until.min(incident.started + LASTING_MS),
            },
            reason: if incident.feedback == Some(Verdict::FalseAlarm) {
                MaskReason::ConfirmedFalse(id)
            } else {
                MaskReason::Incident(id)
            },
        });
    }
    masks
}

/// Means of [`THINNED_MS`] of samples in order of time, each at the time of its first sample; of a counter the last sample, for
/// between those lies its mean rate.
fn thinned(samples: &[(Timestamp, f64)], counter: bool) -> Vec<(Timestamp, f64)> {
    let span = |at: Timestamp| at.as_millis().div_euclid(THINNED_MS);
    samples
        .chunk_by(|a, b| span(a.0) == span(b.0))
        .map(|chunk| {
            if counter {
                return chunk[chunk.len() - 1];
            }
            let n = chunk.len() as f64;
            (chunk[0].0, chunk.iter().map(|sample| sample.1 / n).sum())
        })
        .collect()
}

/// What the store keeps under a name, or what stands there before anything is kept.
fn setting<T: DeserializeOwned + Default>(saved: &Saved, key: &str) -> Result<T> {
    let Some(text) = saved.settings.get(key) else {
        return Ok(T::default());
    };
    serde_json::from_str(text).map_err(|error| Error::Corrupt {
        place: format!("the store's setting {key}"),
        message: error.to_string(),
    })
}

/// How far log files were read.
pub(super) fn log_positions(saved: &Saved) -> Result<Positions> {
    setting(saved, POSITIONS_SETTING)
}

/// What senders have declared of their metrics.
pub(super) fn catalog(saved: &Saved) -> Result<Catalog> {
    Ok(Catalog::with_types(setting(saved, TYPES_SETTING)?))
}

impl Engine {
    /// Gives every shard its series, each with the past that the store and the log have of it.
    pub(super) async fn restore_series(
        &self,
        saved: Saved,
        records: Vec<Record>,
        thresholds: &Thresholds,
    ) -> Result<()> {
        for shard in 0..self.shards.len() {
            for class in thresholds.touched() {
                let threshold = thresholds.threshold(class, SHIPPED_THRESHOLD);
                self.to_shard(shard, ShardMessage::Threshold { class, threshold })
                    .await?;
            }
        }
        let mut sources: BTreeMap<SeriesId, (SeriesInfo, String)> = saved
            .series
            .into_iter()
            .map(|(info, source)| (info.id, (info, source)))
            .collect();
        let mut logged: BTreeMap<SeriesId, Vec<(Timestamp, f64)>> = BTreeMap::new();
        for Record::Batch(Batch {
            source,
            new_series,
            samples,
        }) in records
        {
            for info in new_series {
                let Entry::Vacant(place) = sources.entry(info.id) else {
                    continue;
                };
                // The crash came between the log and the store.
                let change = Change::Series {
                    info: info.clone(),
                    source: source.clone(),
                };
                self.store.save(&[change]).await?;
                place.insert((info, source.clone()));
            }
            for sample in samples {
                logged.entry(sample.series).or_default().push((sample.at, sample.value));
            }
        }
        // Kinds follow from what is known now; an older version may have thought otherwise, and derived nothing.
        let mut catalog = self.registry.turn().await;
        let typed = catalog.admit(sources.values().map(|(info, _)| info.clone()).collect());
        drop(catalog);
        let known: BTreeMap<SeriesId, String> = sources
            .values()
            .map(|(info, source)| (family_of(info), source.clone()))
            .collect();
        for info in &typed.infos {
            if let (Entry::Vacant(place), Some(source)) = (sources.entry(info.id), known.get(&family_of(info))) {
                let (info, source) = (info.clone(), source.clone());
                let change = Change::Series { info, source };
                self.store.save(std::slice::from_ref(&change)).await?;
                if let Change::Series { info, source } = change {
                    place.insert((info, source));
                }
            }
        }
        self.registry.add(typed.infos.into_iter().map(Arc::new));
        let mut alone = Vec::new();
        let mut families: BTreeMap<SeriesId, (SeriesId, Vec<SeriesId>)> = BTreeMap::new();
        for (id, (_, source)) in &sources {
            let Some(info) = self.registry.get(*id) else { continue };
            let (home, family) = (home_of(&info), family_of(&info));
            // What was derived is derived again, from raw samples.
            if family == *id {
                alone.push(*id);
            } else if info.kind != SeriesKind::Derived {
                families.entry(family).or_insert((home, Vec::new())).1.push(*id);
            }
            let source: Arc<str> = Arc::from(source.as_str());
            self.guard.count(&source, [info.as_ref()]);
            let add = ShardMessage::Add {
                source,
                infos: vec![(info, saved.sealed_until.get(id).copied())],
            };
            self.to_shard(self.shard_at(home), add).await?;
        }
        for id in &alone {
            let logged = logged.remove(id).unwrap_or_default();
            let past = self.past(*id, saved.sealed_until.get(id).copied(), logged).await?;
            if !past.learn.is_empty() {
                let message = ShardMessage::Bootstrap { series: *id, past };
                self.to_shard(self.shard_of(*id), message).await?;
            }
        }
        for (home, ids) in families.into_values() {
            let mut members = Vec::new();
            for id in ids {
                let logged = logged.remove(&id).unwrap_or_default();
                members.push((id, self.past(id, saved.sealed_until.get(&id).copied(), logged).await?));
            }
            self.to_shard(self.shard_at(home), ShardMessage::BootstrapFamily { members })
                .await?;
        }
        Ok(())
    }

    /// What is known of a series' past. The log may hold retries and samples that were sealed since: each counts once.
    async fn past(
        &self,
        id: SeriesId,
        sealed_until: Option<Timestamp>,
        mut logged: Vec<(Timestamp, f64)>,
    ) -> Result<Past> {
        // The first of two samples with one timestamp was taken, the other was refused.
        logged.sort_by_key(|(at, _)| *at);
        logged.dedup_by_key(|(at, _)| *at);
        logged.retain(|(at, _)| sealed_until.is_none_or(|until| *at > until));
        let newest = logged.last().map(|(at, _)| *at).max(sealed_until).unwrap_or_default();
        let mut learn = Vec::new();
        if sealed_until.is_some() {
            for chunk in self.store.chunks(id, newest - LEARN_MS, newest).await? {
                learn.extend(chunk.samples()?);
            }
        }
        learn.extend_from_slice(&logged);
        let counter = self
            .registry
            .get(id)
            .is_some_and(|info| info.kind == SeriesKind::Counter);
        let recent = learn.split_off(learn.len().saturating_sub(LEARN_SAMPLES));
        Ok(Past {
            older: thinned(&learn, counter),
            learn: recent,
            keep: logged,
        })
    }

    /// Moves history to the store: what is full, or everything, after which the log is cut.
    pub(super) async fn seal(&self, everything: bool) -> Result<()> {
        // First: who waits for it must not keep senders waiting.
        let _sealing = self.sealing.lock().await;
        // The shards are to seal all that the log holds now: nothing may be between it and them while they are told so. What
        // comes later stays in the log, so nobody waits for the sealing itself.
        let nobody = if everything {
            Some(self.gate.write().await)
        } else {
            None
        };
        let checkpoint = everything.then(|| self.log.end());
        let mut answers = Vec::with_capacity(self.shards.len());
        for shard in 0..self.shards.len() {
            answers.push(self.ask_to_seal(shard, everything, 0).await?);
        }
        drop(nobody);
        let mut lot = Vec::with_capacity(LOT);
        for (shard, mut answer) in answers.into_iter().enumerate() {
            loop {
                let part = answer.await.map_err(|_| gone())?;
                for chunk in part.chunks {
                    lot.push((shard, chunk));
                    if lot.len() == LOT {
                        self.keep_sealed(&mut lot, None).await?;
                    }
                }
                let Some(next) = part.next else { break };
                answer = self.ask_to_seal(shard, everything, next).await?;
            }
        }
        if lot.is_empty() && checkpoint.is_none() {
            return Ok(());
        }
        // The checkpoint is with the last of them: what comes before it is in the log until then.
        self.keep_sealed(&mut lot, checkpoint).await?;
        if let Some(checkpoint) = checkpoint {
            self.log.remove_before(checkpoint)?;
            self.expire().await?;
        }
        Ok(())
    }

    /// Moves chunks, each with its shard, to the store, and tells the shards that they are there.
    async fn keep_sealed(&self, lot: &mut Vec<(usize, SealedChunk)>, checkpoint: Option<Position>) -> Result<()> {
        let mut ends = vec![Vec::new(); self.shards.len()];
        let mut chunks = Vec::with_capacity(lot.len());
        for (shard, chunk) in lot.drain(..) {
            ends[shard].push((chunk.series, chunk.end));
            chunks.push(chunk);
        }
        self.store.seal(&chunks, checkpoint).await?;
        for (shard, ends) in ends.into_iter().enumerate().filter(|(_, ends)| !ends.is_empty()) {
            self.to_shard(shard, ShardMessage::Saved { ends }).await?;
        }
        Ok(())
    }

    async fn ask_to_seal(&self, shard: usize, everything: bool, from: usize) -> Result<oneshot::Receiver<Sealed>> {
        let (reply, answer) = oneshot::channel();
        let message = ShardMessage::Seal {
            everything,
            from,
            reply,
        };
        self.to_shard(shard, message).await?;
        Ok(answer)
    }

    /// Forgets what is too old, level by level.
    async fn expire(&self) -> Result<()> {
        let (now, limits) = (self.clock.now(), &self.config.limits);
        self.store.expire(now - self.config.retention_ms).await?;
        let kept = [
            (Level::Minute, limits.retention_minutes_ms),
            (Level::Hour, limits.retention_hours_ms),
        ];
        for (level, kept_ms) in kept {
            self.store.expire_rollups(level, now - kept_ms).await?;
        }
        Ok(())
    }

    /// Puts small chunks together until there is nothing to do, a few series at a time: others wait for the store meanwhile.
    pub(super) async fn compact(&self) -> Result<()> {
        /// Series of one turn.
        const TURN: u32 = 32;
        loop {
            let sealing = self.sealing.lock().await;
            if self.store.compact(TURN).await? == 0 {
                return Ok(());
            }
            drop(sealing);
            tokio::task::yield_now().await;
        }
    }
}
