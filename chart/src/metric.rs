//! A series over time: value, expected band, anomalies, the members' votes, markers, forecast.

use crate::canvas::{Align, Canvas, Failure};
use crate::palette::{Color, Palette};
use crate::scale::{Linear, ticks, time_ticks};
use plotters::prelude::DrawingBackend;
use wire::Timestamp;
use wire::series::{ForecastPoint, MarkerKind, SeriesDetail, SeriesPoint};

/// Height of one row of the votes lane, in CSS pixels.
const LANE: f64 = 9.0;
const LANE_GAP: f64 = 3.0;
/// Members that vote, one lane each.
const LANES: f64 = 4.0;
/// How far an anomaly's column reaches beyond its outermost samples.
const REACH: f64 = 2.0;
/// The forecast takes at most this part of the past's width: a fifth of the chart.
const FORECAST_SHARE: i64 = 4;
const FONT: f64 = 11.0;

/// What to draw.
pub struct MetricScene<'a> {
    pub detail: &'a SeriesDetail,
    pub palette: &'a Palette,
    /// Time zone of the axis, minutes east of UTC.
    pub offset_minutes: i32,
    /// A small chart: no votes lane, few ticks.
    pub compact: bool,
    /// The point under the pointer.
    pub hover: Option<usize>,
    /// Labels of the value axis.
    pub format: &'a dyn Fn(f64) -> String,
}

impl std::fmt::Debug for MetricScene<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricScene")
            .field("series", &self.detail.summary.info.id)
            .finish_non_exhaustive()
    }
}

/// Where things are: shared by drawing and by finding what is under the pointer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricFrame {
    /// Milliseconds since the epoch to pixels.
    pub x: Linear,
    /// Values to pixels.
    pub y: Linear,
    /// The plot: left, top, right, bottom.
    pub plot: (f64, f64, f64, f64),
    /// Top of the votes lane, if there is one.
    lane_top: Option<f64>,
}

impl MetricFrame {
    /// Lays a chart of `size` CSS pixels out.
    pub fn new(detail: &SeriesDetail, size: (f64, f64), compact: bool) -> Self {
        let lane = if compact { 0.0 } else { LANES * (LANE + LANE_GAP) + 6.0 };
        let (left, right) = if compact {
            (56.0, size.0 - 4.0)
        } else {
            (64.0, size.0 - 14.0)
        };
        let top = if compact { 8.0 } else { 34.0 };
        let bottom = (size.1 - if compact { 18.0 } else { 24.0 } - lane).max(top + 1.0);
        let end = visible_forecast(detail)
            .last()
            .map_or(detail.to, |f| f.at.max(detail.to));
        Self {
            x: Linear::new(
                (detail.from.as_millis() as f64, end.as_millis() as f64),
                (left, right.max(left + 1.0)),
            ),
            y: Linear::new(value_domain(detail), (bottom, top)),
            plot: (left, top, right.max(left + 1.0), bottom),
            lane_top: (!compact).then_some(bottom + 8.0),
        }
    }

    /// Index of the point nearest to a horizontal pixel; `None` outside the plot or without points.
    pub fn nearest(&self, detail: &SeriesDetail, pixel: f64) -> Option<usize> {
        if pixel < self.plot.0 - 4.0 || pixel > self.plot.2 + 4.0 || detail.points.is_empty() {
            return None;
        }
        let at = Timestamp(self.x.value(pixel) as i64);
        let after = detail.points.partition_point(|p| p.at < at);
        [after.checked_sub(1), Some(after)]
            .into_iter()
            .flatten()
            .filter(|i| *i < detail.points.len())
            .min_by_key(|i| detail.points[*i].at.millis_since(at).abs())
    }

    fn at(&self, at: Timestamp) -> f64 {
        self.x.pixel(at.as_millis() as f64)
    }
}

/// The forecast as far as it leaves most of the chart to what happened.
fn visible_forecast(detail: &SeriesDetail) -> &[ForecastPoint] {
    let step = detail.summary.info.step_ms.max(1);
    // A range in the past is not continued by what is foreseen from now.
    if detail
        .forecast
        .first()
        .is_none_or(|f| f.at.millis_since(detail.to) > 3 * step)
    {
        return &[];
    }
    let reach = detail.to + detail.to.millis_since(detail.from) / FORECAST_SHARE;
    let count = detail.forecast.partition_point(|f| f.at <= reach);
    // One step of it is always of interest.
    &detail.forecast[..count.max(1).min(detail.forecast.len())]
}

