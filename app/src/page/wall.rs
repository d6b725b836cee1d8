use leptos::prelude::*;
#[component]
pub(crate) fn Wall() -> impl IntoView { view! { <div class="page"><h1>"Wall"</h1></div> } }
