//! Who was told of an incident and why, or why nobody was.

use crate::clock;
use crate::component::{Icon, Symbol};
use crate::format;
use crate::page::notifications::DeliveryRow;
use crate::state::live;
use crate::state::remote::remote;
use leptos::prelude::*;
use wire::incident::IncidentSummary;
use wire::notify::{Decision, Notifications};
use wire::query::{Query, Reply};

#[component]
pub(super) fn Told(summary: Memo<Option<IncidentSummary>>) -> impl IntoView {
    let live = live();
    let id = Memo::new(move |_| summary.with(|s| s.as_ref().map(|s| s.id.clone())));
    let told = remote(
        move || id.get().map(|incident| Query::Notifications { incident }),
        move || live.beats(),
        |reply| match reply {
            Reply::Notifications(told) => Some(told),
            _ => None,
        },
    );
    let part =
        move |f: fn(&Notifications) -> bool| Memo::new(move |_| told.data.with(|told| told.as_ref().is_some_and(f)));
    let has_deliveries = part(|told| !told.deliveries.is_empty());
    let has_decisions = part(|told| !told.decisions.is_empty());
    view! {
        <section class="card" aria-labelledby="told" data-testid="told">
            <h2 class="card__title" id="told">"Who was told"</h2>
            <p data-testid="told-summary">
                {move || told.data.with(|told| told.as_ref().map(|told| told.summary.clone()))}
            </p>
            <Show when=move || has_deliveries.get()>
                <ul class="rows deliveries">
                    {move || {
                        let deliveries = told.data.with(|t| t.as_ref().map(|t| t.deliveries.clone()).unwrap_or_default());
                        deliveries.into_iter().map(|delivery| view! { <DeliveryRow delivery /> }).collect_view()
                    }}
                </ul>
            </Show>
            <Show when=move || has_decisions.get()>
                <details class="why" data-testid="decisions">
                    <summary>"Why"</summary>
                    <ol>
                        {move || {
                            let decisions = told.data.with(|t| t.as_ref().map(|t| t.decisions.clone()).unwrap_or_default());
                            decisions.into_iter().map(|decision| view! { <DecisionRow decision /> }).collect_view()
                        }}
                    </ol>
                </details>
            </Show>
        </section>
    }
}

#[component]
fn DecisionRow(decision: Decision) -> impl IntoView {
    let (symbol, word) = if decision.passed {
        (Symbol::Check, "passed")
    } else {
        (Symbol::Close, "stopped")
    };
    view! {
        <li class="why__step" data-testid="decision">
            <time class="num">{format::clock(decision.at, clock::zone_offset_minutes(decision.at.as_millis()))}</time>
            <span class:why__step--stopped=!decision.passed title=word>
                <Icon symbol />
                <span class="visually-hidden">{word}</span>
            </span>
            <p><b>{decision.stage.as_str()} ": "</b> {decision.text}</p>
        </li>
    }
}