/// Smallest and largest value to show: everything observed and expected, the forecast as far as it stays within twice that,
/// and the limit if it is near.
fn value_domain(detail: &SeriesDetail) -> (f64, f64) {
    let hull = |values: &mut dyn Iterator<Item = f64>| {
        values
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v), high.max(v))
            })
    };
    let observed = hull(&mut detail.points.iter().flat_map(|p| [p.value, p.min, p.max]).flatten());
    let expected = hull(&mut detail.points.iter().flat_map(|p| [p.lower, p.upper]).flatten());
    let mut range = (observed.0.min(expected.0), observed.1.max(expected.1));
    if range.0 > range.1 {
        return (0.0, 1.0);
    }
    let span = (range.1 - range.0).max(f64::MIN_POSITIVE);
    let (low, high) = (range.0 - span / 2.0, range.1 + span / 2.0);
    for value in visible_forecast(detail)
        .iter()
        .flat_map(|f| [f.lower, f.upper])
        .filter(|v| v.is_finite())
    {
        range = (range.0.min(value.max(low)), range.1.max(value.min(high)));
    }
    if let Some(limit) = detail.limit.filter(|l| (low..=high).contains(l)) {
        range = (range.0.min(limit), range.1.max(limit));
    }
    let pad = (range.1 - range.0) * 0.06;
    // A quantity that never was negative gets no room below zero, whatever the width of its band.
    let floor = if observed.0 >= 0.0 {
        (range.0 - pad).max(0.0)
    } else {
        range.0 - pad
    };
    (floor, range.1 + pad)
}

/// Draws a chart.
///
/// # Errors
/// Whatever the backend fails with.
pub fn draw<DB: DrawingBackend>(canvas: &mut Canvas<'_, DB>, scene: &MetricScene<'_>) -> Result<(), Failure<DB>> {
    let frame = MetricFrame::new(scene.detail, canvas.size(), scene.compact);
    canvas.clear(scene.palette.surface)?;
    anomaly_ground(canvas, scene, &frame)?;
    grid(canvas, scene, &frame)?;
    band(canvas, scene, &frame)?;
    forecast(canvas, scene, &frame)?;
    limit(canvas, scene, &frame)?;
    values(canvas, scene, &frame)?;
    markers(canvas, scene, &frame)?;
    if let Some(top) = frame.lane_top {
        votes(canvas, scene, &frame, top)?;
    }
    if let Some(hover) = scene.hover {
        crosshair(canvas, scene, &frame, hover)?;
    }
    Ok(())
}

fn grid<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    scene: &MetricScene<'_>,
    frame: &MetricFrame,
) -> Result<(), Failure<DB>> {
    let palette = scene.palette;
    let (left, top, right, bottom) = frame.plot;
    let (low, high) = frame.y.domain();
    let count = if scene.compact {
        2
    } else {
        (((bottom - top) / 56.0) as usize).max(2)
    };
    for value in ticks(low, high, count) {
        let y = frame.y.pixel(value);
        canvas.line((left, y), (right, y), palette.grid, 1.0)?;
        canvas.text(
            &(scene.format)(value),
            (left - 8.0, y),
            Align::Right,
            FONT,
            palette.axis,
        )?;
    }
    let (_, height) = canvas.size();
    let (from, to) = frame.x.domain();
    let count = ((right - left) / if scene.compact { 84.0 } else { 104.0 }) as usize;
    for tick in time_ticks(from as i64, to as i64, count, scene.offset_minutes) {
        let x = frame.x.pixel(tick.at as f64);
        // A label cut off at the edge says nothing.
        if x > left + 12.0 && x < right - 16.0 {
            canvas.text(&tick.label, (x, height - 9.0), Align::Center, FONT, palette.axis)?;
        }
    }
    Ok(())
}

/// Soft columns behind the anomalous stretches: seen before the line is read.
fn anomaly_ground<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    scene: &MetricScene<'_>,
    frame: &MetricFrame,
) -> Result<(), Failure<DB>> {
    let points = &scene.detail.points;
    let (left, top, right, bottom) = frame.plot;
    for run in runs(points, |p| p.anomaly) {
        let from = (frame.at(points[run.start].at) - REACH).max(left);
        let to = (frame.at(points[run.end - 1].at) + REACH).min(right);
        canvas.rect(
            (from, top),
            ((to - from).max(2.0), bottom - top),
            scene.palette.anomaly_ground,
        )?;
    }
    Ok(())
}

