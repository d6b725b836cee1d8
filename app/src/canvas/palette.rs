//! The style tokens as the browser resolves them now.

use chart::Palette;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

/// Reads the tokens through a probe element: a custom property by itself reads back as its text, `light-dark(…)` unresolved.
pub(super) fn read() -> Palette {
    let document = document();
    let Some(body) = document.body() else {
        return Palette::default();
    };
    let Some(probe) = document
        .create_element("i")
        .ok()
        .and_then(|e| e.dyn_into::<HtmlElement>().ok())
    else {
        return Palette::default();
    };
    if body.append_child(&probe).is_err() {
        return Palette::default();
    }
    let palette = Palette::from_tokens(|token| {
        probe.style().set_property("color", &format!("var({token})")).ok()?;
        window()
            .get_computed_style(&probe)
            .ok()??
            .get_property_value("color")
            .ok()
    });
    probe.remove();
    palette
}

/// The console's font, as canvases want it.
pub(super) fn font() -> String {
    let family = document()
        .body()
        .and_then(|body| window().get_computed_style(&body).ok().flatten())
        .and_then(|style| style.get_property_value("font-family").ok());
    family
        .filter(|f| !f.is_empty())
        .unwrap_or_else(|| "sans-serif".to_owned())
}
