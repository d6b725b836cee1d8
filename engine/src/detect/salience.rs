//! One number to rank samples of all series by.
//!
//! Two things make a sample stand out. It may be *rarer than anything lately*: the joint score less a part of the greatest
//! that is still remembered, so a series that keeps jumping raises its own bar. And it may be part of *trouble that lasts*:
//! the members' mean over the last samples. The first fills the upper part of the scale, the second the lower, so that a fixed
//! threshold in the upper part finds onsets once, and a ranking finds whole spans. Weights from NAB, by both of its sides:
//! its own score and VUS-PR.

use super::calibration::squash;

/// Samples after which half of a past peak is forgotten.
const PEAK_HALF_LIFE: f32 = 200.0;
/// Part of the remembered peak that a new one must exceed.
const BAR: f32 = 0.25;
/// A joint score of two members says more than a lone member's.
const JOINT: f32 = 1.2;
/// Least relative rarity that counts as an onset.
const ONSET: f32 = 0.75;
/// Samples after which half of lasting trouble is forgotten.
const TROUBLE_HALF_LIFE: f32 = 40.0;
/// Upper end of the part of the scale for lasting trouble; an onset is at `squash(ONSET)` = 0.64 or above.
const TROUBLE_MAX: f32 = 0.6;

/// What a series remembers of its own surprises.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Salience {
    peak: f32,
    trouble: f32,
}

impl Salience {
    /// Takes in the relative rarities (1: just as rare as allowed) of decomposition, forest and novelty, and the joint one.
    /// 0..1.
    pub(super) fn observe(&mut self, members: [f32; 3], joint: f32) -> f32 {
        let novelty = members[2];
        let rare = novelty.max(JOINT * joint);
        let onset = rare - BAR * self.peak;
        self.peak = (self.peak * (-std::f32::consts::LN_2 / PEAK_HALF_LIFE).exp()).max(rare);
        let keep = (-std::f32::consts::LN_2 / TROUBLE_HALF_LIFE).exp();
        self.trouble = keep * self.trouble + (1.0 - keep) * members.iter().sum::<f32>();
        let lasting = TROUBLE_MAX * self.trouble / (self.trouble + 1.0);
        if onset >= ONSET {
            squash(onset).max(lasting)
        } else {
            lasting
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(relative: impl IntoIterator<Item = f32>) -> Vec<f32> {
        let mut salience = Salience::default();
        relative.into_iter().map(|r| salience.observe([r, r, 0.0], r)).collect()
    }

    #[test]
    fn an_onset_stands_out_once_and_trouble_lasts() {
        let quiet = std::iter::repeat_n(0.1, 100);
        let trouble = std::iter::repeat_n(1.0, 50);
        let scores = run(quiet.clone().chain(trouble).chain(quiet));
        assert!(scores[99] < 0.2 && scores[100] > 0.7, "{} {}", scores[99], scores[100]);
        assert!(
            scores[149] > scores[101].min(0.3),
            "what lasts stays up: {}",
            scores[149]
        );
        assert!(scores[249] < 0.3, "and is forgotten: {}", scores[249]);
    }

    #[test]
    fn a_series_that_keeps_jumping_raises_its_own_bar() {
        let jumps = (0..400).map(|i| if i % 20 == 19 { 0.8 } else { 0.1 });
        let scores = run(jumps);
        assert!(scores[19] > scores[399], "{} {}", scores[19], scores[399]);
    }

    #[test]
    fn stays_within_its_range() {
        for r in [0.0, 1e-6, 1.0, 1e6] {
            assert!(run(std::iter::repeat_n(r, 500)).iter().all(|s| (0.0..=1.0).contains(s)));
        }
    }
}
