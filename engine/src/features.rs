//! From samples to residuals: what the models look at.
