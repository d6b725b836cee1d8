//! No such page.

use crate::component::{Empty, Symbol};
use leptos::prelude::*;
use leptos_router::components::A;

#[component]
pub(crate) fn NotFound() -> impl IntoView {
    super::set_title(|| "Not found".to_owned());
    view! {
        <div class="page page--narrow">
            <Empty symbol=Symbol::Search title="There is no such page" text="The address may be from another version of Halo." />
            <p class="center"><A href="/" attr:class="button">"Go to Now"</A></p>
        </div>
    }
}
