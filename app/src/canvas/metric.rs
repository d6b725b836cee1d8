//! A series on a canvas.

use super::surface::{CanvasSurface, Size, Surface};
use crate::clock;
use crate::format;
use chart::{Canvas, MetricFrame, MetricScene};
use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use wire::series::SeriesDetail;

/// The chart of a series. Small and still when `compact`; otherwise the pointer finds points and tells `hover`.
#[component]
pub(crate) fn MetricChart(
    #[prop(into)] detail: Signal<Option<SeriesDetail>>,
    #[prop(optional)] compact: bool,
    #[prop(optional)] hover: RwSignal<Option<usize>>,
) -> impl IntoView {
    let size = RwSignal::new((0.0, 0.0) as Size);
    let node = NodeRef::<html::Canvas>::new();
    let label = Signal::derive(move || {
        detail.with(|d| {
            d.as_ref().map_or_else(
                || "Chart, loading".to_owned(),
                |d| format!("{} {}. {}", d.summary.info.entity, d.summary.info.metric, d.explanation),
            )
        })
    });
    let draw = move |surface: &mut Surface<'_>| {
        detail.with_untracked(|detail| {
            if let Some(detail) = detail {
                paint(surface, detail, compact, hover.get_untracked());
            }
        });
    };
    let point_at = move |event: &web_sys::MouseEvent| {
        let x = f64::from(event.offset_x());
        let found = detail.with_untracked(|detail| {
            detail
                .as_ref()
                .and_then(|d| MetricFrame::new(d, size.get_untracked(), compact).nearest(d, x))
        });
        if hover.get_untracked() != found {
            hover.set(found);
        }
    };
    let waiting = move || detail.with(|d| d.as_ref().is_none_or(|d| d.points.is_empty()));
    let waiting_text = move || {
        detail.with(|d| {
            if d.is_some() {
                "No samples in this range"
            } else {
                "Loading…"
            }
        })
    };
    let class = if compact { "canvas--compact" } else { "canvas--chart" };
    let step = move |by: i64| {
        let count = detail.with_untracked(|d| d.as_ref().map_or(0, |d| d.points.len())) as i64;
        if count > 0 {
            let at = hover
                .get_untracked()
                .map_or(count - 1, |at| (at as i64 + by).clamp(0, count - 1));
            hover.set(Some(at as usize));
        }
    };
    let surface = view! {
        <CanvasSurface
            class
            label
            testid=if compact { "metric-chart-small" } else { "metric-chart" }
            scene=move || {
                detail.track();
                hover.track();
            }
            draw
            size
            node
        />
        <Show when=waiting>
            <span class="canvas__wait">{waiting_text}</span>
        </Show>
    };
    if compact {
        return view! { <span class="canvas-box">{surface}</span> }.into_any();
    }
    view! {
        <div
            class="canvas-box"
            tabindex="0"
            role="group"
            aria-label="Chart; left and right arrows move between samples"
            on:pointermove=move |event: ev::PointerEvent| point_at(&event)
            on:pointerleave=move |_| hover.set(None)
            on:keydown=move |event: ev::KeyboardEvent| {
                match event.key().as_str() {
                    "ArrowLeft" => step(-1),
                    "ArrowRight" => step(1),
                    _ => return,
                }
                event.prevent_default();
            }
        >
            {surface}
        </div>
    }
    .into_any()
}

fn paint(surface: &mut Surface<'_>, detail: &SeriesDetail, compact: bool, hover: Option<usize>) {
    let metric = detail.summary.info.quantity().into_owned();
    let scene = MetricScene {
        detail,
        palette: surface.palette,
        offset_minutes: clock::zone_offset_minutes(detail.to.as_millis()),
        compact,
        hover,
        format: &|value| format::metric_value(&metric, value),
    };
    let mut canvas = Canvas::new(&mut surface.backend, surface.ratio, surface.font);
    // A canvas fails only when the browser has taken its context away; the next frame tries again.
    let _ = chart::metric::draw(&mut canvas, &scene);
}
