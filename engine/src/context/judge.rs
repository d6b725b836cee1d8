//! The two questions around a sample, answered from what was found when its series was added.

use super::ContextConfig;
use super::board::{Board, Cell};
use super::calendar::{Span, Timeline, find_zone};
use super::mask::{Masks, within};
use super::settings::{SeriesRule, Settings};
use super::window::{Direction, Kind, Window};
use crate::detect::Detection;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::series::SeriesInfo;
use wire::{EntityId, Timestamp};

/// After a deploy this part of a class's threshold is enough.
const AFTER_DEPLOY: f32 = 0.85;
/// A baseline that is learnt less than this calls nothing strange, deploy or not.
const TRUSTED_BASELINE: f32 = 0.4;
/// Below this quality of its data a series' deviations are not believed.
pub(super) const TRUSTED_QUALITY: f32 = 0.5;

/// What to do with a sample before it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adjust {
    /// What is usual is so many times as much now: divide the value by it. Above 0, usually 1.
    pub factor: f64,
    /// Whether the sample may teach.
    pub learn: bool,
}

impl Adjust {
    /// Nothing special.
    pub const NONE: Self = Self {
        factor: 1.0,
        learn: true,
    };

    /// The value to judge.
    pub fn apply(&self, value: f64) -> f64 {
        value / self.factor
    }

    /// Brings what the detector said of the adjusted value back to the metric's own scale.
    pub fn restore(&self, detection: &mut Detection, value: f64) {
        detection.value = value;
        if let Some(expected) = detection
            .expected
            .as_mut()
            .filter(|_| self.factor.to_bits() != 1.0_f64.to_bits())
        {
            for number in [
                &mut expected.mean,
                &mut expected.lower,
                &mut expected.upper,
                &mut expected.scale,
            ] {
                *number = (*number * self.factor).clamp(-f64::MAX, f64::MAX);
            }
        }
    }
}

/// Why a detection alerts nobody. Numbers name a window of the [`Context`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The data is not to be believed, or not yet after a gap.
    LowQuality,
    Maintenance(u32),
    Expected(u32),
    /// The deviation is to the side that does not matter.
    Direction,
    /// It is smaller than what matters.
    SmallDeviation,
    /// Too few samples, or too little traffic.
    LittleEvidence,
    Shadow,
}

/// What a detection is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The decision that counts.
    pub anomaly: bool,
    /// Why it is none although the detector (or the series' range) says so.
    pub suppressed: Option<Reason>,
    /// The series is judged and recorded only.
    pub shadow: bool,
    /// Whether the sample may teach.
    pub learn: bool,
    pub factor: f64,
    /// Part of the usual threshold that was enough: 1, less after a deploy.
    pub sensitivity: f32,
    /// Whether the detection, anomaly or not, says something about the cause of another's trouble: what is under maintenance
    /// may well be it; what is too small, too little, in shadow mode or not to be trusted is not.
    pub evidence: bool,
}

impl Judgement {
    /// Of a sample in which there is nothing to judge, and from which nothing follows.
    pub const NOTHING: Self = Self {
        anomaly: false,
        suppressed: None,
        shadow: false,
        learn: false,
        factor: 1.0,
        sensitivity: 1.0,
        evidence: false,
    };

    /// Whether the sample was judged as on any other day, and somebody wants to know. If not, nothing is predicted from it.
    pub fn is_ordinary(&self) -> bool {
        self.learn && !self.shadow && self.factor.to_bits() == 1.0_f64.to_bits()
    }
}

#[derive(Clone, Debug)]
struct Planned {
    window: Arc<Window>,
    timeline: Timeline,
}

/// What few series have.
#[derive(Clone, Debug)]
struct Rare {
    settings: Settings,
    entity: EntityId,
    /// Where to write the value for others' evidence.
    cell: Option<Arc<Cell>>,
    masks: Vec<Span>,
}

