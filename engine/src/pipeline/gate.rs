//! Kind, context and data quality around the detector, and what configuration asks beyond it: what a lane and a shard do alike
//! with every sample.

mod extras;
mod ruling;
#[cfg(test)]
mod scenarios;

use crate::context::{Adjust, Context, Judgement, Settings};
use crate::detect::fast::Fast;
use crate::detect::{Before, Detection, Detector, Effort, FastConfig, SignalState, Why};
use crate::features::{Shaped, Shapes};
use crate::quality::{Presence, Quality, QualityChange, Silence};
use crate::series::{MetricClass, SeriesInfo};
use extras::Extras;
use ruling::{Case, SEARCHES};
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::status::Provisional;
use wire::{EntityId, Timestamp};

/// A gap of so many steps and this long leaves the level that a series had behind: what follows may be ordinary for its hour, and
/// only a season could tell. So many samples are believed in neither way.
const GAP_STEPS: i64 = 12;
const GAP_MS: i64 = 2 * 3600 * 1000;
const AFTER_GAP: u8 = 8;
/// Quality of data that is not believed.
const NOT_BELIEVED: f32 = 0.0;

/// Stands before and behind a [`Detector`] whose slots it follows.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) context: Context,
    pub(super) quality: Quality,
    pub(super) presence: Presence,
    fast: FastConfig,
    shapes: Shapes,
    series: Vec<GateSeries>,
    /// What open incidents touch.
    troubled: Arc<BTreeSet<EntityId>>,
    // Reused between batches.
    adjusted: Vec<(usize, Timestamp, f64)>,
    adjusts: Vec<Adjust>,
    met: Vec<(usize, Box<Before>)>,
    resuming: Vec<bool>,
}

#[derive(Debug)]
struct GateSeries {
    class: MetricClass,
    masked: bool,
    /// The anomaly now lasting: since when, and how many samples.
    run: Option<(Timestamp, u32)>,
    /// Few series have either.
    extras: Option<Box<Extras>>,
    fast: Option<Box<Fast>>,
    /// Samples after a long gap that are still to come.
    resuming: u8,
    last_at: Option<Timestamp>,
}

impl GateSeries {
    fn new(info: &SeriesInfo, settings: Option<&Settings>, fast: &FastConfig) -> Self {
        Self {
            class: info.class,
            masked: false,
            run: None,
            extras: Extras::of(info, settings),
            fast: Fast::of(info, settings.and_then(|own| own.fast), fast).map(Box::new),
            resuming: 0,
            last_at: None,
        }
    }

    /// Whether a sample follows so closely on a long gap that little can be made of it.
    #[inline]
    fn resumes(&mut self, at: Timestamp, step_ms: impl FnOnce() -> i64) -> bool {
        let passed_ms = at.0.saturating_sub(self.last_at.unwrap_or(at).0);
        self.last_at = self.last_at.max(Some(at));
        if passed_ms >= GAP_MS && passed_ms >= GAP_STEPS * step_ms() {
            self.resuming = AFTER_GAP;
        }
        let resumes = self.resuming > 0;
        self.resuming -= u8::from(resumes);
        resumes
    }
}

/// What comes out of the gate beside the detections.
#[derive(Clone, Debug, Default)]
pub struct GateOutput {
    /// One for every detection.
    pub judgements: Vec<Judgement>,
    /// Findings about the data that came or went.
    pub quality: Vec<QualityChange>,
    /// Entities that are silent now, and should not be.
    pub silent: Vec<Silence>,
    /// The reasons behind anomalies, by position among the judgements, ascending.
    pub whys: Vec<(usize, Why)>,
    /// What became of provisional signals.
    pub provisional: Provisional,
    /// Series that were found to be no counters, by slot.
    pub demoted: Vec<usize>,
}

impl GateOutput {
    /// Empties it, keeping the memory.
    pub fn clear(&mut self) {
        self.judgements.clear();
        self.quality.clear();
        self.silent.clear();
        self.whys.clear();
        self.provisional = Provisional::default();
        self.demoted.clear();
    }
}

