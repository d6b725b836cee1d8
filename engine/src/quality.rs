//! Whether the data can be believed: late, sparse, duplicated, flat-lined, missing.
//!
//! [`cardinality`] looks at what is to become a series at all: labels whose values explode.
//!
//! Such a finding is a detection of its own kind. It says something about the way data takes, not about the entity that it
//! describes; so it pages nobody, and a series of low quality ([`Quality::score`]) alerts nobody either.
//!
//! A [`Quality`] belongs to whoever owns the detector's slots and follows them. Pure, O(1) a sample, 64 bytes a series and a
//! few a group (an entity's series that share an owner). Samples come in order of time, values are finite. Every limit has a
//! higher bound to come on than to go off, so that findings do not flap; nothing is judged before a series has
//! 128 samples.

pub mod cardinality;

mod monitor;
mod presence;

pub use presence::{Presence, Silence};

use monitor::Monitor;
use std::collections::{BTreeMap, HashMap};
use wire::series::SeriesInfo;
use wire::{EntityId, Timestamp};

/// What is wrong with the data of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QualityKind {
    /// Samples arrive long after their time, measured by the series' own usual lag.
    Late,
    /// Many steps have no sample, more than usual for the series.
    Sparse,
    /// Timestamps are sent again, with other values.
    Duplicated,
    /// The value stands still far longer than it ever did, on a series that normally changes.
    FlatLined,
    /// No sample for several steps while others of the same entity report.
    Missing,
}

impl QualityKind {
    const ALL: [Self; 5] = [
        Self::Late,
        Self::Sparse,
        Self::Duplicated,
        Self::FlatLined,
        Self::Missing,
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Something is wrong with the data of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QualityFinding {
    pub kind: QualityKind,
    pub since: Timestamp,
    /// One sentence, lower case.
    pub text: String,
}

/// A finding came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QualityChange {
    pub slot: usize,
    pub finding: QualityFinding,
    /// When it went.
    pub ended: Option<Timestamp>,
}

/// Series of an entity that must change normally before "all of them stand still" means anything.
const GROUP_MIN: u32 = 3;
/// What a frozen group leaves of the quality of its series.
const FROZEN: f32 = 0.2;

/// The series of one entity.
#[derive(Clone, Debug)]
struct Group {
    newest: Timestamp,
    /// When it last reported again after a pause of all of them.
    resumed: Timestamp,
    members: u32,
    /// Members that normally change, and those of them that stand still.
    changing: u32,
    still: u32,
    frozen: Option<Timestamp>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Quality {
    series: Vec<Monitor>,
    groups: Vec<Group>,
    names: HashMap<EntityId, u32>,
    /// Beginnings of what is wrong now: few at a time.
    since: BTreeMap<(usize, QualityKind), Timestamp>,
    /// Where the search for missing series goes on.
    hand: usize,
}

impl Quality {
    /// Adds a series and returns its slot, counted from 0 as the detector does.
    pub fn add_series(&mut self, info: &SeriesInfo) -> usize {
        let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let group = *self.names.entry(info.entity.clone()).or_insert(next);
        if group == next {
            self.groups.push(Group {
                newest: Timestamp(i64::MIN),
                resumed: Timestamp(i64::MIN),
                members: 0,
                changing: 0,
                still: 0,
                frozen: None,
            });
        }
        self.groups[group as usize].members += 1;
        self.series.push(Monitor::new(group, info.step_ms));
        self.series.len() - 1
    }

    /// Takes in the past, oldest first; nothing in it is a finding, and its lag is not known.
    ///
    /// # Panics
    /// If `slot` was not given by [`Quality::add_series`].
    pub fn bootstrap(&mut self, slot: usize, history: &[(Timestamp, f64)]) {
        for &(at, value) in history {
            self.series[slot].observe(at, value, None);
            self.follow(slot, at, &mut Vec::new());
        }
        self.series[slot].forgive();
        self.since.retain(|(own, _), _| *own != slot);
    }

    /// Reads from the cache lines of a slot.
    #[inline]
    pub(crate) fn touch(&self, slot: usize) -> u64 {
        self.series[slot].touch()
    }

    /// Takes in one sample, which came at `arrived`. Changes are appended to `out`.
    ///
    /// # Panics
    /// If `slot` was not given by [`Quality::add_series`].
    pub fn observe(
        &mut self,
        slot: usize,
        at: Timestamp,
        value: f64,
        arrived: Timestamp,
        out: &mut Vec<QualityChange>,
    ) {
        self.series[slot].observe(at, value, Some(arrived));
        self.follow(slot, at, out);
        self.compare(slot, at, out);
    }

    /// A sample came that was already there; `conflicting`: with another value.
    ///
    /// # Panics
    /// If `slot` was not given by [`Quality::add_series`].
    pub fn resent(&mut self, slot: usize, at: Timestamp, conflicting: bool, out: &mut Vec<QualityChange>) {
        self.series[slot].resent(conflicting);
        self.compare(slot, at, out);
    }

    /// A sample came after one that is newer.
    ///
    /// # Panics
    /// If `slot` was not given by [`Quality::add_series`].
    pub fn out_of_order(&mut self, slot: usize, at: Timestamp, out: &mut Vec<QualityChange>) {
        self.series[slot].out_of_order();
        self.compare(slot, at, out);
    }

