//! One shard: the thread that owns a part of the series. It admits samples, keeps their history, runs the detector, and
//! hands what matters to the coordinator. No locks: everything a series has lives here.

mod families;
mod table;
#[cfg(test)]
mod tests;

use super::coordinator::is_durable;
use super::gate::{Gate, GateOutput};
use super::lane::{EVIDENCE_SCORE, OUTLOOK_STEPS, SAMPLES_PER_OUTLOOK};
use super::message::{Clocks, EntityEntry, Look, Observed, Past, ShardMessage, Tally};
use crate::context::Context;
use crate::correlate::Observation;
use crate::detect::{DetectConfig, Detection, Detector, Effort, Models};
use crate::ingest::admit::Admit;
use crate::ingest::{Refusals, RejectReason, Rejection};
use crate::series::{Sample, SeriesInfo, SeriesKind};
use crate::store::history::History;
use families::{Families, Output};
use std::collections::BTreeMap;
use std::sync::Arc;
use table::{Kept, Place, Series, SeriesTable};
use tokio::sync::mpsc;
use wire::series::SeriesSummary;
use wire::status::Provisional;
use wire::{SeriesId, Timestamp};

/// Samples of one detector call: enough to fill the autoencoder's batch, few enough to stay in cache.
const DETECT_BATCH: usize = 1024;

/// Samples whose series are looked up together.
const AHEAD: usize = 16;

/// Above this many samples in one message the autoencoder works only where its vote matters.
const FULL_EFFORT_SAMPLES: usize = 512;

