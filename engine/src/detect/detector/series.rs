//! What the ensemble remembers of one series beside its baseline.

use crate::detect::calibration::{HOLD, RAWS};
use crate::detect::salience::Salience;
use crate::detect::shift::Shift;
use crate::detect::tail::Tail;
use wire::series::MetricClass;
use wire::{SeriesId, Timestamp};

/// Weight of a suspicious sample when tails learn.
const SUSPICIOUS: f32 = 0.2;
/// A run of rare samples teaches the tails once, by its worst, when it is over: learning while it lasts would talk a fault
/// down before it is believed. One longer than this is the new normal, and taught sample by sample.
const LONG_RUN: u8 = 64;
/// A series that has alerted has to say more to alert again: half as much more as its last alert was worth (at most
/// [`BAR_MAX`] times what is required), half of which is forgotten each day. Who cries wolf is marginal each time; real trouble is not.
const BAR: f32 = 0.5;
const BAR_MAX: f32 = 1.5;
const BAR_HALF_LIFE_MS: f32 = 86_400_000.0;
/// So many samples in a row, on each of which two members agree, are an anomaly when their mean reaches this part of what
/// one alone must reach: noise is rare once, a fault stays.
pub(super) const STAYS: usize = 6;
const STAYING: f32 = 0.72;
/// No raw score of any member.
pub(super) const NONE: [f32; RAWS] = [f32::NAN; RAWS];

/// One series, as the decisions of its samples leave it.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) id: SeriesId,
    pub(super) class: MetricClass,
    pub(super) tails: [Tail; RAWS],
    /// Samples in a row that the joint score called rare enough; an anomaly needs some of them at short steps.
    pub(super) rare: u8,
    /// Greatest raw scores of those samples, in the order of the `RAWS` indices; NaN where there is none.
    pub(super) worst: [f32; RAWS],
    /// The anomaly now lasting: since when, and how many samples.
    pub(super) episode: Option<(Timestamp, u32)>,
    /// The greatest joint rarity of recent alerts, relative to what is required, and when the last of them was.
    pub(super) bar: (f32, Timestamp),
    pub(super) salience: Salience,
    pub(super) shift: Shift,
    /// Joint rarities of the last samples relative to what is required, oldest first; 0 where fewer than two members voted and
    /// while an anomaly lasts.
    pub(super) lately: [f32; STAYS - 1],
    pub(super) in_flight: bool,
}

impl Series {
    pub(super) fn new(id: SeriesId, class: MetricClass, tails: [Tail; RAWS]) -> Self {
        Self {
            id,
            class,
            tails,
            rare: 0,
            worst: NONE,
            episode: None,
            bar: (0.0, Timestamp(0)),
            salience: Salience::default(),
            shift: Shift::default(),
            lately: [0.0; STAYS - 1],
            in_flight: false,
        }
    }

    /// Reads from each of its cache lines.
    pub(super) fn touch(&self) -> f32 {
        self.tails[0].threshold + self.tails[4].threshold + self.worst[0] + self.bar.0 + self.lately[0]
    }

    /// Whether the joint rarity reaches the threshold of its class, or a part of it while an anomaly lasts, and the series' own
    /// bar. Both rarities are absolute, in decades.
    pub(super) fn confirms(&self, at: Timestamp, joint: f32, threshold: f32) -> bool {
        if self.episode.is_some() {
            return joint >= HOLD * threshold;
        }
        joint >= threshold && joint >= threshold * (1.0 + BAR * self.bar_at(at))
    }

    /// Whether a deviation below the threshold has stayed so long that it is one. `relative` and `threshold`: joint rarity of this
    /// sample, for which two members vote, and that of the threshold, both by what is required.
    pub(super) fn stays(&self, at: Timestamp, relative: f32, threshold: f32) -> bool {
        let sum = self.lately.iter().sum::<f32>() + relative.min(threshold);
        let all = self.lately.iter().all(|&lately| lately > 0.0);
        all && sum >= STAYS as f32 * STAYING * threshold * (1.0 + BAR * self.bar_at(at))
    }

    /// Remembers the joint rarity of a sample relative to what is required, at most `threshold`, if two members voted for it.
    pub(super) fn remember(&mut self, relative: f32, voted: bool, threshold: f32) {
        if self.episode.is_some() {
            self.lately = [0.0; STAYS - 1];
            return;
        }
        self.lately.rotate_left(1);
        self.lately[STAYS - 2] = if voted { relative.min(threshold) } else { 0.0 };
    }

