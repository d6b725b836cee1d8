//! Pure drawing for the console.
//!
//! Everything here turns wire types into lines, polygons and text on any plotters [`DrawingBackend`]: the browser's canvas,
//! or an SVG string in a test. Geometry is in CSS pixels; [`Canvas`] multiplies by the pixel ratio. No colour is named
//! here: [`Palette`] is read from the console's style tokens.
//!
//! Read in this order: [`palette`], [`scale`], then [`metric`] (a series with its band, votes and markers) and [`graph`]
//! (the topology).
//!
//! [`DrawingBackend`]: plotters::prelude::DrawingBackend

mod canvas;
pub mod graph;
pub mod metric;
pub mod palette;
pub mod scale;

pub use canvas::{Canvas, Failure};
pub use graph::{Direction, Graph, GraphScene, View};
pub use metric::{MetricFrame, MetricScene};
pub use palette::{Color, Palette};