impl Gate {
    pub(super) fn new(context: Context, fast: FastConfig) -> Self {
        Self {
            context,
            quality: Quality::default(),
            presence: Presence::default(),
            fast,
            shapes: Shapes::default(),
            series: Vec::new(),
            troubled: Arc::default(),
            adjusted: Vec::new(),
            adjusts: Vec::new(),
            met: Vec::new(),
            resuming: Vec::new(),
        }
    }

    /// Adds the series of `source` that the detector has just given `slot`.
    pub(super) fn add_series(&mut self, detector: &mut Detector, slot: usize, info: &SeriesInfo, source: &Arc<str>) {
        let own = self.context.add_series(info);
        detector.set_zone(slot, &self.context.zone(own));
        let again = self.quality.add_series(info);
        self.presence.add_series(info, source);
        debug_assert!(slot == own && slot == again, "slots are given in order");
        self.shapes.add(info.kind, info.step_ms);
        self.series
            .push(GateSeries::new(info, self.context.settings(slot), &self.fast));
    }

    /// Lets the detector learn what may be learnt of the past, as it was stored. `older` came before `history` and is too much to
    /// learn sample by sample. Returns whether the series is of the kind that it was thought to be.
    pub(super) fn bootstrap(
        &mut self,
        detector: &mut Detector,
        slot: usize,
        older: &[(Timestamp, f64)],
        history: &[(Timestamp, f64)],
    ) -> bool {
        self.quality.bootstrap(slot, history);
        let raw: Vec<(Timestamp, f64)> = older.iter().chain(history).copied().collect();
        let (values, same) = self.shapes.bootstrap(slot, &raw);
        let first = history.first().map(|(at, _)| *at);
        if let Some((at, _)) = raw.first() {
            self.presence.bootstrap(slot, *at);
        }
        let (older, recent) = values.split_at(values.partition_point(|(at, _)| Some(*at) < first));
        let older = self.context.learnable(slot, older);
        let learnable = self.context.learnable(slot, recent);
        let series = &mut self.series[slot];
        if let Some(extras) = &mut series.extras {
            extras.bootstrap(&learnable);
        }
        if let Some(fast) = &mut series.fast {
            fast.bootstrap(&learnable);
        }
        detector.bootstrap_after(slot, &older, &learnable);
        series.last_at = values.last().map(|(at, _)| *at);
        same
    }

    /// The series in `slot` is of another kind than was thought: what was learnt of it means nothing.
    pub(super) fn retype(&mut self, detector: &mut Detector, slot: usize, info: &SeriesInfo) {
        self.shapes.set(slot, info.kind);
        self.series[slot] = GateSeries::new(info, self.context.settings(slot), &self.fast);
        detector.restart(slot, info);
    }

    /// Open incidents touch these entities from now on, and no others. What touches them does not teach.
    pub(super) fn set_troubled(&mut self, detector: &mut Detector, troubled: Arc<BTreeSet<EntityId>>) {
        for entity in self.troubled.difference(&troubled) {
            detector.slots_of(entity).for_each(|slot| detector.trouble(slot, false));
        }
        for entity in troubled.difference(&self.troubled) {
            detector.slots_of(entity).for_each(|slot| detector.trouble(slot, true));
        }
        self.troubled = troubled;
    }

    /// Reads from the cache lines of a slot.
    pub(super) fn touch(&self, slot: usize) -> u64 {
        let series = &self.series[slot];
        u64::from(series.masked) + self.quality.touch(slot) + self.shapes.touch(slot)
    }

    /// Takes in a sample as it was stored, which came at `arrived` (`None`: in time). Returns what there is to judge in it, which
    /// goes to [`Gate::observe`].
    pub(super) fn take(
        &mut self,
        slot: usize,
        at: Timestamp,
        value: f64,
        arrived: Option<Timestamp>,
        out: &mut GateOutput,
    ) -> Option<f64> {
        // The source's own value: a counter that grows evenly has one rate for ever and is no flat line.
        let arrived = arrived.unwrap_or(at);
        self.quality.observe(slot, at, value, arrived, &mut out.quality);
        self.presence.observe(slot, at, arrived, &self.quality);
        match self.shapes.take(slot, at, value) {
            Shaped::Value(value) => Some(value),
            Shaped::Nothing => None,
            Shaped::Demoted(value) => {
                out.demoted.push(slot);
                Some(value)
            }
        }
    }

