use leptos::prelude::*;
#[component]
pub(crate) fn Metric() -> impl IntoView { view! { <div class="page"><h1>"Metric"</h1></div> } }
