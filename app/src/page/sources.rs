use leptos::prelude::*;
#[component]
pub(crate) fn Sources() -> impl IntoView { view! { <div class="page"><h1>"Sources"</h1></div> } }
