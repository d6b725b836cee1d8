//! From samples to residuals: what the models look at.
//!
//! Every series has a [`Baselines`] slot: an online robust decomposition into level, trend, day season, week season and
//! residual, O(1) in time and memory a sample. What it could not explain leaves as a [`Residual`]: two z-scores and
//! [`FEATURES`] numbers for the isolation forest. Nothing here is ever NaN or infinite, whatever enters.
//!
//! Before that [`Shapes`] turns what is stored into what is judged, by the kind of the series: a counter becomes its [`Rate`], and a
//! [`Histogram`] its quantiles. [`Templates`] turns lines of logs into events: which template each was printed from.

pub(crate) mod baseline;
mod bootstrap;
mod histogram;
pub(crate) mod month;
mod mstl;
mod outlook;
mod polarity;
mod rate;
pub(crate) mod reseed;
pub(crate) mod residual;
pub(crate) mod season;
mod shape;
pub(crate) mod templates;
pub(crate) mod zone;

pub use baseline::{BaselineBefore, BaselineSlot, Baselines, WARM_UP};
pub use histogram::{Derived, Histogram, quantile};
pub use outlook::Outlook;
pub use polarity::Polarity;
pub use rate::{Rate, Rated, rates};
pub use residual::{FEATURES, Residual, compress};
pub use shape::{Shaped, Shapes};
pub use templates::{TemplateConfig, TemplateId, Templates};

#[cfg(test)]
mod tests;
