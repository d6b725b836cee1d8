//! What is refused to protect the rest, and whether samples can be kept. Shown only while there is something to tell.

use crate::component::{Icon, Symbol};
use crate::format;
use crate::state::live;
use leptos::prelude::*;
use wire::protection::{Explosion, Refusing};

#[component]
pub(super) fn ProtectionCard() -> impl IntoView {
    let live = live();
    let protection = Memo::new(move |_| live.status.with(|s| s.protection.clone()));
    let has_news = move || {
        protection.with(|p| {
            let storage = &p.storage;
            !p.explosions.is_empty()
                || storage.refusing.is_some()
                || !storage.damage.is_empty()
                || !storage.torn.is_empty()
        })
    };
    view! {
        <Show when=has_news>
            <section class="card protection" aria-labelledby="protection" data-testid="protection">
                <h2 class="card__title" id="protection">"Data quality"</h2>
                {move || protection.with(|p| p.storage.refusing.clone()).map(|refusing| view! { <NotKept refusing /> })}
                <ul class="rows">
                    {move || protection.with(|p| p.explosions.clone()).into_iter()
                        .map(|explosion| view! { <ExplosionLine explosion /> })
                        .collect_view()}
                    {move || protection.with(|p| p.storage.damage.clone()).into_iter()
                        .map(|text| view! { <LogLine word="Log damaged" text /> })
                        .collect_view()}
                    {move || protection.with(|p| p.storage.torn.clone()).into_iter()
                        .map(|text| view! { <LogLine word="Cut off by a crash" text /> })
                        .collect_view()}
                </ul>
            </section>
        </Show>
    }
}

#[component]
fn NotKept(refusing: Refusing) -> impl IntoView {
    let live = live();
    view! {
        <p class="banner banner--danger" role="alert" data-testid="not-kept">
            <Icon symbol=Symbol::Incident />
            "Samples are refused since " {move || format::relative(refusing.since, live.now())} ": " {refusing.problem.clone()}
        </p>
    }
}

#[component]
fn ExplosionLine(explosion: Explosion) -> impl IntoView {
    let live = live();
    let word = if explosion.active {
        "Series explode"
    } else {
        "Series exploded"
    };
    let samples = format::plural(explosion.refused, "sample", "samples");
    let last = explosion.last_at;
    view! {
        <li class="protection__line" data-testid="explosion" data-active=explosion.active.to_string()>
            <b>{word}</b>
            <span class="card__quiet">
                {explosion.source.clone()} ", " {samples} " refused, last " {move || format::relative(last, live.now())}
            </span>
            <p>{explosion.text.clone()}</p>
        </li>
    }
}

#[component]
fn LogLine(word: &'static str, text: String) -> impl IntoView {
    view! {
        <li class="protection__line" data-testid="log-damage">
            <b>{word}</b>
            <p>{text}</p>
        </li>
    }
}
