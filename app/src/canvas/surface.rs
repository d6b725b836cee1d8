//! A canvas that knows its size and pixel ratio, and draws once per frame, only when something changed.

use super::palette;
use crate::state::settings::settings;
use chart::Palette;
use leptos::html;
use leptos::prelude::*;
use plotters_canvas::CanvasBackend;
use wasm_bindgen::prelude::*;
use web_sys::{HtmlCanvasElement, ResizeObserver};

/// Least canvas pixels per CSS pixel. plotters places on whole pixels; at 1 lines would be jagged.
const MIN_RATIO: f64 = 2.0;

/// What a drawing needs to know about its surface.
pub(crate) struct Surface<'a> {
    pub(crate) backend: CanvasBackend,
    pub(crate) ratio: f64,
    pub(crate) font: &'a str,
    pub(crate) palette: &'a Palette,
}

/// Size in CSS pixels.
pub(crate) type Size = (f64, f64);

/// A canvas. `scene` is tracked: when a signal that it reads changes, `draw` is called in the next frame, untracked.
#[component]
pub(crate) fn CanvasSurface(
    class: &'static str,
    /// What the drawing shows, for those who do not see it.
    #[prop(into)]
    label: Signal<String>,
    testid: &'static str,
    scene: impl Fn() + 'static,
    draw: impl Fn(&mut Surface<'_>) + Clone + 'static,
    #[prop(optional)] size: RwSignal<Size>,
    #[prop(optional)] node: NodeRef<html::Canvas>,
) -> impl IntoView {
    let settings = settings();
    let frame_pending = StoredValue::new(false);
    let colors = StoredValue::new_local(None::<(u64, Palette, String)>);
    watch_size(node, size);
    Effect::new(move |_| {
        scene();
        let version = settings.palette_version.get();
        let (width, height) = size.get();
        let Some(canvas) = node.get() else { return };
        if width < 1.0 || height < 1.0 || frame_pending.get_value() {
            return;
        }
        frame_pending.set_value(true);
        let draw = draw.clone();
        request_animation_frame(move || {
            // The page may be gone by now.
            if frame_pending.try_set_value(false).is_some() {
                return;
            }
            untrack(|| {
                let (width, height) = size.get();
                let ratio = window().device_pixel_ratio().max(MIN_RATIO);
                resize(&canvas, (width * ratio).round() as u32, (height * ratio).round() as u32);
                let Some(backend) = CanvasBackend::with_canvas_object(canvas.clone()) else {
                    return;
                };
                colors.update_value(|colors| {
                    if colors.as_ref().is_none_or(|(known, _, _)| *known != version) {
                        *colors = Some((version, palette::read(), palette::font()));
                    }
                });
                colors.with_value(|colors| {
                    if let Some((_, palette, font)) = colors {
                        draw(&mut Surface {
                            backend,
                            ratio,
                            font,
                            palette,
                        });
                    }
                });
            });
        });
    });
    view! {
        <div class=format!("canvas {class}")>
            <canvas node_ref=node role="img" aria-label=move || label.get() data-testid=testid></canvas>
        </div>
    }
}

/// Setting a canvas's size clears it, also when it stays the same.
fn resize(canvas: &HtmlCanvasElement, width: u32, height: u32) {
    if canvas.width() != width {
        canvas.set_width(width);
    }
    if canvas.height() != height {
        canvas.set_height(height);
    }
}

fn watch_size(node: NodeRef<html::Canvas>, size: RwSignal<Size>) {
    let observer = StoredValue::new_local(None::<(ResizeObserver, Closure<dyn FnMut()>)>);
    Effect::new(move |_| {
        let Some(canvas) = node.get() else { return };
        let Some(parent) = canvas.parent_element() else { return };
        let measured = parent.clone();
        let measure = Closure::<dyn FnMut()>::new(move || {
            let next = (f64::from(measured.client_width()), f64::from(measured.client_height()));
            if size.try_get_untracked().is_some_and(|old| old != next) {
                size.set(next);
            }
        });
        if let Ok(resize) = ResizeObserver::new(measure.as_ref().unchecked_ref()) {
            resize.observe(&parent);
            observer.set_value(Some((resize, measure)));
        }
    });
    on_cleanup(move || {
        observer.try_update_value(|observer| {
            if let Some((resize, _)) = observer.take() {
                resize.disconnect();
            }
        });
    });
}
