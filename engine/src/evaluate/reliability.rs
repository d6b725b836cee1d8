//! Whether chances come true: the reliability diagram and its expected calibration error (Murphy and Winkler, 1977;
//! Naeini et al., AAAI 2015).

/// Bins of equal width.
const BINS: usize = 10;

/// Chances that were said, and how often they came true.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reliability {
    bins: [Sums; BINS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    count: u64,
    said: f64,
    came_true: u64,
}

/// One bin of the diagram that holds something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityBin {
    pub from: f64,
    pub to: f64,
    pub count: u64,
    /// Mean chance that was said, and the share that came true.
    pub said: f64,
    pub came_true: f64,
}

impl Reliability {
    /// A chance was said, 0..1, and it came true or did not.
    pub fn add(&mut self, chance: f64, came_true: bool) {
        let bin = ((chance.clamp(0.0, 1.0) * BINS as f64) as usize).min(BINS - 1);
        let sums = &mut self.bins[bin];
        sums.count += 1;
        sums.said += chance.clamp(0.0, 1.0);
        sums.came_true += u64::from(came_true);
    }

    /// What was said and what came of it, from the least chance to the greatest.
    pub fn diagram(&self) -> Vec<ReliabilityBin> {
        let bins = self.bins.iter().enumerate().filter(|(_, sums)| sums.count > 0);
        bins.map(|(i, sums)| ReliabilityBin {
            from: i as f64 / BINS as f64,
            to: (i + 1) as f64 / BINS as f64,
            count: sums.count,
            said: sums.said / sums.count as f64,
            came_true: sums.came_true as f64 / sums.count as f64,
        })
        .collect()
    }

    /// Mean distance between what was said and what came true, 0..1, each bin by its size. `None`: nothing was said.
    pub fn expected_calibration_error(&self) -> Option<f64> {
        let total: u64 = self.bins.iter().map(|sums| sums.count).sum();
        let off: f64 = self
            .diagram()
            .iter()
            .map(|bin| bin.count as f64 * (bin.said - bin.came_true).abs())
            .sum();
        (total > 0).then(|| off / total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_true_as_often_as_said_has_no_error() {
        let mut exact = Reliability::default();
        assert_eq!(exact.expected_calibration_error(), None);
        for i in 0..100 {
            exact.add(0.75, i % 4 != 0);
        }
        assert!(exact.expected_calibration_error().unwrap() < 1e-12);
        let bins = exact.diagram();
        assert_eq!(
            (bins.len(), bins[0].count, bins[0].from, bins[0].to),
            (1, 100, 0.7, 0.8)
        );
    }

    #[test]
    fn the_error_weighs_bins_by_their_size() {
        let mut off = Reliability::default();
        (0..30).for_each(|_| off.add(1.0, true));
        (0..10).for_each(|_| off.add(0.4, true));
        // 30 of 40 are exact, 10 of 40 are off by 0.6.
        assert!((off.expected_calibration_error().unwrap() - 0.15).abs() < 1e-12);
    }
}