fn band<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    scene: &MetricScene<'_>,
    frame: &MetricFrame,
) -> Result<(), Failure<DB>> {
    let points = &scene.detail.points;
    for run in runs(points, |p| p.lower.is_some() && p.upper.is_some()) {
        let run = &points[run];
        let upper = run
            .iter()
            .filter_map(|p| p.upper.map(|v| clip(frame, frame.at(p.at), v)));
        let lower = run
            .iter()
            .rev()
            .filter_map(|p| p.lower.map(|v| clip(frame, frame.at(p.at), v)));
        let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
        canvas.fill(&outline, scene.palette.band)?;
    }
    if !scene.compact {
        for run in runs(points, |p| p.expected.is_some()) {
            let path: Vec<(f64, f64)> = points[run]
                .iter()
                .filter_map(|p| p.expected.map(|v| clip(frame, frame.at(p.at), v)))
                .collect();
            canvas.dashes(&path, (2.0, 4.0), scene.palette.expected, 1.0)?;
        }
    }
    Ok(())
}

fn forecast<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    scene: &MetricScene<'_>,
    frame: &MetricFrame,
) -> Result<(), Failure<DB>> {
    let forecast = visible_forecast(scene.detail);
    if forecast.is_empty() {
        return Ok(());
    }
    let (_, top, _, bottom) = frame.plot;
    let upper = forecast.iter().map(|f| clip(frame, frame.at(f.at), f.upper));
    let lower = forecast.iter().rev().map(|f| clip(frame, frame.at(f.at), f.lower));
    let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
    canvas.fill(&outline, scene.palette.forecast_band)?;
    let now = frame.at(scene.detail.to);
    canvas.dashes(&[(now, top), (now, bottom)], (2.0, 3.0), scene.palette.axis, 1.0)?;
    let mean: Vec<(f64, f64)> = forecast.iter().map(|f| clip(frame, frame.at(f.at), f.mean)).collect();
    canvas.dashes(&mean, (5.0, 3.0), scene.palette.forecast, 1.5)
}

fn limit<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    scene: &MetricScene<'_>,
    frame: &MetricFrame,
) -> Result<(), Failure<DB>> {
    let (low, high) = frame.y.domain();
    let Some(limit) = scene.detail.limit.filter(|l| (low..=high).contains(l)) else {
        return Ok(());
    };
    let (left, _, right, _) = frame.plot;
    let y = frame.y.pixel(limit);
    canvas.dashes(&[(left, y), (right, y)], (7.0, 4.0), scene.palette.limit, 1.5)?;
    let label = format!("limit {}", (scene.format)(limit));
    canvas.text(&label, (left + 6.0, y - 8.0), Align::Left, FONT, scene.palette.limit)
}

fn values<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    scene: &MetricScene<'_>,
    frame: &MetricFrame,
) -> Result<(), Failure<DB>> {
    let points = &scene.detail.points;
    let palette = scene.palette;
    for run in runs(points, |p| p.value.is_some()) {
        let run = &points[run];
        // Where a point stands for many samples, their extremes are drawn as a column behind the line.
        for point in run {
            if let (Some(min), Some(max)) = (point.min, point.max)
                && max > min
            {
                let x = frame.at(point.at);
                let ground = palette.line.over(palette.surface, 0.35);
                canvas.line(clip(frame, x, min), clip(frame, x, max), ground, 1.0)?;
            }
        }
        let path: Vec<(f64, f64)> = run
            .iter()
            .filter_map(|p| p.value.map(|v| clip(frame, frame.at(p.at), v)))
            .collect();
        if let [only] = path[..] {
            canvas.disc(only, 1.5, palette.line)?;
        }
        canvas.path(&path, palette.line, 1.5)?;
    }
    for run in runs(points, |p| p.anomaly && p.value.is_some()) {
        let run = &points[run];
        let path: Vec<(f64, f64)> = run
            .iter()
            .filter_map(|p| p.value.map(|v| clip(frame, frame.at(p.at), v)))
            .collect();
        canvas.path(&path, palette.anomaly, 2.0)?;
        let every = (path.len() / 40).max(1);
        for point in path.iter().step_by(every) {
            canvas.disc(*point, if scene.compact { 2.0 } else { 2.5 }, palette.anomaly)?;
        }
    }
    Ok(())
}

