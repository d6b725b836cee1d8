//! One figure and what it means.

use leptos::prelude::*;

/// A tile with a figure. `tone` colours it: `p1`, `ok`, `accent` …
#[component]
pub(crate) fn Stat(
    label: &'static str,
    #[prop(into)] value: Signal<String>,
    #[prop(into, optional)] note: Signal<String>,
    #[prop(into, optional)] tone: Signal<&'static str>,
    #[prop(optional)] testid: &'static str,
) -> impl IntoView {
    view! {
        <div class="stat" data-tone=move || tone.get() data-testid=testid>
            <span class="stat__label">{label}</span>
            <span class="stat__value num">{move || value.get()}</span>
            <span class="stat__note">{move || note.get()}</span>
        </div>
    }
}
