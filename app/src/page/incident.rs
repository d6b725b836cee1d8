use leptos::prelude::*;
#[component]
pub(crate) fn Incident() -> impl IntoView { view! { <div class="page"><h1>"Incident"</h1></div> } }
