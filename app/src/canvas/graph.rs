//! The topology on a canvas: pan, zoom, choose.

use super::surface::{CanvasSurface, Size, Surface};
use chart::{Canvas, Direction, Graph, GraphScene, View};
use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use std::collections::BTreeSet;
use wire::EntityId;
use wire::topology::Topology;

/// How far the pointer may wander during a click, in pixels.
const CLICK_SLOP: f64 = 4.0;

/// The part of the graph that an incident touches.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GraphFocus {
    pub(crate) cause: Option<EntityId>,
    pub(crate) entities: BTreeSet<EntityId>,
}

/// The graph. `fit` grows when everything should come into view again.
#[component]
pub(crate) fn TopologyGraph(
    #[prop(into)] topology: Signal<Topology>,
    #[prop(into)] selected: Signal<Option<EntityId>>,
    #[prop(into)] focus: Signal<Option<GraphFocus>>,
    on_select: Callback<Option<EntityId>>,
    #[prop(into)] label: Signal<String>,
    view: RwSignal<View>,
    #[prop(into)] fit: Signal<u64>,
    #[prop(optional)] direction: Direction,
) -> impl IntoView {
    let size = RwSignal::new((0.0, 0.0) as Size);
    let node = NodeRef::<html::Canvas>::new();
    let hover = RwSignal::new(None::<EntityId>);
    let shape = Memo::new(move |_| topology.with(shape_of));
    let graph = Memo::new(move |_| {
        shape.track();
        topology.with_untracked(|topology| Graph::new(topology, direction))
    });
    keep_in_view(graph, focus, size, view, fit);

    let drag = StoredValue::new(None::<Drag>);
    let at = |event: &web_sys::MouseEvent| (f64::from(event.offset_x()), f64::from(event.offset_y()));
    let on_down = move |event: ev::PointerEvent| {
        drag.set_value(Some(Drag {
            from: at(&event),
            last: at(&event),
        }));
        if let Some(canvas) = node.get_untracked() {
            // Without capture a drag merely ends at the edge of the canvas.
            let _ = canvas.set_pointer_capture(event.pointer_id());
        }
    };
    let on_move = move |event: ev::PointerEvent| {
        let point = at(&event);
        if let Some(mut held) = drag.get_value() {
            view.update(|view| *view = view.panned((point.0 - held.last.0, point.1 - held.last.1)));
            held.last = point;
            drag.set_value(Some(held));
            return;
        }
        let found = graph.with_untracked(|graph| graph.hit(view.get_untracked(), point).cloned());
        if hover.with_untracked(|hover| *hover != found) {
            hover.set(found);
        }
    };
    let on_up = move |event: ev::PointerEvent| {
        let Some(held) = drag.get_value() else { return };
        drag.set_value(None);
        let point = at(&event);
        if (point.0 - held.from.0).hypot(point.1 - held.from.1) <= CLICK_SLOP {
            on_select.run(graph.with_untracked(|graph| graph.hit(view.get_untracked(), point).cloned()));
        }
    };
    let on_wheel = move |event: ev::WheelEvent| {
        event.prevent_default();
        let factor = (-event.delta_y() * 0.0015).exp();
        view.update(|view| *view = view.zoomed(factor, at(&event)));
    };

    let draw = move |surface: &mut Surface<'_>| {
        let (selected, hover, focus) = (selected.get_untracked(), hover.get_untracked(), focus.get_untracked());
        topology.with_untracked(|topology| {
            graph.with_untracked(|graph| {
                paint(
                    surface,
                    topology,
                    graph,
                    view.get_untracked(),
                    &selected,
                    &hover,
                    &focus,
                );
            });
        });
    };

    view! {
        <div
            class="canvas-box canvas-box--graph"
            style:cursor=move || if hover.with(Option::is_some) { "pointer" } else { "" }
            on:pointerdown=on_down
            on:pointermove=on_move
            on:pointerup=on_up
            on:pointerleave=move |_| hover.set(None)
            on:wheel=on_wheel
        >
            <CanvasSurface
                class="canvas--graph"
                label
                testid="topology-canvas"
                scene=move || {
                    topology.track();
                    selected.track();
                    focus.track();
                    view.track();
                    hover.track();
                }
                draw
                size
                node
            />
        </div>
    }
}

#[derive(Clone, Copy)]
struct Drag {
    from: (f64, f64),
    last: (f64, f64),
}

/// What the layout depends on: names and edges, not health.
fn shape_of(topology: &Topology) -> (Vec<EntityId>, Vec<wire::topology::Edge>) {
    (
        topology.entities.iter().map(|e| e.id.clone()).collect(),
        topology.edges.clone(),
    )
}

/// Fits the graph when its shape, its window or its focus changes, or when asked to.
fn keep_in_view(
    graph: Memo<Graph>,
    focus: Signal<Option<GraphFocus>>,
    size: RwSignal<Size>,
    view: RwSignal<View>,
    fit: Signal<u64>,
) {
    Effect::new(move |_| {
        fit.track();
        let window = size.get();
        if window.0 < 1.0 || window.1 < 1.0 {
            return;
        }
        let next = graph.with(|graph| {
            focus.with(|focus| match focus {
                Some(focus) if !focus.entities.is_empty() => graph.fit_to(focus.entities.iter(), window, 1.0),
                _ => graph.fit(window),
            })
        });
        view.set(next);
    });
}

fn paint(
    surface: &mut Surface<'_>,
    topology: &Topology,
    graph: &Graph,
    view: View,
    selected: &Option<EntityId>,
    hover: &Option<EntityId>,
    focus: &Option<GraphFocus>,
) {
    let scene = GraphScene {
        topology,
        palette: surface.palette,
        view,
        selected: selected.as_ref(),
        hover: hover.as_ref(),
        cause: focus.as_ref().and_then(|f| f.cause.as_ref()),
        focus: focus.as_ref().map(|f| &f.entities),
    };
    let mut canvas = Canvas::new(&mut surface.backend, surface.ratio, surface.font);
    // A canvas fails only when the browser has taken its context away; the next frame tries again.
    let _ = chart::graph::draw(&mut canvas, graph, &scene);
}