    /// Judges a batch of values and appends to `detections` and `out`. A value that is NaN stands for a sample in which there is
    /// nothing to judge.
    pub(super) fn observe(
        &mut self,
        detector: &mut Detector,
        batch: &[(usize, Timestamp, f64)],
        effort: Effort,
        detections: &mut Vec<Detection>,
        out: &mut GateOutput,
    ) {
        let first = detections.len();
        self.adjusted.clear();
        self.adjusts.clear();
        self.met.clear();
        self.resuming.clear();
        let mut begun = 0;
        for &(slot, at, value) in batch {
            if value.is_nan() {
                self.adjusted.push((slot, at, value));
                self.adjusts.push(Adjust::NONE);
                self.resuming.push(false);
                continue;
            }
            let resumes = self.series[slot].resumes(at, || detector.state(slot).step_ms);
            self.resuming.push(resumes);
            let adjust = self.context.before(slot, at, value);
            if self.series[slot].masked == adjust.learn {
                // The mask begins or ends with this sample, so the series' earlier ones must be through.
                if self.adjusted[begun..].iter().any(|sample| sample.0 == slot) {
                    detector.observe_batch(&self.adjusted[begun..], effort, detections);
                    self.met
                        .extend(detector.take_before().map(|(place, met)| (begun + place, met)));
                    begun = self.adjusted.len();
                }
                self.series[slot].masked = !adjust.learn;
                detector.mask(slot, !adjust.learn);
            }
            self.adjusted.push((slot, at, adjust.apply(value)));
            self.adjusts.push(adjust);
        }
        detector.observe_batch(&self.adjusted[begun..], effort, detections);
        self.met
            .extend(detector.take_before().map(|(place, met)| (begun + place, met)));
        self.quality.sweep(batch.len(), &mut out.quality);
        let mut silent = Vec::new();
        self.presence.scan(&self.quality, &mut silent);
        silent.retain(|silence| self.context.cares(silence.slot, silence.at));
        out.silent.append(&mut silent);
        let mut met = self.met.iter().peekable();
        let mut searches = 0;
        let asked = batch.iter().zip(&self.adjusts).zip(&self.resuming);
        let samples = asked.zip(&mut detections[first..]);
        for (place, (((&(slot, at, value), adjust), resumes), detection)) in samples.enumerate() {
            if value.is_nan() {
                detection.value = 0.0;
                out.judgements.push(Judgement::NOTHING);
                continue;
            }
            let series = &mut self.series[slot];
            let met = met.next_if(|(of, _)| *of == place).map(|(_, met)| &**met);
            let ensemble = *detection;
            let mut case = Case {
                slot,
                at,
                adjust: *adjust,
                threshold: detector.threshold(series.class),
                quality: if *resumes {
                    NOT_BELIEVED
                } else {
                    self.quality.score(slot)
                },
                context: &mut self.context,
                extras: series.extras.as_deref(),
            };
            let judgement = case.decide(ensemble, value, detection);
            if let Some(fast) = &mut series.fast {
                watch(fast, value, &mut case, detection, &mut out.provisional);
            }
            series.run = match (detection.anomaly, series.run) {
                (false, _) => None,
                (true, None) => Some((detection.began(), 1)),
                (true, Some((since, n))) => Some((since, n.saturating_add(1))),
            };
            if let Some(run) = series.run {
                searches += 1;
                let why = case.why(detector, met, ensemble, detection, run, searches <= SEARCHES);
                detection.quiet_at = why.quiet.map(|quiet| quiet.value);
                out.whys.push((out.judgements.len(), why));
            }
            if let Some(extras) = series.extras.as_deref_mut() {
                extras.learn(at, value, adjust);
            }
            out.judgements.push(judgement);
        }
    }
}