    /// Keeps account of the anomaly that a sample belongs to, or of its end. `relative`: its joint rarity, without
    /// the autoencoder, by what is required.
    pub(super) fn follow(&mut self, anomaly: bool, at: Timestamp, relative: f32) {
        if anomaly {
            self.bar = (self.bar_at(at).max(relative.min(BAR_MAX)), at);
        }
        self.episode = match (anomaly, self.episode) {
            (true, Some((since, n))) => Some((since, n.saturating_add(1))),
            (true, None) => Some((at, 1)),
            (false, _) => None,
        };
    }

    /// The bar as it has faded until `at`.
    pub(super) fn bar_at(&self, at: Timestamp) -> f32 {
        let (bar, since) = self.bar;
        if bar > 0.0 {
            bar * (-(at.millis_since(since).max(0) as f32) / BAR_HALF_LIFE_MS).exp2()
        } else {
            0.0
        }
    }

    /// Takes in the raw scores of a sample; NaN where there is none. `run`: rare samples in a row, this one included.
    pub(super) fn learn(&mut self, raws: [f32; RAWS], run: u8) {
        self.rare = run;
        match run {
            0 => {
                let worst = std::mem::replace(&mut self.worst, NONE);
                self.teach(worst, SUSPICIOUS);
                self.teach(raws, 1.0);
            }
            1..=LONG_RUN => {
                worsen(&mut self.worst, raws);
            }
            _ => self.teach(raws, SUSPICIOUS),
        }
    }

    /// Another model gives the raw score `raw` from now on, calibrated by `class`.
    pub(super) fn begin_again(&mut self, raw: usize, class: &Tail) {
        self.tails[raw] = self.tails[raw].under_another_model(class);
        self.worst[raw] = f32::NAN;
    }

    /// Goes on after an incident: `since` is what the series was until now, `worst` the greatest raw scores meanwhile.
    pub(super) fn after_trouble(&mut self, since: &Self, worst: [f32; RAWS]) {
        self.bar = since.bar;
        self.rare = 0;
        let mut known = std::mem::replace(&mut self.worst, NONE);
        worsen(&mut known, worst);
        self.episode = since.episode;
        self.teach(known, SUSPICIOUS);
    }

    fn teach(&mut self, raws: [f32; RAWS], weight: f32) {
        for (tail, raw) in self.tails.iter_mut().zip(raws) {
            if !raw.is_nan() {
                tail.learn(raw, weight);
            }
        }
    }
}

/// Keeps the greater of two raw scores of each member; NaN where there is none.
pub(super) fn worsen(worst: &mut [f32; RAWS], raws: [f32; RAWS]) {
    for (worst, raw) in worst.iter_mut().zip(raws) {
        *worst = worst.max(raw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Models;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn series() -> Series {
        let tails = Models::bundled().unwrap().tails(MetricClass::Latency);
        Series::new(SeriesId(1), MetricClass::Latency, tails)
    }

    fn after(relative: [f32; STAYS - 1], voted: impl Fn(usize) -> bool) -> Series {
        let mut series = series();
        for (n, relative) in relative.into_iter().enumerate() {
            series.remember(relative, voted(n), 1.0);
        }
        series
    }

    #[test]
    fn what_stays_below_the_threshold_counts_in_the_end() {
        let near = [0.8; STAYS - 1];
        assert!(after(near, |_| true).stays(NOW, 0.8, 1.0));
        assert!(
            !after([0.6; STAYS - 1], |_| true).stays(NOW, 0.6, 1.0),
            "it is too small"
        );
        assert!(
            !after(near, |n| n != 2).stays(NOW, 0.8, 1.0),
            "one member alone saw one of them"
        );
        assert!(!series().stays(NOW, 0.99, 1.0), "it has not stayed yet");
        // One sample that says much does not speak for the rest.
        let mut lone = [0.5; STAYS - 1];
        lone[0] = 50.0;
        assert!(!after(lone, |_| true).stays(NOW, 0.5, 1.0));
    }

    #[test]
    fn who_has_alerted_lately_must_stay_further_off() {
        let mut series = after([0.8; STAYS - 1], |_| true);
        series.bar = (BAR_MAX, NOW);
        assert!(!series.stays(NOW, 0.8, 1.0));
        let days_later = NOW + 20 * BAR_HALF_LIFE_MS as i64;
        assert!(series.stays(days_later, 0.8, 1.0));
        // While an anomaly lasts nothing is gathered for the next.
        series.episode = Some((NOW, 1));
        series.remember(0.9, true, 1.0);
        series.episode = None;
        assert!(!series.stays(days_later, 0.9, 1.0));
    }
}
