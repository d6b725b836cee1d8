//! One shard: the thread that owns a part of the series. It admits samples, keeps their history, runs the detector, and
//! hands what matters to the coordinator. No locks: everything a series has lives here.

mod table;

use super::coordinator::is_durable;
use super::gate::{Gate, GateOutput};
use super::lane::{EVIDENCE_SCORE, OUTLOOK_STEPS, SAMPLES_PER_OUTLOOK};
use super::message::{Clocks, EntityEntry, Look, Observed, Past, ShardMessage, Tally};
use crate::context::Context;
use crate::correlate::Observation;
use crate::detect::{DetectConfig, Detection, Detector, Effort, Models};
use crate::ingest::admit::Admit;
use crate::ingest::{RejectReason, Rejection};
use crate::series::{Sample, SeriesInfo};
use crate::store::history::History;
use std::collections::BTreeMap;
use std::sync::Arc;
use table::{Series, SeriesTable};
use tokio::sync::mpsc;
use wire::Timestamp;
use wire::series::SeriesSummary;
use wire::status::Provisional;

/// Samples of one detector call: enough to fill the autoencoder's batch, few enough to stay in cache.
const DETECT_BATCH: usize = 1024;

/// Above this many samples in one message the autoencoder works only where its vote matters.
const FULL_EFFORT_SAMPLES: usize = 512;

/// State of one shard thread.
#[derive(Debug)]
pub(crate) struct Shard {
    number: usize,
    detector: Detector,
    gate: Gate,
    table: SeriesTable,
    observed: mpsc::Sender<Observed>,
    // Reused between messages.
    pending: Vec<(usize, Timestamp, f64)>,
    detections: Vec<Detection>,
    judged: GateOutput,
}

impl Shard {
    pub(crate) fn new(
        number: usize,
        detect: DetectConfig,
        models: Arc<Models>,
        context: Context,
        verdict_bytes: usize,
        observed: mpsc::Sender<Observed>,
    ) -> Self {
        Self {
            number,
            gate: Gate::new(context, detect.fast.clone()),
            detector: Detector::new(detect, models),
            table: SeriesTable::new(verdict_bytes),
            observed,
            pending: Vec::new(),
            detections: Vec::new(),
            judged: GateOutput::default(),
        }
    }

    /// Serves messages until every sender is gone.
    pub(crate) fn run(mut self, mut inbox: mpsc::Receiver<ShardMessage>) {
        while let Some(message) = inbox.blocking_recv() {
            self.serve(message);
        }
    }

    fn serve(&mut self, message: ShardMessage) {
        // A reply that nobody waits for any more is no error: the request was given up.
        match message {
            ShardMessage::Batch {
                source,
                samples,
                arrived,
                reply,
            } => {
                let _ = reply.send(self.take(&source, &samples, arrived));
            }
            ShardMessage::Add { source, infos } => {
                for (info, sealed_until) in infos {
                    self.add(&source, info, sealed_until);
                }
            }
            ShardMessage::Bootstrap { series, past } => self.bootstrap(series, &past),
            ShardMessage::Ended { series } => self.end(series),
            ShardMessage::Deploy { entity, at } => self.gate.context.record_deploy(&entity, at),
            ShardMessage::Threshold { class, threshold } => self.detector.set_threshold(class, threshold),
            ShardMessage::Models(models) => self.detector.set_models(models),
            ShardMessage::Tally { clocks, reply } => {
                let _ = reply.send(self.tally(&clocks));
            }
            ShardMessage::List { look, reply } => {
                let _ = reply.send(self.list(&look));
            }
            ShardMessage::About { id, clocks, reply } => {
                let _ = reply.send(self.table.about(&self.detector, &self.gate, id, &clocks));
            }
            ShardMessage::Slice { id, from, to, reply } => {
                let _ = reply.send(self.table.slice(id, from, to));
            }
            ShardMessage::Seal { everything, reply } => {
                let _ = reply.send(self.table.seal(everything, is_durable));
            }
            ShardMessage::Saved { ends } => self.table.saved(&ends),
        }
    }

    fn add(&mut self, source: &Arc<str>, info: Arc<SeriesInfo>, sealed_until: Option<Timestamp>) {
        if self.table.slot(info.id).is_none() {
            let slot = self.detector.add_series(&info);
            self.gate.add_series(&mut self.detector, slot, &info, source);
            let history = sealed_until.map_or_else(|| History::new(info.id), |until| History::resumed(info.id, until));
            self.table.push(slot, Series::new(info, Arc::clone(source), history));
        }
    }

    fn bootstrap(&mut self, series: wire::SeriesId, past: &Past) {
        let Some(slot) = self.table.slot(series) else { return };
        self.gate.bootstrap(&mut self.detector, slot, &past.older, &past.learn);
        for &(at, value) in &past.keep {
            self.table.series_mut(slot).admit(at, value);
        }
    }

    fn end(&mut self, series: wire::SeriesId) {
        self.table.mark_ended(series);
        if let Some(slot) = self.table.slot(series) {
            let at = self.table.series(slot).last_at().unwrap_or_default();
            self.gate.quality.ended(slot, at, &mut self.judged.quality);
            self.gate.presence.ended(slot);
        }
    }

