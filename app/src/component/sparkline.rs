//! A line the height of a word. Drawn as one SVG path, so lists of hundreds stay cheap and follow the theme by themselves.

use super::badge::health_class;
use leptos::prelude::*;
use wire::series::Health;

const WIDTH: f32 = 120.0;
const HEIGHT: f32 = 28.0;
const PAD: f32 = 2.5;

/// Recent values of a series.
#[component]
pub(crate) fn Sparkline(values: Vec<Option<f32>>, #[prop(optional)] health: Health) -> impl IntoView {
    let path = path(&values);
    let area = area(&path);
    let last = last_point(&values);
    view! {
        <svg
            class=format!("spark spark--{}", health_class(health))
            viewBox=format!("0 0 {WIDTH} {HEIGHT}")
            preserveAspectRatio="none"
            aria-hidden="true"
        >
            <path class="spark__area" d=area />
            <path class="spark__line" d=path />
            {last.map(|(x, y)| view! { <path class="spark__end" d=format!("M{x:.1} {y:.1}h.01") /> })}
        </svg>
    }
}

/// SVG path through `values`, broken at gaps; flat lines run through the middle.
fn path(values: &[Option<f32>]) -> String {
    let mut out = String::new();
    let mut pen_down = false;
    for (at, _) in values.iter().enumerate() {
        match point(values, at) {
            Some((x, y)) => {
                out.push_str(&format!("{}{x:.1} {y:.1}", if pen_down { "L" } else { "M" }));
                pen_down = true;
            }
            None => pen_down = false,
        }
    }
    out
}

/// The same path closed along the bottom; empty when there are gaps, where filling would invent data.
fn area(path: &str) -> String {
    if path.is_empty() || path.matches('M').count() != 1 || !path.contains('L') {
        return String::new();
    }
    let right = WIDTH - PAD;
    format!("{path}L{right:.1} {HEIGHT:.1}L{PAD:.1} {HEIGHT:.1}Z")
}

fn last_point(values: &[Option<f32>]) -> Option<(f32, f32)> {
    (0..values.len()).rev().find_map(|at| point(values, at))
}

fn point(values: &[Option<f32>], at: usize) -> Option<(f32, f32)> {
    let value = values[at].filter(|v| v.is_finite())?;
    let (low, high) = bounds(values);
    let x = if values.len() < 2 {
        WIDTH - PAD
    } else {
        PAD + (WIDTH - 2.0 * PAD) * at as f32 / (values.len() - 1) as f32
    };
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    Some((x, HEIGHT - PAD - share * (HEIGHT - 2.0 * PAD)))
}

fn bounds(values: &[Option<f32>]) -> (f32, f32) {
    values
        .iter()
        .flatten()
        .filter(|v| v.is_finite())
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| {
            (low.min(*v), high.max(*v))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_touch_the_edges() {
        assert_eq!(
            path(&[Some(0.0), Some(10.0), Some(5.0)]),
            "M2.5 25.5L60.0 2.5L117.5 14.0"
        );
    }

    #[test]
    fn gaps_break_the_line_and_forbid_the_area() {
        let broken = path(&[Some(1.0), None, Some(2.0), Some(f32::NAN)]);
        assert_eq!(broken.matches('M').count(), 2);
        assert_eq!(area(&broken), "");
    }

    #[test]
    fn flat_and_empty_are_drawn_without_nan() {
        assert_eq!(path(&[]), "");
        assert_eq!(path(&[Some(3.0)]), "M117.5 14.0");
        assert!(!path(&[Some(3.0), Some(3.0)]).contains("NaN"));
        assert_eq!(last_point(&[Some(1.0), None]), Some((2.5, 14.0)));
    }
}
