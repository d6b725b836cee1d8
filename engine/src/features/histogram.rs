//! Quantiles of a classic histogram, scrape by scrape.
//!
//! [`quantile`] is Prometheus' `histogram_quantile` over the increase of every bucket: linear within a bucket, a lowest bucket
//! begins at 0 unless its bound is not positive, what falls into `+Inf` is answered by the highest finite bound, buckets that
//! contradict each other are lifted. (Rates or increases: a quantile does not depend on the scale.)
//!
//! A [`Histogram`] brings the members of one family together. They come one by one, in any order and possibly in several
//! requests, each in order of its own time. A scrape is derived from when all members have it, and only beside one with the
//! same buckets; so a request that lags, a bucket that is new, or one that is gone leave a gap, never a number that is not comparable.
//! A step in which nothing was observed has no quantile and no mean. When any member falls, counting of all has started over
//! from 0.
//!
//! O(1) a sample, O(buckets) a scrape. Everything derived is finite.

use crate::series::{QUANTILES, Role};
use std::collections::VecDeque;
use wire::Timestamp;

/// Scrapes that wait for the rest of their members: senders with several queues lag behind each other.
const WAITING: usize = 32;
/// A member that so many scrapes in a row went without is gone. It is usually declared so by its source long before.
const GONE: u16 = 256;
/// Relative difference below which two buckets hold the same, as in Prometheus.
const SAME: f64 = 1e-12;

/// The value below which a part `q` (0..1) of the observations lies. `buckets`: upper bound and cumulative count, by
/// ascending bound; they are made monotonic in place. `None` where Prometheus answers NaN: without an infinite bound, without
/// another one, without observations.
#[expect(clippy::float_cmp, reason = "as Prometheus compares")]
pub fn quantile(q: f64, buckets: &mut Vec<(f64, f64)>) -> Option<f64> {
    if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return None;
    }
    // Two spellings of one bound.
    buckets.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 += if same { next.1 } else { 0.0 };
        same
    });
    let mut below = buckets[0].1;
    for (_, count) in &mut buckets[1..] {
        if *count < below || (*count - below).abs() < SAME * (count.abs() + below.abs()) {
            *count = below;
        }
        below = *count;
    }
    let [.., (highest, _), (_, observed)] = buckets[..] else {
        return None;
    };
    if observed <= 0.0 || observed.is_nan() {
        return None;
    }
    let rank = q * observed;
    let place = buckets[..buckets.len() - 1].partition_point(|(_, count)| *count < rank);
    let (end, count) = buckets[place];
    let found = if place == buckets.len() - 1 {
        highest
    } else if place == 0 && end <= 0.0 {
        end
    } else {
        let (start, before) = if place > 0 { buckets[place - 1] } else { (0.0, 0.0) };
        start + (end - start) * ((rank - before) / (count - before))
    };
    found.is_finite().then_some(found)
}

/// What follows from two scrapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Derived {
    pub at: Timestamp,
    /// In the order of [`QUANTILES`].
    pub quantiles: [Option<f64>; QUANTILES.len()],
    pub mean: Option<f64>,
}

/// One series of the family.
#[derive(Clone, Copy, Debug)]
struct Member {
    role: Role,
    /// Scrapes in a row without it; [`GONE`]: not waited for.
    missed: u16,
}

/// The values of one scrape by member, NaN where there is none yet.
#[derive(Clone, Debug)]
struct Scrape {
    at: Timestamp,
    values: Vec<f64>,
    present: usize,
}

impl Scrape {
    fn value(&self, member: usize) -> Option<f64> {
        self.values.get(member).copied().filter(|value| !value.is_nan())
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    members: Vec<Member>,
    /// Members that are buckets, by bound.
    order: Vec<usize>,
    /// Members that are waited for.
    expected: usize,
    base: Option<Scrape>,
    waiting: VecDeque<Scrape>,
    // Reused.
    spare: Vec<f64>,
    buckets: Vec<(f64, f64)>,
}

impl Histogram {
    /// Adds a member and returns its number, counted from 0.
    pub fn add(&mut self, role: Role) -> usize {
        let member = self.members.len();
        self.members.push(Member { role, missed: 0 });
        self.expected += 1;
        if let Role::Bucket(bound) = role {
            let bound_of = |member: &usize| match self.members[*member].role {
                Role::Bucket(bound) => bound,
                _ => f64::NAN,
            };
            let place = self.order.partition_point(|other| bound_of(other) <= bound);
            self.order.insert(place, member);
        }
        member
    }

