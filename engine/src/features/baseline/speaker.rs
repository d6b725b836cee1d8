//! Who speaks for a series.
//!
//! The speaker is chosen by recent errors. On five days of a week the day alone forecasts as well as day and week together, and
//! on Saturday it is wrong: every weekend would begin with an alert. So before a sample is called far off, the candidates with
//! a longer season that have done as well are asked, and one that expected it speaks from now on.

use super::State;

/// Further than so many standard deviations from what is expected a sample is a surprise.
pub(crate) const ASK_AT: f64 = 2.0;
/// A recent error of at most so many times the speaker's is as good.
pub(crate) const AS_GOOD: f64 = 1.03;
/// Who is at most so many times as far off expected it.
pub(crate) const NEARER: f64 = 0.5;

impl State {
    /// Picks the candidate with the least recent error; the present one stays unless another is clearly better.
    pub(super) fn choose(&mut self, offsets: [Option<f64>; 3]) {
        let mut best = usize::from(self.chosen);
        if offsets[best / 2].is_none() {
            best %= 2;
        }
        for (i, tracker) in self.trackers.iter().enumerate() {
            if offsets[i / 2].is_some() && tracker.error >= 0.0 && tracker.error < 0.95 * self.trackers[best].error {
                best = i;
            }
        }
        self.chosen = best as u8;
    }

    /// Lets a longer season speak that expects what surprises the speaker.
    pub(super) fn ask_others(&mut self, y: f64, offsets: [Option<f64>; 3], patience: f64) {
        let speaker = usize::from(self.chosen);
        let off_by = |k: usize, offset: f64| (y - self.trackers[k].level - offset).abs();
        let surprise = off_by(speaker, offsets[speaker / 2].unwrap_or(0.0));
        if surprise <= ASK_AT * self.scale(speaker) * patience {
            return;
        }
        let mut least = NEARER * surprise;
        let most_error = AS_GOOD * self.trackers[speaker].error;
        let mut best = speaker;
        for (kind, offset) in offsets.iter().enumerate().skip(speaker / 2 + 1) {
            let k = 2 * kind + speaker % 2;
            let Some(offset) = *offset else { continue };
            let is_good = (0.0..=most_error).contains(&self.trackers[k].error);
            if is_good && off_by(k, offset) <= least {
                least = off_by(k, offset);
                best = k;
            }
        }
        // Levels of one pace differ by what their seasons have lately differed by.
        self.last_season -= self.trackers[best].level - self.trackers[speaker].level;
        self.chosen = best as u8;
    }
}
