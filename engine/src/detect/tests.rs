//! The ensemble as a whole.
