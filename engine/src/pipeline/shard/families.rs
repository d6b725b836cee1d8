//! The histograms and summaries of a shard: which of its series are members of which, and where what is derived from them goes.

use crate::features::{Derived, Histogram};
use crate::series::{QUANTILES, SeriesInfo, SeriesKind, family_of, role_of};
use std::collections::HashMap;
use wire::{SeriesId, Timestamp};

/// Series that are derived from one family: the quantiles, then the mean.
const OUTPUTS: usize = QUANTILES.len() + 1;

/// A member's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    family: u32,
    member: u32,
}

#[derive(Debug, Default)]
struct Family {
    histogram: Histogram,
    /// Detector slots of what is derived.
    slots: [Option<usize>; OUTPUTS],
    members: HashMap<SeriesId, Link>,
}

/// What became of a derived series with a scrape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Output {
    pub(super) slot: usize,
    pub(super) at: Timestamp,
    /// `None`: nothing was observed.
    pub(super) value: Option<f64>,
}

/// All families of a shard.
#[derive(Debug, Default)]
pub(super) struct Families {
    families: Vec<Family>,
    by_family: HashMap<SeriesId, u32>,
}

impl Families {
    /// The place of a member of a histogram or summary; `None` for any other series.
    pub(super) fn link(&mut self, info: &SeriesInfo) -> Option<Link> {
        let (role, _) = role_of(info)?;
        // A count that is judged by itself is a member all the same.
        if !matches!(info.kind, SeriesKind::Component | SeriesKind::Counter) {
            return None;
        }
        let family = self.family(info);
        let entry = &mut self.families[family as usize];
        if let Some(link) = entry.members.get(&info.id) {
            return Some(*link);
        }
        let member = u32::try_from(entry.histogram.add(role)).unwrap_or(u32::MAX);
        let link = Link { family, member };
        entry.members.insert(info.id, link);
        Some(link)
    }

    /// Makes the series in `slot` the one that takes a statistic of its family.
    pub(super) fn derive_into(&mut self, info: &SeriesInfo, slot: usize) {
        let family = self.family(info);
        let quantile = QUANTILES
            .iter()
            .position(|(_, name)| info.statistic.as_deref() == Some(name));
        self.families[family as usize].slots[quantile.unwrap_or(OUTPUTS - 1)] = Some(slot);
    }

    fn family(&mut self, info: &SeriesInfo) -> u32 {
        let next = u32::try_from(self.families.len()).unwrap_or(u32::MAX);
        let family = *self.by_family.entry(family_of(info)).or_insert(next);
        if family == next {
            self.families.push(Family::default());
        }
        family
    }

    /// Takes in a sample of a member; what it completes is appended to `out`.
    pub(super) fn take(&mut self, link: Link, at: Timestamp, value: f64, out: &mut Vec<Output>) {
        let family = &mut self.families[link.family as usize];
        if let Some(derived) = family.histogram.take(link.member as usize, at, value) {
            out.extend(outputs(&family.slots, &derived));
        }
    }

    /// The source says that a member has ended. Returns the slots of what was derived if it was the last.
    pub(super) fn end(&mut self, link: Link) -> Vec<usize> {
        let family = &mut self.families[link.family as usize];
        family.histogram.end(link.member as usize);
        let over = family.histogram.is_over();
        family.slots.iter().copied().flatten().filter(|_| over).collect()
    }

    /// The source says that all of a member's family has ended. Returns the slots of what was derived.
    pub(super) fn end_all(&mut self, link: Link) -> Vec<usize> {
        let family = &mut self.families[link.family as usize];
        for member in 0..family.members.len() {
            family.histogram.end(member);
        }
        family.slots.iter().copied().flatten().collect()
    }
}

fn outputs(slots: &[Option<usize>; OUTPUTS], derived: &Derived) -> impl Iterator<Item = Output> {
    let [p50, p95, p99] = derived.quantiles;
    let (slots, at) = (*slots, derived.at);
    slots
        .into_iter()
        .zip([p50, p95, p99, derived.mean])
        .filter_map(move |(slot, value)| Some(Output { slot: slot?, at, value }))
}