    /// Looks for series that have gone missing, at `budget` of them: as many as there were samples keeps it O(1) a sample.
    pub fn sweep(&mut self, budget: usize, out: &mut Vec<QualityChange>) {
        for _ in 0..budget.min(self.series.len()) {
            self.hand = (self.hand + 1) % self.series.len();
            let group = &self.groups[self.series[self.hand].group()];
            let (newest, resumed) = (group.newest, group.resumed);
            if group.members > 1 && self.series[self.hand].misses(newest, resumed) {
                self.compare(self.hand, newest, out);
            }
        }
    }

    /// The source says that the series has ended: nobody misses it.
    ///
    /// # Panics
    /// If `slot` was not given by [`Quality::add_series`].
    pub fn ended(&mut self, slot: usize, at: Timestamp, out: &mut Vec<QualityChange>) {
        self.series[slot].end();
        self.compare(slot, at, out);
    }

    /// How far the data of a series can be believed, 0..1.
    ///
    /// # Panics
    /// If `slot` was not given by [`Quality::add_series`].
    pub fn score(&self, slot: usize) -> f32 {
        let monitor = &self.series[slot];
        let group = &self.groups[monitor.group()];
        let frozen = group.frozen.is_some() && monitor.is_still();
        monitor.score() * if frozen { FROZEN } else { 1.0 }
    }

    /// The usual interval of a series, milliseconds. `None`: not known yet.
    ///
    /// # Panics
    /// If `slot` was not given by [`Quality::add_series`].
    pub fn step(&self, slot: usize) -> Option<f32> {
        self.series[slot].step()
    }

    /// Whether a series has reported for long, and hardly ever missed a step.
    ///
    /// # Panics
    /// If `slot` was not given by [`Quality::add_series`].
    pub fn is_regular(&self, slot: usize) -> bool {
        self.series[slot].is_regular()
    }

    /// What is wrong with a series now.
    ///
    /// # Panics
    /// If `slot` was not given by [`Quality::add_series`].
    pub fn findings(&self, slot: usize) -> Vec<QualityFinding> {
        let own = self
            .since
            .range((slot, QualityKind::Late)..=(slot, QualityKind::Missing));
        let mut found: Vec<_> = own
            .map(|((_, kind), since)| self.finding(slot, *kind, *since))
            .collect();
        let group = &self.groups[self.series[slot].group()];
        if let Some(since) = group.frozen.filter(|_| self.series[slot].is_still()) {
            found.push(frozen(group, since));
        }
        found
    }

    fn finding(&self, slot: usize, kind: QualityKind, since: Timestamp) -> QualityFinding {
        let monitor = &self.series[slot];
        let text = match kind {
            QualityKind::Missing => format!(
                "{} while {} other series of the same entity report",
                monitor.describe(kind),
                self.groups[monitor.group()].members - 1
            ),
            kind => monitor.describe(kind),
        };
        QualityFinding { kind, since, text }
    }

    /// Reports how the findings of a series differ from what was last reported.
    fn compare(&mut self, slot: usize, at: Timestamp, out: &mut Vec<QualityChange>) {
        let Some(changed) = self.series[slot].turned() else {
            return;
        };
        for kind in QualityKind::ALL.into_iter().filter(|kind| changed & kind.bit() != 0) {
            if self.series[slot].has(kind) {
                let since = self.series[slot].began(kind, at);
                self.since.insert((slot, kind), since);
                out.push(QualityChange {
                    slot,
                    finding: self.finding(slot, kind, since),
                    ended: None,
                });
            } else if let Some(since) = self.since.remove(&(slot, kind)) {
                out.push(QualityChange {
                    slot,
                    finding: self.finding(slot, kind, since),
                    ended: Some(at),
                });
            }
        }
    }

    /// Moves the group of a series on after one of its samples.
    fn follow(&mut self, slot: usize, at: Timestamp, out: &mut Vec<QualityChange>) {
        let (changing, still) = self.series[slot].moved();
        let group = &mut self.groups[self.series[slot].group()];
        if self.series[slot].is_pause(group.newest, at) {
            group.resumed = at;
        }
        group.newest = group.newest.max(at);
        group.changing = group.changing.saturating_add_signed(changing);
        group.still = group.still.saturating_add_signed(still);
        let now_frozen = match group.frozen {
            None => group.changing >= GROUP_MIN && group.still == group.changing,
            Some(_) => group.still * 2 >= group.changing && group.still > 0,
        };
        if now_frozen == group.frozen.is_some() {
            return;
        }
        let since = group
            .frozen
            .unwrap_or_else(|| self.series[slot].began(QualityKind::FlatLined, at));
        group.frozen = now_frozen.then_some(since);
        out.push(QualityChange {
            slot,
            finding: frozen(group, since),
            ended: (!now_frozen).then_some(at),
        });
    }
}

fn frozen(group: &Group, since: Timestamp) -> QualityFinding {
    QualityFinding {
        kind: QualityKind::FlatLined,
        since,
        text: format!(
            "all {} series of the entity that normally change stand still at once",
            group.changing
        ),
    }
}

#[cfg(test)]
mod tests;
