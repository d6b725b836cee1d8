//! One figure and what it means.

use leptos::prelude::*;

/// A tile with a figure. `tone` colours it: `p1`, `ok`, `accent` …
#[component]
pub(crate) fn Stat(
    label: &'static str,
    #[prop(into)] value: Signal<String>,
    #[prop(into, optional)] note: Signal<String>,
    #[prop(into, optional)] tone: Signal<&'static str>,
    /// A name rather than a figure: smaller, and whole on hover.
    #[prop(optional)]
    text: bool,
    #[prop(optional)] testid: &'static str,
) -> impl IntoView {
    view! {
        <div class="stat" data-tone=move || tone.get() data-testid=testid>
            <span class="stat__label">{label}</span>
            <span class="stat__value num" class:stat__value--text=text title=move || text.then(|| value.get())>
                {move || value.get()}
            </span>
            <span class="stat__note">{move || note.get()}</span>
        </div>
    }
}
