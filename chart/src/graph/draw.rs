//! Nodes as plates with a mark, edges as curves that end in an arrow.

use super::{Direction, Graph, GraphScene, NODE};
use crate::canvas::{Align, Canvas, Failure};
use crate::palette::Color;
use plotters::prelude::DrawingBackend;
use std::f64::consts::TAU;
use wire::EntityId;
use wire::series::Health;
use wire::topology::{Entity, EntityKind};

const FONT: f64 = 12.0;
const CURVE: usize = 20;

/// Draws a graph.
///
/// # Errors
/// Whatever the backend fails with.
pub fn draw<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    graph: &Graph,
    scene: &GraphScene<'_>,
) -> Result<(), Failure<DB>> {
    canvas.clear(scene.palette.surface)?;
    // What is in focus lies on top.
    for lit in [false, true] {
        for edge in &scene.topology.edges {
            if edge_lit(scene, &edge.caller, &edge.callee) == lit {
                draw_edge(canvas, graph, scene, (&edge.caller, &edge.callee), lit)?;
            }
        }
    }
    for entity in &scene.topology.entities {
        draw_node(canvas, graph, scene, entity)?;
    }
    Ok(())
}

fn is_dimmed(scene: &GraphScene<'_>, entity: &EntityId) -> bool {
    scene.focus.is_some_and(|focus| !focus.contains(entity))
}

/// In a focus, edges between its members shine; without one, those of the chosen node do.
fn edge_lit(scene: &GraphScene<'_>, caller: &EntityId, callee: &EntityId) -> bool {
    match (scene.focus, scene.selected.or(scene.hover)) {
        (Some(focus), _) => focus.contains(caller) && focus.contains(callee),
        (None, Some(chosen)) => chosen == caller || chosen == callee,
        (None, None) => false,
    }
}

fn draw_edge<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    graph: &Graph,
    scene: &GraphScene<'_>,
    (caller, callee): (&EntityId, &EntityId),
    lit: bool,
) -> Result<(), Failure<DB>> {
    let (Some(from), Some(to)) = (graph.place(caller), graph.place(callee)) else {
        return Ok(());
    };
    let palette = scene.palette;
    let zoom = scene.view.zoom;
    let down = graph.direction == Direction::Down;
    let (start, end) = if down {
        ((from.0 + NODE.0 / 2.0, from.1 + NODE.1), (to.0 + NODE.0 / 2.0, to.1))
    } else {
        ((from.0 + NODE.0, from.1 + NODE.1 / 2.0), (to.0, to.1 + NODE.1 / 2.0))
    };
    let (start, end) = (scene.view.to_screen(start), scene.view.to_screen(end));
    let color = match (lit, scene.focus.is_some()) {
        (true, true) => palette.anomalous,
        (true, false) => palette.accent,
        (false, true) => palette.outline.over(palette.surface, 0.45),
        (false, false) => palette.outline,
    };
    let width = if lit { 2.0 } else { 1.2 };
    let arrow = 7.0 * zoom.max(0.5);
    let half = arrow * 0.55;
    if down {
        let reach = ((end.1 - start.1).abs() * 0.5).max(20.0 * zoom);
        let foot = (end.0, end.1 - arrow);
        canvas.path(
            &cubic([start, (start.0, start.1 + reach), (end.0, end.1 - reach), foot]),
            color,
            width,
        )?;
        canvas.fill(&[end, (end.0 - half, foot.1), (end.0 + half, foot.1)], color)
    } else {
        let reach = ((end.0 - start.0).abs() * 0.5).max(30.0 * zoom);
        let foot = (end.0 - arrow, end.1);
        canvas.path(
            &cubic([start, (start.0 + reach, start.1), (end.0 - reach, end.1), foot]),
            color,
            width,
        )?;
        canvas.fill(&[end, (foot.0, end.1 - half), (foot.0, end.1 + half)], color)
    }
}

fn cubic([a, b, c, d]: [(f64, f64); 4]) -> Vec<(f64, f64)> {
    (0..=CURVE)
        .map(|step| {
            let t = step as f64 / CURVE as f64;
            let u = 1.0 - t;
            let mix = |a: f64, b: f64, c: f64, d: f64| {
                u * u * u * a + 3.0 * u * u * t * b + 3.0 * u * t * t * c + t * t * t * d
            };
            (mix(a.0, b.0, c.0, d.0), mix(a.1, b.1, c.1, d.1))
        })
        .collect()
}

