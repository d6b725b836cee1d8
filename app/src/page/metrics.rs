use leptos::prelude::*;
#[component]
pub(crate) fn Metrics() -> impl IntoView { view! { <div class="page"><h1>"Metrics"</h1></div> } }
