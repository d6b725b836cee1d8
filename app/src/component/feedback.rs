//! What stands where data does not: nothing yet, nothing at all, or an error.

use super::{Icon, Symbol};
use crate::state::{Connection, live};
use leptos::prelude::*;
use wire::query::{ApiError, ErrorKind};

/// There is nothing to show, and that is fine.
#[component]
pub(crate) fn Empty(
    symbol: Symbol,
    #[prop(into)] title: String,
    #[prop(into)] text: String,
    #[prop(default = "empty")] testid: &'static str,
) -> impl IntoView {
    view! {
        <div class="empty" data-testid=testid>
            <Icon symbol />
            <p class="empty__title">{title}</p>
            <p class="empty__text">{text}</p>
        </div>
    }
}

/// An answer did not come: what, and what to do.
#[component]
pub(crate) fn Failed(error: ApiError) -> impl IntoView {
    let title = match error.kind {
        ErrorKind::NotFound => "Not found",
        ErrorKind::Forbidden => "Not allowed",
        ErrorKind::Unavailable => "Not reachable",
        ErrorKind::Invalid => "Not understood",
        ErrorKind::Conflict => "Changed meanwhile",
        ErrorKind::Internal => "Something went wrong",
    };
    view! {
        <div class="empty empty--error" role="alert" data-testid="error">
            <Icon symbol=Symbol::Incident />
            <p class="empty__title">{title}</p>
            <p class="empty__text">{error.message}</p>
        </div>
    }
}

/// Grey lines where text will be.
#[component]
pub(crate) fn Skeleton(#[prop(default = 4)] lines: usize) -> impl IntoView {
    view! {
        <div class="skeleton" aria-busy="true" aria-label="Loading" data-testid="loading">
            {(0..lines).map(|_| view! { <span></span> }).collect_view()}
        </div>
    }
}

/// Shows its content once the first snapshot has come.
#[component]
pub(crate) fn Waiting(children: ChildrenFn) -> impl IntoView {
    let live = live();
    view! {
        <Show
            when=move || live.loaded.get()
            fallback=move || {
                let lost = move || matches!(live.connection.get(), Connection::Lost { attempt, .. } if attempt > 1);
                view! {
                    <Show when=lost fallback=|| view! { <Skeleton lines=6 /> }>
                        <Empty
                            symbol=Symbol::Power
                            title="Waiting for the engine"
                            text="The console reconnects by itself as soon as halo answers."
                            testid="disconnected"
                        />
                    </Show>
                }
            }
        >
            {children()}
        </Show>
    }
}
