//! What a forest sees of a sample.

use super::spectral::saliency;
use crate::detect::autoencoder::WINDOW;
use crate::features::{FEATURES, Residual, compress};

/// Where the two CUSUMs stand among the features of a residual.
pub(super) const UP: usize = 5;
pub(super) const DOWN: usize = 6;

/// The numbers in a row, as the forests of some files learnt them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Up to format 3: the features of the residual.
    Residual,
    /// From format 4: the greater CUSUM, negative when it is that of decline, and in place of the other the spectral residual of
    /// the last long-term deviations.
    Spectral,
}

impl Sight {
    pub(super) fn of_format(format: u32) -> Self {
        if format < 4 { Self::Residual } else { Self::Spectral }
    }

    /// The newest format whose forests see so: that of files which keep some of them.
    pub(super) fn format(self) -> u32 {
        match self {
            Self::Residual => 3,
            Self::Spectral => 4,
        }
    }

    /// The row of a sample; `window`: the long-term deviations up to its own, compressed, oldest first.
    pub(super) fn row(self, residual: &Residual, window: impl FnOnce() -> [f32; WINDOW]) -> [f32; FEATURES] {
        let mut row = residual.features;
        if self == Self::Spectral {
            let [up, down] = [row[UP], row[DOWN]];
            row[UP] = if up >= down { up } else { -down };
            row[DOWN] = compress(saliency(&window()));
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn residual(up: f32, down: f32) -> Residual {
        let mut features = [0.25; FEATURES];
        (features[UP], features[DOWN]) = (up, down);
        Residual {
            mean: 1.0,
            scale: 1.0,
            fast: 0.0,
            slow: 0.0,
            features,
        }
    }

    #[test]
    fn forests_see_what_those_of_their_format_learnt() {
        let mut window = [0.0; WINDOW];
        window[WINDOW - 1] = 3.0;
        for (format, sight) in [(1, Sight::Residual), (3, Sight::Residual), (4, Sight::Spectral)] {
            assert_eq!(Sight::of_format(format), sight);
            assert_eq!(Sight::of_format(sight.format()), sight);
        }
        let old = Sight::Residual.row(&residual(0.5, 0.75), || window);
        let bits = |row: [f32; FEATURES]| row.map(f32::to_bits);
        assert_eq!(bits(old), bits(residual(0.5, 0.75).features));
        let decline = Sight::Spectral.row(&residual(0.5, 0.75), || window);
        assert!(decline[UP] < -0.7 && decline[DOWN] > 1.0, "{decline:?}");
        let rise = Sight::Spectral.row(&residual(0.75, 0.5), || [0.0; WINDOW]);
        assert!(rise[UP] > 0.7 && rise[DOWN] < 1e-6, "{rise:?}");
        let mut others = rise;
        (others[UP], others[DOWN]) = (0.75, 0.5);
        assert_eq!(bits(others), bits(residual(0.75, 0.5).features));
    }
}
