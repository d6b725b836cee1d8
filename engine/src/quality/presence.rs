//! Entities that have gone silent: all of their series stop while the rest of their source goes on.
//!
//! A crashed service says nothing at all, and of a service that nobody calls no caller complains. So silence is told as it
//! lasts, for the correlator to judge, and with it whether the entity is a service that has long been there: an instance may
//! just have been scaled away. It is measured by when samples arrive, not by their own time, for a source that
//! catches up sends one entity after the other. Where more than a third of a source falls silent at once, collecting has
//! failed and not they: then nobody is called silent. Pure; O(1) a sample, O(entities) a second of a source's time.

use super::Quality;
use crate::series::is_of_service;
use std::collections::HashMap;
use std::sync::Arc;
use wire::series::{MetricClass, SeriesInfo};
use wire::{EntityId, Timestamp};

/// Steps without any sample after which an entity is silent: a scrape may be lost, four in a row are not.
const SILENT_STEPS: f32 = 3.5;
/// A source must have this many entities before one of them can be told from all.
const LEAST_ENTITIES: usize = 3;
/// Who has been silent for so long is gone, not down.
const GONE_MS: i64 = 24 * 3_600_000;
/// A service that has reported for so long is here to stay.
const ESTABLISHED_MS: i64 = 24 * 3_600_000;
const SCAN_MS: i64 = 1000;
/// A source that says nothing for so many steps of its own has paused as a whole; afterwards each has time to come back.
const PAUSE_STEPS: f32 = 2.5;
const NEVER: Timestamp = Timestamp(i64::MIN);

/// An entity is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    pub source: Arc<str>,
    pub entity: EntityId,
    /// The series that reported last.
    pub slot: usize,
    /// Series of the entity that are known here.
    pub series: u32,
    /// When the first sample was missed, and until when silence is known: the time of its source.
    pub since: Timestamp,
    pub at: Timestamp,
    pub step_ms: i64,
    /// A service as a whole that has reported for a day or longer, also what it uses, which is measured whether anybody calls or
    /// not (a function that nobody calls says nothing and is well): somebody misses it, known caller or not.
    pub established: bool,
}

/// See the module. Slots are those of the detector.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    sources: Vec<Source>,
    entities: Vec<Standing>,
    /// Entity of each slot.
    of_slot: Vec<u32>,
    names: HashMap<(Arc<str>, EntityId), u32>,
}

#[derive(Clone, Debug)]
struct Source {
    name: Arc<str>,
    /// When its newest sample arrived, and the time of that sample.
    arrived: Timestamp,
    newest: Timestamp,
    /// When it last came back after a pause.
    resumed: Timestamp,
    scanned: Timestamp,
}

#[derive(Clone, Debug)]
struct Standing {
    source: u32,
    entity: EntityId,
    series: u32,
    slot: usize,
    /// Whether it is a service as a whole, whether what it uses is measured, and the time of the first that is known of it.
    is_service: bool,
    is_measured: bool,
    first: Option<Timestamp>,
    arrived: Timestamp,
    newest: Timestamp,
    /// The source said that it ended: nobody misses it.
    ended: bool,
}

impl Presence {
    /// Adds the series of the next slot.
    pub fn add_series(&mut self, info: &SeriesInfo, source: &Arc<str>) {
        let slot = self.of_slot.len();
        let key = (Arc::clone(source), info.entity.clone());
        let next = u32::try_from(self.entities.len()).unwrap_or(u32::MAX);
        let index = *self.names.entry(key).or_insert(next);
        if index == next {
            let source = self.source(source);
            self.entities.push(Standing {
                source,
                entity: info.entity.clone(),
                series: 0,
                slot,
                is_service: is_of_service(info),
                is_measured: false,
                first: None,
                arrived: NEVER,
                newest: NEVER,
                ended: false,
            });
        }
        let standing = &mut self.entities[index as usize];
        standing.series += 1;
        standing.is_measured |= info.class == MetricClass::Saturation;
        self.of_slot.push(index);
    }

