//! From samples to residuals: what the models look at.
//!
//! Every series has a [`Baselines`] slot: an online robust decomposition into level, trend, day season, week season and
//! residual, O(1) in time and memory a sample. What it could not explain leaves as a [`Residual`]: two z-scores and
//! [`FEATURES`] numbers for the isolation forest. Nothing here is ever NaN or infinite, whatever enters.

pub(crate) mod baseline;
mod bootstrap;
pub(crate) mod month;
mod mstl;
mod outlook;
mod polarity;
pub(crate) mod reseed;
pub(crate) mod residual;
pub(crate) mod season;
pub(crate) mod zone;

pub use baseline::{BaselineBefore, BaselineSlot, Baselines, WARM_UP};
pub use outlook::Outlook;
pub use polarity::Polarity;
pub use residual::{FEATURES, Residual, compress};

#[cfg(test)]
mod tests;
