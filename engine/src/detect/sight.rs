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