    fn source(&mut self, name: &Arc<str>) -> u32 {
        let known = self.sources.iter().position(|source| source.name == *name);
        let index = known.unwrap_or_else(|| {
            self.sources.push(Source {
                name: Arc::clone(name),
                arrived: NEVER,
                newest: NEVER,
                resumed: NEVER,
                scanned: NEVER,
            });
            self.sources.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// The series in `slot` has a past that began at `first`.
    ///
    /// # Panics
    /// If `slot` was not added.
    pub fn bootstrap(&mut self, slot: usize, first: Timestamp) {
        self.entities[self.of_slot[slot] as usize].known_from(first);
    }

    /// A sample of the series in `slot` came at `arrived`.
    ///
    /// # Panics
    /// If `slot` was not added.
    pub fn observe(&mut self, slot: usize, at: Timestamp, arrived: Timestamp, quality: &Quality) {
        let standing = &mut self.entities[self.of_slot[slot] as usize];
        standing.slot = slot;
        standing.known_from(at);
        standing.ended = false;
        standing.newest = standing.newest.max(at);
        standing.arrived = standing.arrived.max(arrived);
        let source = &mut self.sources[standing.source as usize];
        if arrived > source.arrived {
            let quiet = arrived.as_millis().saturating_sub(source.arrived.as_millis());
            if quality.step(slot).is_none_or(|step| quiet as f32 > PAUSE_STEPS * step) {
                source.resumed = arrived;
            }
            source.arrived = arrived;
        }
        source.newest = source.newest.max(at);
    }

    /// The source says that the series in `slot` has ended. One that ends is one that was taken away: nobody misses it.
    ///
    /// # Panics
    /// If `slot` was not added.
    pub fn ended(&mut self, slot: usize) {
        self.entities[self.of_slot[slot] as usize].ended = true;
    }

    /// Appends every silent entity to `out`, at most once a second of each source's time.
    pub fn scan(&mut self, quality: &Quality, out: &mut Vec<Silence>) {
        for index in 0..self.sources.len() {
            let source = &mut self.sources[index];
            if source.arrived.as_millis().saturating_sub(source.scanned.as_millis()) >= SCAN_MS {
                source.scanned = source.arrived;
                self.scan_source(index, quality, out);
            }
        }
    }

    fn scan_source(&self, index: usize, quality: &Quality, out: &mut Vec<Silence>) {
        let source = &self.sources[index];
        let first = out.len();
        let mut regular = 0;
        for standing in self.entities.iter().filter(|s| s.source as usize == index) {
            if standing.ended || standing.arrived == NEVER || !quality.is_regular(standing.slot) {
                continue;
            }
            let quiet = source.arrived.millis_since(standing.arrived.max(source.resumed));
            if source.arrived.millis_since(standing.arrived) > GONE_MS {
                continue;
            }
            regular += 1;
            let Some(step) = quality.step(standing.slot) else {
                continue;
            };
            if quiet as f32 > SILENT_STEPS * step {
                out.push(Silence {
                    source: Arc::clone(&source.name),
                    entity: standing.entity.clone(),
                    slot: standing.slot,
                    series: standing.series,
                    since: standing.newest + step as i64,
                    at: source.newest,
                    step_ms: (step as i64).max(1),
                    established: standing.is_established(),
                });
            }
        }
        if regular < LEAST_ENTITIES || (out.len() - first) * 3 > regular {
            out.truncate(first);
        }
    }
}

impl Standing {
    fn known_from(&mut self, at: Timestamp) {
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
    }

    fn is_established(&self) -> bool {
        let lasts_ms = self.first.map_or(0, |first| self.newest.millis_since(first));
        self.is_service && self.is_measured && lasts_ms >= ESTABLISHED_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels};

    const STEP: i64 = 60_000;

    struct Fleet {
        quality: Quality,
        presence: Presence,
        entities: usize,
        out: Vec<Silence>,
    }

    impl Fleet {
        fn new(entities: usize) -> Self {
            Self::of(entities, ["cpu_percent", "requests"])
        }

        /// Two series each.
        fn of(entities: usize, metrics: [&str; 2]) -> Self {
            let mut fleet = Self {
                quality: Quality::default(),
                presence: Presence::default(),
                entities,
                out: Vec::new(),
            };
            let source: Arc<str> = Arc::from("remote_write");
            for entity in 0..entities {
                for metric in metrics {
                    let info = info_from_labels(&Labels::of(format!("pod-{entity}").as_str(), metric, None));
                    fleet.quality.add_series(&info);
                    fleet.presence.add_series(&info, &source);
                }
            }
            fleet
        }

        fn step(&mut self, minute: i64, up: impl Fn(usize) -> bool) {
            self.report(minute, minute, up);
            self.presence.scan(&self.quality, &mut self.out);
        }

        /// What belongs to `minute` arrives at another one.
        fn report(&mut self, minute: i64, arrives: i64, up: impl Fn(usize) -> bool) {
            let (at, arrived) = (Timestamp(minute * STEP), Timestamp(arrives * STEP));
            for slot in (0..2 * self.entities).filter(|slot| up(slot / 2)) {
                let value = (minute * 7 % 13) as f64;
                self.quality.observe(slot, at, value, arrived, &mut Vec::new());
                self.presence.observe(slot, at, arrived, &self.quality);
            }
        }

        fn silent(&mut self) -> Vec<String> {
            let mut names: Vec<String> = self.out.drain(..).map(|s| s.entity.to_string()).collect();
            names.dedup();
            names
        }
    }

    #[test]
    fn who_stops_alone_is_silent_until_it_reports() {
        let mut fleet = Fleet::new(4);
        (0..200).for_each(|minute| fleet.step(minute, |_| true));
        (200..203).for_each(|minute| fleet.step(minute, |e| e != 2));
        assert_eq!(fleet.out, [], "three scrapes may be lost");
        fleet.step(203, |e| e != 2);
        let first = fleet.out.first().cloned().expect("silent now");
        assert_eq!((first.entity.as_str(), first.series), ("pod-2", 2));
        assert_eq!((first.since, first.at), (Timestamp(200 * STEP), Timestamp(203 * STEP)));
        (204..210).for_each(|minute| fleet.step(minute, |e| e != 2));
        assert_eq!(fleet.out.len(), 7);
        fleet.silent();
        (210..220).for_each(|minute| fleet.step(minute, |_| true));
        assert_eq!(fleet.silent(), [""; 0]);
    }

    #[test]
    fn where_much_stops_at_once_nobody_is_silent() {
        let mut fleet = Fleet::new(4);
        (0..200).for_each(|minute| fleet.step(minute, |_| true));
        (200..240).for_each(|minute| fleet.step(minute, |e| e > 1));
        assert_eq!(fleet.silent(), [""; 0]);
        let mut few = Fleet::new(2);
        (0..200).for_each(|minute| few.step(minute, |_| true));
        (200..240).for_each(|minute| few.step(minute, |e| e > 0));
        assert_eq!(few.silent(), [""; 0], "one of two is half of the source");
    }

    #[test]
    fn a_source_that_catches_up_entity_by_entity_silences_nobody() {
        let mut fleet = Fleet::new(5);
        (0..200).for_each(|minute| fleet.step(minute, |_| true));
        // Nothing for an hour; then the hour comes, one entity after the other.
        for entity in 0..5 {
            for minute in 200..260 {
                fleet.report(minute, 260, |e| e == entity);
                fleet.presence.scan(&fleet.quality, &mut fleet.out);
            }
        }
        (261..280).for_each(|minute| fleet.step(minute, |_| true));
        assert_eq!(fleet.silent(), [""; 0]);
    }

    #[test]
    fn what_was_taken_away_or_is_long_gone_is_missed_by_nobody() {
        let mut fleet = Fleet::new(4);
        (0..200).for_each(|minute| fleet.step(minute, |_| true));
        fleet.presence.ended(2);
        (200..240).for_each(|minute| fleet.step(minute, |e| e != 1));
        assert_eq!(fleet.silent(), [""; 0]);
        (240..240 + 1440).for_each(|minute| fleet.step(minute, |e| e != 1 && e != 3));
        assert_eq!(fleet.silent(), ["pod-3"]);
        (240 + 1440..240 + 1500).for_each(|minute| fleet.step(minute, |e| e != 1 && e != 3));
        assert_eq!(fleet.silent(), [""; 0]);
    }

    #[test]
    fn a_service_that_has_long_been_there_is_established() {
        let mut fleet = Fleet::new(4);
        fleet.presence.bootstrap(4, Timestamp(-1440 * STEP));
        (0..200).for_each(|minute| fleet.step(minute, |_| true));
        (200..204).for_each(|minute| fleet.step(minute, |e| e != 2));
        assert!(fleet.out.pop().expect("silent now").established);
        (204..220).for_each(|minute| fleet.step(minute, |_| true));
        (220..224).for_each(|minute| fleet.step(minute, |e| e != 3));
        assert!(!fleet.out.pop().expect("silent now").established, "it came today");
        (224..2000).for_each(|minute| fleet.step(minute, |_| true));
        (2000..2004).for_each(|minute| fleet.step(minute, |e| e != 3));
        assert!(fleet.out.pop().expect("silent now").established);
        let mut functions = Fleet::of(4, ["duration", "requests"]);
        (0..2000).for_each(|minute| functions.step(minute, |_| true));
        (2000..2004).for_each(|minute| functions.step(minute, |e| e != 3));
        assert!(
            !functions.out.pop().expect("silent now").established,
            "it may not have been called"
        );
    }

    #[test]
    fn an_entity_that_reports_now_and_then_is_not_missed() {
        let mut fleet = Fleet::new(4);
        (0..600).for_each(|minute| fleet.step(minute, |e| e != 2 || minute % 30 < 15));
        assert_eq!(fleet.silent().iter().filter(|name| *name != "pod-2").count(), 0);
        fleet.silent();
        (600..900).for_each(|minute| fleet.step(minute, |e| e != 2 || minute % 30 < 15));
        assert_eq!(fleet.silent(), [""; 0]);
    }
}