/// State of one shard thread.
#[derive(Debug)]
pub(crate) struct Shard {
    number: usize,
    detector: Detector,
    gate: Gate,
    table: SeriesTable,
    families: Families,
    observed: mpsc::Sender<Observed>,
    /// Number of the newest word about what open incidents touch.
    troubled: u64,
    // Reused between messages.
    found: Vec<Option<Place>>,
    pending: Vec<(usize, Timestamp, f64)>,
    derived: Vec<Output>,
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
            families: Families::default(),
            observed,
            troubled: 0,
            found: Vec::new(),
            pending: Vec::new(),
            derived: Vec::new(),
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
            ShardMessage::BootstrapFamily { members } => self.bootstrap_family(&members),
            ShardMessage::Retype { info } => self.retype(info),
            ShardMessage::Ended { series } => self.end(series),
            ShardMessage::EndedFamily { member } => self.end_family(member),
            ShardMessage::Deploy { entity, at } => self.gate.context.record_deploy(&entity, at),
            ShardMessage::Threshold { class, threshold } => self.detector.set_threshold(class, threshold),
            ShardMessage::Troubled { number, entities } => {
                if number > self.troubled {
                    self.troubled = number;
                    self.gate.set_troubled(&mut self.detector, entities);
                }
            }
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
            ShardMessage::Seal {
                everything,
                from,
                reply,
            } => {
                let _ = reply.send(self.table.seal(everything, from, is_durable));
            }
            ShardMessage::Saved { ends } => self.table.saved(&ends),
        }
    }

    fn add(&mut self, source: &Arc<str>, info: Arc<SeriesInfo>, sealed_until: Option<Timestamp>) {
        if self.table.place(info.id).is_some() {
            return;
        }
        let history = sealed_until.map_or_else(|| History::new(info.id), |until| History::resumed(info.id, until));
        let link = self.families.link(&info);
        if info.kind.is_judged() {
            self.judge(Series::new(info, Arc::clone(source), history, link));
        } else {
            self.table.keep(Kept::new(info, Arc::clone(source), history, link));
        }
    }

    /// Gives a series to the detector.
    fn judge(&mut self, series: Series) {
        let info = series.info();
        let slot = self.detector.add_series(info);
        self.gate.add_series(&mut self.detector, slot, info, series.source());
        if info.kind == SeriesKind::Derived {
            self.families.derive_into(info, slot);
        }
        self.table.push(slot, series);
    }

    fn bootstrap(&mut self, series: SeriesId, past: &Past) {
        match self.table.place(series) {
            Some(Place::Judged(slot)) => {
                if !self.gate.bootstrap(&mut self.detector, slot, &past.older, &past.learn) {
                    self.table.series_mut(slot).retype(SeriesKind::Gauge);
                }
                for &(at, value) in &past.keep {
                    self.table.series_mut(slot).admit(at, value);
                }
            }
            Some(Place::Kept(index)) => {
                for &(at, value) in &past.keep {
                    self.table.kept_mut(index).admit(at, value);
                }
            }
            None => {}
        }
    }

    /// Members learn for themselves, as far as they are judged, and then what is derived from all of them.
    fn bootstrap_family(&mut self, members: &[(SeriesId, Past)]) {
        let mut samples = Vec::new();
        for (series, past) in members {
            self.bootstrap(*series, past);
            if let Some(link) = self.table.place(*series).and_then(|place| self.table.link(place)) {
                samples.extend(past.learn.iter().map(|&(at, value)| (at, link, value)));
            }
        }
        samples.sort_by_key(|(at, ..)| *at);
        let mut learn: BTreeMap<usize, Vec<(Timestamp, f64)>> = BTreeMap::new();
        for (at, link, value) in samples {
            self.families.take(link, at, value, &mut self.derived);
            for output in self.derived.drain(..) {
                if let Some(value) = output.value {
                    learn.entry(output.slot).or_default().push((output.at, value));
                }
            }
        }
        for (slot, history) in learn {
            self.gate.bootstrap(&mut self.detector, slot, &[], &history);
            for (at, value) in history {
                // What is sealed already is refused.
                self.table.series_mut(slot).admit(at, value);
            }
        }
    }

    /// A series turned out to be of another kind. What is stored of it stays; what was learnt starts over.
    fn retype(&mut self, info: Arc<SeriesInfo>) {
        let link = self.families.link(&info);
        match self.table.place(info.id) {
            Some(Place::Judged(slot)) => {
                self.gate.retype(&mut self.detector, slot, &info);
                self.table.series_mut(slot).become_of(info, link);
            }
            Some(Place::Kept(index)) if info.kind.is_judged() => {
                if let Some(kept) = self.table.release(index) {
                    self.judge(kept.into_series(info, link));
                }
            }
            Some(Place::Kept(index)) => self.table.kept_mut(index).become_of(info, link),
            None => {}
        }
    }

    fn end(&mut self, series: SeriesId) {
        let Some(place) = self.table.place(series) else { return };
        let mut over = match place {
            Place::Judged(slot) => vec![slot],
            Place::Kept(_) => Vec::new(),
        };
        if let Some(link) = self.table.link(place) {
            over.extend(self.families.end(link));
        }
        self.end_slots(over);
    }

    fn end_family(&mut self, member: SeriesId) {
        let link = self.table.place(member).and_then(|place| self.table.link(place));
        if let Some(link) = link {
            let over = self.families.end_all(link);
            self.end_slots(over);
        }
    }

    fn end_slots(&mut self, slots: Vec<usize>) {
        for slot in slots {
            self.fall_silent(slot);
            self.gate.presence.ended(slot);
        }
    }

    /// Nobody is to miss the series in `slot` until it reports again.
    fn fall_silent(&mut self, slot: usize) {
        self.table.series_mut(slot).end();
        let at = self.table.series(slot).last_at().unwrap_or_default();
        self.gate.quality.ended(slot, at, &mut self.judged.quality);
    }

    /// Admits, keeps, and judges the samples of one request, which came at `arrived`. What was refused is returned, the rest
    /// counts as taken.
    fn take(&mut self, source: &Arc<str>, samples: &[Sample], arrived: Option<Timestamp>) -> Vec<Rejection> {
        let mut refused = Refusals::default();
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
            for (position, sample) in chunk.iter().enumerate() {
                if position.is_multiple_of(AHEAD) {
                    self.find(&chunk[position..(position + AHEAD).min(chunk.len())]);
                }
                let Some(place) = self.found[position % AHEAD] else {
                    continue;
                };
                let (admit, link) = self.table.admit(place, sample.at, sample.value);
                match (admit, place) {
                    (Admit::InOrder, Place::Judged(slot)) => self.pend(slot, sample.at, sample.value, arrived),
                    (Admit::OutOfOrder, Place::Judged(slot)) => {
                        self.gate
                            .quality
                            .out_of_order(slot, sample.at, &mut self.judged.quality);
                    }
                    (Admit::Refused(reason), _) => {
                        if let (RejectReason::Duplicate | RejectReason::Conflicting, Place::Judged(slot)) =
                            (reason, place)
                        {
                            let conflicting = reason == RejectReason::Conflicting;
                            let changes = &mut self.judged.quality;
                            self.gate.quality.resent(slot, sample.at, conflicting, changes);
                        }
                        let info = self.table.info(place);
                        let example = || format!("{} of {} at {}", info.metric, info.entity, sample.at);
                        refused.add(reason, 1, example);
                    }
                    (Admit::InOrder | Admit::OutOfOrder, Place::Kept(_)) => {}
                }
                if let (Some(link), Admit::InOrder) = (link, admit) {
                    self.families.take(link, sample.at, sample.value, &mut self.derived);
                    if !self.derived.is_empty() {
                        self.take_derived(arrived);
                    }
                }
            }
            for slot in self.judged.demoted.drain(..) {
                let series = self.table.series_mut(slot);
                series.retype(SeriesKind::Gauge);
                tracing::info!(metric = %series.info().metric, entity = %series.info().entity, "falls too often to be a counter");
                self.gate.retype(&mut self.detector, slot, series.info());
            }
            self.detections.clear();
            self.gate.observe(
                &mut self.detector,
                &self.pending,
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
                        has_samples: true,
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
            taken: samples.len() as u64 - refused.samples(),
            observations,
            provisional,
        });
        refused.into_rejections().collect()
    }

    /// Finds where the series of some samples are, and reads a number of what each has there: it is then on its way from memory for
    /// all of them at once, and not for one after the other.
    fn find(&mut self, samples: &[Sample]) {
        self.found.clear();
        self.found
            .extend(samples.iter().map(|sample| self.table.place(sample.series)));
        let touched = self.found.iter().flatten().map(|&place| {
            self.table.touch(place)
                ^ match place {
                    Place::Judged(slot) => self.gate.touch(slot),
                    Place::Kept(_) => 0,
                }
        });
        std::hint::black_box(touched.fold(0, |all, one| all ^ one));
    }

    /// Lines up what there is to judge in a sample that was just taken.
    fn pend(&mut self, slot: usize, at: Timestamp, value: f64, arrived: Option<Timestamp>) {
        if let Some(value) = self.gate.take(slot, at, value, arrived, &mut self.judged) {
            self.pending.push((slot, at, value));
        }
    }

    /// Takes what was derived from a family like samples that had come.
    fn take_derived(&mut self, arrived: Option<Timestamp>) {
        let mut derived = std::mem::take(&mut self.derived);
        for output in derived.drain(..) {
            match output.value {
                Some(value) if self.table.series_mut(output.slot).admit(output.at, value) == Admit::InOrder => {
                    self.pend(output.slot, output.at, value, arrived);
                }
                Some(_) => {}
                None => self.fall_silent(output.slot),
            }
        }
        self.derived = derived;
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
        for kept in self.table.kept() {
            *tally.series_by_source.entry(Arc::clone(kept.source())).or_default() += 1;
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
        // What is only stored is found by who looks for it; a list of everything would be full of buckets.
        if !look.words.is_empty() {
            let kept = self.table.kept().filter(|kept| look.matches(kept.info()));
            found.extend(kept.map(Kept::summary));
        }
        Look::rank(&mut found);
        found.truncate(look.limit);
        found
    }
}