#[derive(Clone, Debug)]
struct Slot {
    windows: Box<[u32]>,
    rare: Option<Box<Rare>>,
    seen: u32,
}

/// See [`super`]. A sample of a series without context costs two comparisons, one of a series with windows a binary search
/// in each.
#[derive(Clone, Debug, Default)]
pub struct Context {
    planned: Vec<Planned>,
    rules: Arc<[SeriesRule]>,
    masks: Masks,
    /// In order of time.
    deploys: BTreeMap<EntityId, Vec<Timestamp>>,
    board: Board,
    slots: Vec<Slot>,
    /// Where no rule says otherwise.
    zone: Option<TimeZone>,
}

impl Context {
    /// A context without series. Clones made before series are added share the evidence that series of one find in another.
    pub fn new(config: &ContextConfig) -> Self {
        let planned = config.windows.iter().map(|window| Planned {
            timeline: Timeline::new(config.schedules(window)),
            window: Arc::new(window.clone()),
        });
        Self {
            planned: planned.collect(),
            rules: config.series.clone().into(),
            // The name was checked with the configuration.
            zone: find_zone(&config.calendar_zone).ok(),
            ..Self::default()
        }
    }

    /// Adds a series and returns its slot, counted from 0 as the detector does.
    pub fn add_series(&mut self, info: &SeriesInfo) -> usize {
        let windows = self.planned.iter().enumerate().filter_map(|(index, planned)| {
            let index = u32::try_from(index).ok()?;
            planned.window.selector.matches(info).then_some(index)
        });
        let mut settings = Settings::default();
        for rule in self.rules.iter().filter(|rule| rule.selector.matches(info)) {
            settings.overlay(&rule.settings);
        }
        let proves = self.rules.iter().any(|rule| {
            let evidence = rule.settings.evidence.as_ref();
            evidence.is_some_and(|evidence| evidence.metric.matches(&info.metric))
        });
        let rare = Rare {
            masks: self.masks.spans_of(info),
            cell: proves.then(|| self.board.cell(info)),
            entity: info.entity.clone(),
            settings,
        };
        let is_rare = rare.cell.is_some() || !rare.masks.is_empty() || rare.settings != Settings::default();
        self.slots.push(Slot {
            windows: windows.collect(),
            rare: is_rare.then(|| Box::new(rare)),
            seen: 0,
        });
        self.slots.len() - 1
    }

    /// The zone in which days of the series in `slot` are days.
    ///
    /// # Panics
    /// If `slot` was not given by [`Context::add_series`].
    pub fn zone(&self, slot: usize) -> TimeZone {
        let own = self.slots[slot]
            .rare
            .as_ref()
            .and_then(|rare| rare.settings.zone.clone());
        own.or_else(|| self.zone.clone()).unwrap_or(TimeZone::UTC)
    }

    /// Spans that must not teach, for series that are added from now on.
    pub fn set_masks(&mut self, masks: Masks) {
        self.masks = masks;
    }

    /// A version of `entity` went live.
    pub fn record_deploy(&mut self, entity: &EntityId, at: Timestamp) {
        let times = self.deploys.entry(entity.clone()).or_default();
        let place = times.partition_point(|time| *time <= at);
        times.insert(place, at);
    }

    /// The part of `history` that may teach the series in `slot`: not what is masked, and not what fell into a window in
    /// which nothing is learnt; what fell into an event with a factor, divided by it.
    pub fn learnable(&mut self, slot: usize, history: &[(Timestamp, f64)]) -> Vec<(Timestamp, f64)> {
        let adjusted = history.iter().filter_map(|&(at, value)| {
            let adjust = self.adjust(slot, at);
            adjust.learn.then(|| (at, adjust.apply(value)))
        });
        let learnt: Vec<_> = adjusted.collect();
        let seen = &mut self.slots[slot].seen;
        *seen = seen.saturating_add(u32::try_from(learnt.len()).unwrap_or(u32::MAX));
        learnt
    }

