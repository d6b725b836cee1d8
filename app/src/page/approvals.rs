use leptos::prelude::*;
#[component]
pub(crate) fn Approvals() -> impl IntoView { view! { <div class="page"><h1>"Approvals"</h1></div> } }