fn markers<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    scene: &MetricScene<'_>,
    frame: &MetricFrame,
) -> Result<(), Failure<DB>> {
    let (left, top, right, bottom) = frame.plot;
    // Texts stand in two rows; one that finds no room in either is left out, its line stays.
    let mut taken: [Vec<(f64, f64)>; 2] = Default::default();
    for marker in &scene.detail.markers {
        let x = frame.at(marker.at);
        if x < left || x > right {
            continue;
        }
        let color = marker_color(scene.palette, marker.kind);
        match marker.kind {
            MarkerKind::Deploy => canvas.line((x, top - 4.0), (x, bottom), color, 1.5)?,
            _ => canvas.dashes(&[(x, top - 4.0), (x, bottom)], (3.0, 3.0), color, 1.0)?,
        }
        canvas.fill(&[(x - 4.5, top - 6.0), (x + 4.5, top - 6.0), (x, top + 1.0)], color)?;
        if scene.compact {
            continue;
        }
        let width = marker.text.chars().count() as f64 * FONT * 0.6;
        // The text turns to the side that has room.
        let (from, at, align) = if x + 8.0 + width > right {
            (x - 8.0 - width, x - 8.0, Align::Right)
        } else {
            (x + 8.0, x + 8.0, Align::Left)
        };
        let free = |row: &Vec<(f64, f64)>| row.iter().all(|(a, b)| from > b + 6.0 || from + width < a - 6.0);
        if let Some(row) = taken.iter().position(free) {
            taken[row].push((from, from + width));
            canvas.text(&marker.text, (at, top - 10.0 - row as f64 * 14.0), align, FONT, color)?;
        }
    }
    Ok(())
}

fn marker_color(palette: &Palette, kind: MarkerKind) -> Color {
    match kind {
        MarkerKind::Deploy => palette.deploy,
        MarkerKind::IncidentStart => palette.anomaly,
        MarkerKind::IncidentEnd => palette.ok,
        MarkerKind::Action => palette.accent,
    }
}

/// One row a member: its score as strength of colour, its vote as full colour over the whole height.
fn votes<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    scene: &MetricScene<'_>,
    frame: &MetricFrame,
    lane_top: f64,
) -> Result<(), Failure<DB>> {
    let palette = scene.palette;
    let points = &scene.detail.points;
    let (left, _, _, _) = frame.plot;
    let end = frame.at(scene.detail.to).max(left + 1.0);
    let width = ((end - left) / points.len().max(1) as f64).clamp(1.0, 12.0);
    let rows = [
        ("STL", palette.vote_stl),
        ("Forest", palette.vote_forest),
        ("LSTM", palette.vote_autoencoder),
        ("Novelty", palette.vote_novelty),
    ];
    for (row, (name, color)) in rows.into_iter().enumerate() {
        let top = lane_top + row as f64 * (LANE + LANE_GAP);
        canvas.text(
            name,
            (left - 8.0, top + LANE / 2.0),
            Align::Right,
            FONT - 1.0,
            palette.axis,
        )?;
        canvas.rect((left, top), (end - left, LANE), palette.grid)?;
        for point in points {
            let vote = match row {
                0 => point.votes.stl,
                1 => point.votes.forest,
                2 => point.votes.autoencoder,
                _ => point.votes.novelty,
            };
            let Some(vote) = vote else { continue };
            let x = (frame.at(point.at) - width / 2.0).max(left);
            if vote.vote {
                canvas.rect((x, top), (width, LANE), color)?;
            } else if vote.score > 0.5 {
                let share = f64::from(vote.score - 0.5);
                canvas.rect(
                    (x, top + LANE / 2.0),
                    (width, LANE / 2.0),
                    color.over(palette.grid, share),
                )?;
            }
        }
    }
    Ok(())
}

fn crosshair<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    scene: &MetricScene<'_>,
    frame: &MetricFrame,
    hover: usize,
) -> Result<(), Failure<DB>> {
    let Some(point) = scene.detail.points.get(hover) else {
        return Ok(());
    };
    let (_, top, _, bottom) = frame.plot;
    let x = frame.at(point.at);
    let foot = frame.lane_top.map_or(bottom, |lane| lane + LANES * (LANE + LANE_GAP));
    canvas.line((x, top), (x, foot), scene.palette.text_quiet, 1.0)?;
    if let Some(value) = point.value {
        let at = clip(frame, x, value);
        canvas.disc(at, 5.0, scene.palette.surface)?;
        canvas.disc(
            at,
            3.5,
            if point.anomaly {
                scene.palette.anomaly
            } else {
                scene.palette.line
            },
        )?;
    }
    Ok(())
}

/// Pixel of a value, kept inside the plot.
fn clip(frame: &MetricFrame, x: f64, value: f64) -> (f64, f64) {
    let (_, top, _, bottom) = frame.plot;
    (x, frame.y.pixel(value).clamp(top, bottom))
}

/// Maximal stretches of points for which `holds`.
fn runs(points: &[SeriesPoint], holds: impl Fn(&SeriesPoint) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, point) in points.iter().enumerate() {
        match (holds(point), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = start {
        found.push(from..points.len());
    }
    found
}

#[cfg(test)]
mod tests;