fn draw_node<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    graph: &Graph,
    scene: &GraphScene<'_>,
    entity: &Entity,
) -> Result<(), Failure<DB>> {
    let Some(place) = graph.place(&entity.id) else {
        return Ok(());
    };
    let palette = scene.palette;
    let zoom = scene.view.zoom;
    let corner = scene.view.to_screen(place);
    let size = (NODE.0 * zoom, NODE.1 * zoom);
    let (width, height) = canvas.size();
    if corner.0 > width || corner.1 > height || corner.0 + size.0 < 0.0 || corner.1 + size.1 < 0.0 {
        return Ok(());
    }
    let dimmed = is_dimmed(scene, &entity.id);
    let fade = |color: Color| {
        if dimmed {
            color.over(palette.surface, 0.32)
        } else {
            color
        }
    };
    let selected = scene.selected == Some(&entity.id);
    let hover = scene.hover == Some(&entity.id);
    let alarming = matches!(entity.health, Health::Anomalous | Health::Silent | Health::Watch);
    let rim = match (selected, hover, alarming) {
        (true, _, _) => palette.accent,
        (_, true, _) => palette.text_quiet,
        (_, _, true) => palette.health(entity.health),
        _ => palette.outline,
    };
    let rim_width = if selected { 2.5 } else { 1.2 };
    let radius = 8.0 * zoom;
    canvas.fill(&plate(corner, size, radius), fade(rim))?;
    let inner = (corner.0 + rim_width, corner.1 + rim_width);
    let inner_size = (size.0 - 2.0 * rim_width, size.1 - 2.0 * rim_width);
    canvas.fill(
        &plate(inner, inner_size, radius - rim_width),
        fade(palette.health_ground(entity.health)),
    )?;
    let middle = corner.1 + size.1 / 2.0;
    let mark = (corner.0 + 17.0 * zoom, middle);
    draw_mark(
        canvas,
        mark,
        6.0 * zoom,
        entity.health,
        fade(palette.health(entity.health)),
        fade(palette.surface),
    )?;
    // Below this size letters are dust; the marks still tell the state.
    if zoom < 0.34 {
        return Ok(());
    }
    let is_cause = scene.cause == Some(&entity.id);
    let note = if is_cause { "cause" } else { kind_word(entity.kind) };
    let left = corner.0 + 31.0 * zoom;
    let room = (NODE.0 - 31.0 - 8.0) / (FONT * 0.7);
    let name = shorten(entity.id.as_str(), room as usize);
    let note_color = if is_cause {
        palette.anomalous
    } else {
        palette.text_quiet
    };
    canvas.text(
        &name,
        (left, middle - 6.5 * zoom),
        Align::Left,
        FONT * zoom,
        fade(palette.text),
    )?;
    canvas.text(
        note,
        (left, middle + 8.0 * zoom),
        Align::Left,
        (FONT - 2.0) * zoom,
        fade(note_color),
    )
}

fn kind_word(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Service => "service",
        EntityKind::Host => "host",
        EntityKind::Database => "database",
        EntityKind::Queue => "queue",
        EntityKind::Cache => "cache",
        EntityKind::External => "external",
        EntityKind::Function => "function",
        EntityKind::Client => "client",
        EntityKind::Process => "process",
        EntityKind::Pod => "pod",
        EntityKind::Zone => "zone",
        EntityKind::Region => "region",
    }
}

/// The same shapes as the marks in the page: disc, triangle, diamond, broken ring, ring.
fn draw_mark<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    (x, y): (f64, f64),
    radius: f64,
    health: Health,
    color: Color,
    ground: Color,
) -> Result<(), Failure<DB>> {
    match health {
        Health::Ok => {
            canvas.disc((x, y), radius, color)?;
            let tick = [
                (x - 0.45 * radius, y),
                (x - 0.1 * radius, y + 0.35 * radius),
                (x + 0.5 * radius, y - 0.35 * radius),
            ];
            canvas.path(&tick, ground, radius * 0.28)
        }
        Health::Watch => {
            let (half, top, foot) = (radius * 1.1, y - radius, y + radius * 0.85);
            canvas.fill(&[(x, top), (x + half, foot), (x - half, foot)], color)
        }
        Health::Anomalous => {
            let reach = radius * 1.15;
            canvas.fill(&[(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)], color)
        }
        Health::Silent => canvas.dashes(&ring((x, y), radius), (radius * 0.6, radius * 0.5), color, radius * 0.3),
        Health::Unknown => canvas.path(&ring((x, y), radius * 0.9), color, radius * 0.28),
    }
}

fn ring(center: (f64, f64), radius: f64) -> Vec<(f64, f64)> {
    (0..=24)
        .map(|step| {
            let angle = TAU * f64::from(step) / 24.0;
            (center.0 + radius * angle.cos(), center.1 + radius * angle.sin())
        })
        .collect()
}

/// A rectangle with round corners.
fn plate(corner: (f64, f64), size: (f64, f64), radius: f64) -> Vec<(f64, f64)> {
    let radius = radius.clamp(0.0, size.0.min(size.1) / 2.0);
    let centers = [
        (corner.0 + size.0 - radius, corner.1 + radius, -0.25),
        (corner.0 + size.0 - radius, corner.1 + size.1 - radius, 0.0),
        (corner.0 + radius, corner.1 + size.1 - radius, 0.25),
        (corner.0 + radius, corner.1 + radius, 0.5),
    ];
    centers
        .into_iter()
        .flat_map(|(x, y, turn)| {
            (0..=6).map(move |step| {
                let angle = TAU * (turn + 0.25 * f64::from(step) / 6.0);
                (x + radius * angle.cos(), y + radius * angle.sin())
            })
        })
        .collect()
}

/// Keeps both ends of a long name: the middle says least.
fn shorten(name: &str, room: usize) -> String {
    let chars: Vec<char> = name.chars().collect();
    if chars.len() <= room || room < 5 {
        return name.to_owned();
    }
    let tail = (room - 1) / 3;
    let head = room - 1 - tail;
    let (head, tail) = (&chars[..head], &chars[chars.len() - tail..]);
    format!(
        "{}…{}",
        head.iter().collect::<String>(),
        tail.iter().collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shorten("checkout", 10), "checkout");
        assert_eq!(shorten("payments-reconciliation-worker", 13), "payments…rker");
        assert_eq!(shorten("ähnlich-großer-dienst", 9), "ähnlic…st");
    }
}
