//! Surfaces for the drawings of crate `chart`.

mod graph;
mod metric;
mod palette;
mod surface;

pub(crate) use graph::{GraphFocus, TopologyGraph};
pub(crate) use metric::MetricChart;
