//! From samples to residuals: what the models look at.

mod outlook;

pub use outlook::Outlook;
