//! Surfaces for the drawings of crate `chart`.