    /// What to do with the sample of the series in `slot`, which is noted as evidence.
    ///
    /// # Panics
    /// If `slot` was not given by [`Context::add_series`].
    pub fn before(&mut self, slot: usize, at: Timestamp, value: f64) -> Adjust {
        let now = self.adjust(slot, at);
        let own = &mut self.slots[slot];
        own.seen = own.seen.saturating_add(1);
        if let Some(cell) = own.rare.as_ref().and_then(|rare| rare.cell.as_ref()) {
            cell.write(at, value);
        }
        now
    }

    fn adjust(&mut self, slot: usize, at: Timestamp) -> Adjust {
        let own = &self.slots[slot];
        let mut adjust = Adjust::NONE;
        if own.windows.is_empty() && own.rare.is_none() {
            return adjust;
        }
        for &index in &own.windows {
            let planned = &mut self.planned[index as usize];
            if planned.timeline.covering(at).is_none() {
                continue;
            }
            match planned.window.kind {
                Kind::Expected { factor: Some(k), .. } => adjust.factor = k,
                Kind::Maintenance | Kind::Expected { factor: None, .. } => adjust.learn = false,
            }
        }
        if own.rare.as_ref().is_some_and(|rare| within(&rare.masks, at)) {
            adjust.learn = false;
        }
        adjust
    }

    /// What a detection is worth, of a sample for which [`Context::before`] said `adjust`. Its value and expectation are on the
    /// metric's own scale (see [`Adjust::restore`]).
    /// `threshold` is that of the series' class, `quality` that of its data, both 0..1.
    ///
    /// # Panics
    /// If `slot` was not given by [`Context::add_series`].
    pub fn judge(
        &mut self,
        slot: usize,
        adjust: Adjust,
        detection: &Detection,
        threshold: f32,
        quality: f32,
    ) -> Judgement {
        let own = &self.slots[slot];
        let mut judgement = Judgement {
            anomaly: false,
            suppressed: None,
            shadow: false,
            learn: adjust.learn,
            factor: adjust.factor,
            sensitivity: 1.0,
            evidence: quality >= TRUSTED_QUALITY,
        };
        let mut strange = detection.anomaly;
        let mut out_of_range = false;
        if let Some(rare) = &own.rare {
            judgement.shadow = rare.settings.shadow == Some(true);
            judgement.evidence &= !judgement.shadow;
            if self.is_after_deploy(rare, detection.at) {
                judgement.sensitivity = AFTER_DEPLOY;
                // One sample is enough, whatever the step, once two members agree.
                strange |= detection.votes.count() >= 2
                    && detection.score >= AFTER_DEPLOY * threshold
                    && detection.confidence >= TRUSTED_BASELINE;
            }
            if let Some((low, high)) = rare.settings.data_range {
                out_of_range = !(low..=high).contains(&detection.value);
                strange |= out_of_range;
            }
        }
        // A broken limit is trouble whatever is usual.
        let absolute = out_of_range || detection.breach.is_some();
        if strange || absolute {
            judgement.suppressed = self.objection(slot, detection, quality, absolute);
            judgement.anomaly = judgement.suppressed.is_none();
            judgement.evidence &= matches!(
                judgement.suppressed,
                None | Some(Reason::Maintenance(_) | Reason::Expected(_))
            );
        }
        judgement
    }

    /// Whether anybody should hear that the series in `slot` is silent at `at`: not in a window in which nothing is learnt, and
    /// not in shadow mode.
    ///
    /// # Panics
    /// If `slot` was not given by [`Context::add_series`].
    pub fn cares(&mut self, slot: usize, at: Timestamp) -> bool {
        let own = self.slots[slot].rare.as_ref();
        let shadow = own.is_some_and(|rare| rare.settings.shadow == Some(true));
        !shadow && self.adjust(slot, at).learn
    }