    /// Admits, keeps, and judges the samples of one request, which came at `arrived`. What was refused is returned, the rest
    /// counts as taken.
    fn take(&mut self, source: &Arc<str>, samples: &[Sample], arrived: Option<Timestamp>) -> Vec<Rejection> {
        let mut refused: BTreeMap<RejectReason, (u64, String)> = BTreeMap::new();
        let effort = if samples.len() <= FULL_EFFORT_SAMPLES {
            Effort::Full
        } else {
            Effort::Lazy
        };
        let mut observations = Vec::new();
        let mut provisional = Provisional::default();
        let capacity = self.table.verdict_capacity();
        for chunk in samples.chunks(DETECT_BATCH) {
            self.pending.clear();
            self.judged.clear();
            for sample in chunk {
                let Some(slot) = self.table.slot(sample.series) else {
                    continue;
                };
                match self.table.series_mut(slot).admit(sample.at, sample.value) {
                    Admit::InOrder => self.pending.push((slot, sample.at, sample.value)),
                    Admit::OutOfOrder => {
                        self.gate
                            .quality
                            .out_of_order(slot, sample.at, &mut self.judged.quality);
                    }
                    Admit::Refused(reason) => {
                        if matches!(reason, RejectReason::Duplicate | RejectReason::Conflicting) {
                            let conflicting = reason == RejectReason::Conflicting;
                            let changes = &mut self.judged.quality;
                            self.gate.quality.resent(slot, sample.at, conflicting, changes);
                        }
                        let entry = refused.entry(reason).or_default();
                        entry.0 += 1;
                        if entry.1.is_empty() {
                            let info = self.table.series(slot).info();
                            entry.1 = format!("{} of {} at {}", info.metric, info.entity, sample.at);
                        }
                    }
                }
            }
            self.detections.clear();
            self.gate.observe(
                &mut self.detector,
                &self.pending,
                arrived,
                effort,
                &mut self.detections,
                &mut self.judged,
            );
            for change in &self.judged.quality {
                let info = self.table.series(change.slot).info();
                let (kind, text, ended) = (change.finding.kind, &change.finding.text, change.ended.is_some());
                tracing::info!(metric = %info.metric, entity = %info.entity, ?kind, %text, ended, "data quality");
            }
            provisional.add(self.judged.provisional);
            let mut whys = self.judged.whys.drain(..).peekable();
            let judged = self.detections.iter().zip(&self.judged.judgements);
            for (place, ((slot, ..), (detection, judgement))) in self.pending.iter().zip(judged).enumerate() {
                let series = self.table.series_mut(*slot);
                let why = whys.next_if(|(of, _)| *of == place).map(|(_, why)| why);
                series.judged(detection, *judgement, why, capacity);
                if detection.anomaly || (judgement.evidence && detection.score >= EVIDENCE_SCORE) {
                    observations.push(Observation {
                        info: Arc::clone(series.info()),
                        source: Arc::clone(source),
                        detection: *detection,
                    });
                }
            }
            drop(whys);
            if !self.judged.silent.is_empty() {
                let _ = self.observed.blocking_send(Observed::Silent {
                    shard: self.number,
                    silences: std::mem::take(&mut self.judged.silent),
                });
            }
            self.look_ahead();
        }
        // The message goes even without observations: the coordinator learns how far the lane's clock has come. A closed
        // channel means that the engine is shutting down.
        let _ = self.observed.blocking_send(Observed::Samples {
            source: Arc::clone(source),
            newest: samples.iter().map(|s| s.at).max(),
            taken: samples.len() as u64 - refused.values().map(|r| r.0).sum::<u64>(),
            observations,
            provisional,
        });
        refused
            .into_iter()
            .map(|(reason, (samples, example))| Rejection {
                reason,
                samples,
                example,
            })
            .collect()
    }

    /// Sends the outlook of the series just judged that have a limit to cross.
    fn look_ahead(&mut self) {
        for ((slot, ..), judgement) in self.pending.iter().zip(&self.judged.judgements) {
            let series = self.table.series(*slot);
            let Some(limit) = series.limit() else { continue };
            if judgement.is_ordinary()
                && series.seen().is_multiple_of(SAMPLES_PER_OUTLOOK)
                && let Some(outlook) = self.detector.outlook(*slot, OUTLOOK_STEPS)
            {
                let _ = self.observed.blocking_send(Observed::Outlook {
                    source: Arc::clone(series.source()),
                    info: Arc::clone(series.info()),
                    outlook: Box::new(outlook),
                    limit,
                });
            }
        }
    }

    fn tally(&self, clocks: &Clocks) -> Tally {
        let mut tally = Tally::default();
        for (slot, series) in self.table.iter() {
            let state = self.detector.state(slot);
            let warming = state.seen < state.needed;
            let health = series.health(clocks.get(series.source()).copied(), state.step_ms);
            let entity = tally
                .entities
                .entry(series.info().entity.clone())
                .or_insert_with(|| EntityEntry {
                    source: Arc::clone(series.source()),
                    tally: Default::default(),
                });
            entity.tally.add(health, series.score(), warming, series.last_at());
            *tally.series_by_source.entry(Arc::clone(series.source())).or_default() += 1;
            tally.warming += u64::from(warming);
        }
        tally
    }

    fn list(&self, look: &Look) -> Vec<SeriesSummary> {
        let mut found: Vec<_> = self
            .table
            .iter()
            .filter(|(_, series)| look.matches(series.info()))
            .map(|(slot, _)| self.table.summary(&self.detector, slot, &look.clocks))
            .collect();
        Look::rank(&mut found);
        found.truncate(look.limit);
        found
    }
}
