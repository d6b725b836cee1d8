use leptos::prelude::*;
#[component]
pub(crate) fn Topology() -> impl IntoView { view! { <div class="page"><h1>"Topology"</h1></div> } }