    /// Why an anomaly of this value would alert nobody, if it were one.
    pub fn objects(&mut self, slot: usize, detection: &Detection, quality: f32) -> Option<Reason> {
        self.objection(slot, detection, quality, false)
    }

    /// What configuration says about the series in `slot`, where it says anything.
    pub fn settings(&self, slot: usize) -> Option<&Settings> {
        self.slots[slot].rare.as_ref().map(|rare| &rare.settings)
    }

    fn is_after_deploy(&self, rare: &Rare, at: Timestamp) -> bool {
        let Some(after_ms) = rare.settings.post_deploy_ms else {
            return false;
        };
        let Some(times) = self.deploys.get(&rare.entity) else {
            return false;
        };
        let newest = times.partition_point(|time| *time <= at).checked_sub(1);
        newest.is_some_and(|newest| at.millis_since(times[newest]) < after_ms)
    }

    /// Why nobody is alerted: the strongest reason. `absolute`: the value is wrong whatever is usual.
    fn objection(&mut self, slot: usize, detection: &Detection, quality: f32, absolute: bool) -> Option<Reason> {
        let own = &self.slots[slot];
        let (at, value) = (detection.at, detection.value);
        if quality < TRUSTED_QUALITY {
            return Some(Reason::LowQuality);
        }
        let mean = detection.expected.map_or(value, |expected| expected.mean);
        let (up, deviation) = (value >= mean, (value - mean).abs());
        for &index in &own.windows {
            let planned = &mut self.planned[index as usize];
            let reason = match planned.window.kind {
                Kind::Maintenance => Reason::Maintenance(index),
                Kind::Expected {
                    factor: None,
                    direction,
                } if direction.covers(up) => Reason::Expected(index),
                Kind::Expected { .. } => continue,
            };
            if planned.timeline.covering(at).is_some() {
                return Some(reason);
            }
        }
        let rare = own.rare.as_ref()?;
        let settings = &rare.settings;
        // A value that cannot be is one whatever is usual.
        if !absolute {
            if !settings.direction.unwrap_or(Direction::Both).covers(up) {
                return Some(Reason::Direction);
            }
            let enough = settings
                .min_abs_deviation
                .unwrap_or(0.0)
                .max(settings.min_rel_deviation.unwrap_or(0.0) * mean.abs());
            if deviation < enough {
                return Some(Reason::SmallDeviation);
            }
        }
        // A limit needs no past.
        let few = detection.breach.is_none() && settings.min_samples.is_some_and(|least| own.seen < least);
        let quiet = settings.evidence.as_ref().is_some_and(|evidence| {
            let level = self.board.level(&rare.entity, evidence, at);
            level.is_some_and(|level| level < evidence.at_least)
        });
        if few || quiet {
            return Some(Reason::LittleEvidence);
        }
        (settings.shadow == Some(true)).then_some(Reason::Shadow)
    }

    /// A reason in words.
    pub fn describe(&self, reason: Reason) -> String {
        let window = |index: u32, what: &str| {
            let Some(window) = self.planned.get(index as usize).map(|planned| &planned.window) else {
                return what.to_owned();
            };
            let mut text = format!("{what} {}", window.id);
            if !window.note.is_empty() {
                text = format!("{text} ({})", window.note);
            }
            if !window.author.is_empty() {
                text = format!("{text}, planned by {}", window.author);
            }
            text
        };
        match reason {
            Reason::LowQuality => "low data quality, or a long gap just before".to_owned(),
            Reason::Maintenance(index) => window(index, "maintenance window"),
            Reason::Expected(index) => window(index, "expected event"),
            Reason::Direction => "the deviation is to the side that does not matter for this series".to_owned(),
            Reason::SmallDeviation => "the deviation is below the least that matters for this series".to_owned(),
            Reason::LittleEvidence => "there is too little evidence: few samples or little traffic".to_owned(),
            Reason::Shadow => "the series is in shadow mode".to_owned(),
        }
    }
}