/// Lets the fast layer look at what was decided. Where context would not have an anomaly, it has no suspicion either.
fn watch(fast: &mut Fast, value: f64, case: &mut Case<'_>, detection: &mut Detection, counts: &mut Provisional) {
    let teach = case.adjust.learn;
    let hot = fast.look(case.at, value, teach) && teach && !case.objects(detection);
    let step = fast.step(case.at, hot, detection.anomaly);
    detection.signal = step.signal;
    let Some(signal) = step.signal.filter(|_| step.fresh) else {
        return;
    };
    match signal.state {
        SignalState::Provisional => counts.raised += 1,
        SignalState::Confirmed => counts.confirmed += 1,
        SignalState::Dropped => counts.dropped += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::calendar::Span;
    use crate::context::{ContextConfig, Kind, Reason, Selector, Window};
    use crate::detect::{DetectConfig, Models};
    use crate::quality::QualityKind;
    use crate::series::{Labels, info_from_labels};
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;

    fn noise(i: i64) -> f64 {
        50.0 + ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 2_000_000.0
    }

    fn maintenance(from: i64, until: i64) -> ContextConfig {
        let span = Span {
            from: Timestamp(from * MINUTE),
            until: Timestamp(until * MINUTE),
        };
        let window = Window::expected_once("upkeep".to_owned(), Selector::all(), span, String::new());
        ContextConfig {
            windows: vec![Window {
                kind: Kind::Maintenance,
                ..window
            }],
            ..ContextConfig::default()
        }
    }

    struct Bench {
        gate: Gate,
        detector: Detector,
        out: GateOutput,
        detections: Vec<Detection>,
    }

    impl Bench {
        fn new(config: &ContextConfig, history: i64) -> Self {
            let mut info = info_from_labels(&Labels::of("db", "load", None));
            info.step_ms = MINUTE;
            let mut bench = Self {
                gate: Gate::new(Context::new(config), FastConfig::default()),
                detector: Detector::new(DetectConfig::default(), Arc::new(Models::bundled().unwrap())),
                out: GateOutput::default(),
                detections: Vec::new(),
            };
            let slot = bench.detector.add_series(&info);
            bench
                .gate
                .add_series(&mut bench.detector, slot, &info, &Arc::from("test"));
            let past: Vec<_> = (0..history).map(|i| (Timestamp(i * MINUTE), noise(i))).collect();
            bench.gate.bootstrap(&mut bench.detector, slot, &[], &past);
            bench
        }

        /// Takes samples in batches of `size`.
        fn take(&mut self, samples: &[(i64, f64)], size: usize) {
            let samples: Vec<_> = samples.iter().map(|(i, v)| (0, Timestamp(i * MINUTE), *v)).collect();
            for batch in samples.chunks(size) {
                for &(slot, at, value) in batch {
                    assert_eq!(self.gate.take(slot, at, value, None, &mut self.out), Some(value));
                }
                self.gate.observe(
                    &mut self.detector,
                    batch,
                    Effort::Full,
                    &mut self.detections,
                    &mut self.out,
                );
            }
        }
    }

    #[test]
    fn a_fault_under_maintenance_is_seen_and_alerts_nobody() {
        let fault: Vec<_> = (400..420).map(|i| (i, 900.0 + noise(i))).collect();
        let mut open = Bench::new(&ContextConfig::default(), 400);
        open.take(&fault, 7);
        assert!(open.detections.iter().any(|d| d.anomaly));
        let mut upkeep = Bench::new(&maintenance(400, 420), 400);
        upkeep.take(&fault, 7);
        assert!(upkeep.detections.iter().all(|d| !d.anomaly));
        let suppressed = upkeep.out.judgements.iter().filter_map(|j| j.suppressed);
        assert!(suppressed.clone().count() > 10 && suppressed.clone().all(|r| r == Reason::Maintenance(0)));
        assert!(upkeep.detections.iter().any(|d| d.score > 0.5), "it stays visible");
    }

    #[test]
    fn what_an_incident_touches_goes_back_when_it_is_over() {
        let set = |bench: &mut Bench, names: &[&str]| {
            let names = names.iter().map(|name| (*name).into()).collect();
            bench.gate.set_troubled(&mut bench.detector, Arc::new(names));
        };
        let fault: Vec<_> = (400..420)
            .map(|i| (i, 900.0 + noise(i)))
            .chain((420..425).map(|i| (i, noise(i))))
            .collect();
        let spared = Bench::new(&ContextConfig::default(), 400);
        for (touched, goes_back) in [("db", true), ("web", false)] {
            let mut bench = Bench::new(&ContextConfig::default(), 400);
            set(&mut bench, &[touched]);
            // Who stays among the touched is not begun anew.
            bench.take(&fault[..10], 3);
            set(&mut bench, &[touched, "cache"]);
            bench.take(&fault[10..], 3);
            assert!(bench.detections.iter().any(|d| d.anomaly), "it is judged as ever");
            set(&mut bench, &[]);
            let same = bench.detector.state(0) == spared.detector.state(0);
            assert_eq!(same, goes_back, "{touched}");
        }
    }

    /// What lasts is reported, what may only be the hour of the day is not.
    #[test]
    fn the_first_samples_after_a_long_gap_page_nobody() {
        let mut bench = Bench::new(&ContextConfig::default(), 400);
        let later: Vec<_> = (0..20).map(|i| (600 + i, 900.0 + noise(i))).collect();
        bench.take(&later, 6);
        let first = bench.detections.iter().position(|d| d.anomaly);
        assert_eq!(first, Some(usize::from(AFTER_GAP)));
        assert_eq!(bench.out.judgements[2].suppressed, Some(Reason::LowQuality));
        // A gap of an hour changes nothing.
        let mut bench = Bench::new(&ContextConfig::default(), 400);
        let later: Vec<_> = (0..20).map(|i| (460 + i, 900.0 + noise(i))).collect();
        bench.take(&later, 6);
        assert_eq!(bench.detections.iter().position(|d| d.anomaly), Some(0));
    }

    #[test]
    fn a_frozen_scraper_pages_nobody() {
        let mut bench = Bench::new(&ContextConfig::default(), 400);
        let frozen: Vec<_> = (400..440)
            .map(|i| (i, 51.25))
            .chain([(440, 9000.0), (441, 9001.0)])
            .collect();
        bench.take(&frozen, 8);
        assert_eq!(bench.out.quality.len(), 1);
        assert_eq!(bench.out.quality[0].finding.kind, QualityKind::FlatLined);
        assert!(bench.detections.iter().all(|d| !d.anomaly));
        assert_eq!(bench.out.judgements[40].suppressed, Some(Reason::LowQuality));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// What is masked leaves no trace: the detector is as if those samples had never come, whatever the batches.
        #[test]
        fn a_masked_span_leaves_no_trace(from in 310i64..350, length in 1i64..60, level in -1e3f64..1e3, size in 1usize..40) {
            let samples: Vec<_> = (300..450)
                .map(|i| (i, if (from..from + length).contains(&i) { level } else { noise(i) }))
                .collect();
            let mut masked = Bench::new(&maintenance(from, from + length), 300);
            masked.take(&samples, size);
            let mut spared = Bench::new(&ContextConfig::default(), 300);
            let kept: Vec<_> = samples.iter().filter(|(i, _)| !(from..from + length).contains(i)).copied().collect();
            spared.take(&kept, 1);
            let ours = masked.detections.iter().filter(|d| !(from..from + length).contains(&(d.at.0 / MINUTE)));
            prop_assert_eq!(ours.copied().collect::<Vec<_>>(), spared.detections);
            prop_assert_eq!(masked.detector.state(0), spared.detector.state(0));
            prop_assert_eq!(masked.detector.outlook(0, 9), spared.detector.outlook(0, 9));
        }
    }
}