    /// Takes in a sample of a member: finite, after the last one of the member. Returns what it completes.
    ///
    /// # Panics
    /// If `member` was not given by [`Histogram::add`].
    pub fn take(&mut self, member: usize, at: Timestamp, value: f64) -> Option<Derived> {
        if self.members[member].missed >= GONE {
            self.expected += 1;
        }
        self.members[member].missed = 0;
        if self.base.as_ref().is_some_and(|base| base.at >= at) {
            return None;
        }
        let place = self.waiting.partition_point(|scrape| scrape.at < at);
        if self.waiting.get(place).is_none_or(|scrape| scrape.at != at) {
            let mut values = std::mem::take(&mut self.spare);
            values.clear();
            self.waiting.insert(place, Scrape { at, values, present: 0 });
        }
        let scrape = &mut self.waiting[place];
        if scrape.values.len() < self.members.len() {
            scrape.values.resize(self.members.len(), f64::NAN);
        }
        scrape.present += usize::from(scrape.values[member].is_nan());
        scrape.values[member] = value;
        if scrape.present >= self.expected.max(1) {
            // Earlier ones lack members that are past them.
            let scrape = self.waiting.drain(..=place).next_back();
            return scrape.and_then(|scrape| self.complete(scrape));
        }
        if self.waiting.len() > WAITING {
            self.give_up_oldest();
        }
        None
    }

    /// The source says that a member has ended: it is not waited for.
    ///
    /// # Panics
    /// If `member` was not given by [`Histogram::add`].
    pub fn end(&mut self, member: usize) {
        if self.members[member].missed < GONE {
            self.members[member].missed = GONE;
            self.expected -= 1;
        }
    }

    /// Whether every member has ended.
    pub fn is_over(&self) -> bool {
        self.expected == 0
    }

    fn give_up_oldest(&mut self) {
        let Some(scrape) = self.waiting.pop_front() else { return };
        for (index, member) in self.members.iter_mut().enumerate() {
            if scrape.value(index).is_none() && member.missed < GONE {
                member.missed += 1;
                self.expected -= usize::from(member.missed == GONE);
            }
        }
        self.spare = scrape.values;
    }

    fn complete(&mut self, scrape: Scrape) -> Option<Derived> {
        let base = self.base.replace(scrape)?;
        let derived = self.derive(&base);
        self.spare = base.values;
        derived
    }

    /// What the newest complete scrape says, given the one before.
    fn derive(&mut self, base: &Scrape) -> Option<Derived> {
        let now = self.base.as_ref()?;
        let counts = |member: &Member| !matches!(member.role, Role::Sum);
        let mut restarted = false;
        for (index, member) in self.members.iter().enumerate() {
            match (base.value(index), now.value(index)) {
                (Some(before), Some(after)) => restarted |= counts(member) && after < before,
                (None, None) => {}
                _ => return None,
            }
        }
        let increase = |index: usize| {
            let before = if restarted { 0.0 } else { base.value(index)? };
            Some(now.value(index)? - before)
        };
        self.buckets.clear();
        for &index in &self.order {
            if let (Role::Bucket(bound), Some(count)) = (self.members[index].role, increase(index)) {
                self.buckets.push((bound, count));
            }
        }
        let total = |wanted: fn(&Role) -> bool| {
            let found = self.members.iter().position(|member| wanted(&member.role))?;
            increase(found)
        };
        let observed = total(|role| *role == Role::Count).or_else(|| {
            self.buckets
                .last()
                .filter(|(bound, _)| bound.is_infinite())
                .map(|(_, count)| *count)
        });
        let sum = total(|role| *role == Role::Sum);
        let mean = observed
            .zip(sum)
            .filter(|(observed, _)| *observed > 0.0)
            .map(|(n, sum)| sum / n);
        let at = now.at;
        Some(Derived {
            at,
            quantiles: QUANTILES.map(|(q, _)| quantile(q, &mut self.buckets)),
            mean: mean.filter(|mean| mean.is_finite()),
        })
    }
}

#[cfg(test)]
mod tests;
