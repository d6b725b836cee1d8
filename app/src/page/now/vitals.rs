//! The vital signs of the machine that Halo runs on.

use crate::component::{Skeleton, Sparkline};
use crate::format;
use crate::state::live;
use crate::state::remote::{Remote, remote};
use leptos::prelude::*;
use leptos_router::components::A;
use wire::query::{Query, Reply};
use wire::series::SeriesSummary;
use wire::topology::EntityKind;

/// The host's own vital signs, live.
#[component]
pub(super) fn HostVitals() -> impl IntoView {
    let live = live();
    let host = Memo::new(move |_| {
        live.entities.with(|all| {
            all.iter()
                .find(|e| e.kind == EntityKind::Host && e.source == "host")
                .map(|e| e.id.clone())
        })
    });
    let series = remote(
        move || {
            host.get().map(|entity| Query::SeriesList {
                search: String::new(),
                entity: Some(entity),
                limit: Some(64),
            })
        },
        move || live.pulse.get(),
        |reply| match reply {
            Reply::SeriesList(list) => Some(vitals(list)),
            _ => None,
        },
    );
    view! {
        <Show when=move || host.get().is_some()>
            <section class="card" aria-labelledby="host-vitals" data-testid="host-vitals">
                <div class="card__head">
                    <h2 class="card__title" id="host-vitals">"This host"</h2>
                    <span class="card__quiet mono">{move || host.get().map(|h| h.to_string())}</span>
                </div>
                <ul class="vitals">
                    <Show when=move || series.data.with(Option::is_some) fallback=|| view! { <Skeleton lines=4 /> }>
                        <For each=move || series.data.get().unwrap_or_default() key=|s| s.info.id let:summary>
                            <Vital first=summary series />
                        </For>
                    </Show>
                </ul>
            </section>
        </Show>
    }
}

#[component]
fn Vital(first: SeriesSummary, series: Remote<Vec<SeriesSummary>>) -> impl IntoView {
    let (id, name, metric) = (
        first.info.id,
        crate::page::metric_name(&first.info),
        first.info.quantity().into_owned(),
    );
    let summary = Memo::new(move |_| {
        let found = series
            .data
            .with(|list| list.as_ref()?.iter().find(|s| s.info.id == id).cloned());
        found.unwrap_or_else(|| first.clone())
    });
    let value = move || {
        summary.with(|s| {
            s.last_value
                .map_or_else(|| "–".to_owned(), |v| format::metric_value(&metric, v))
        })
    };
    view! {
        <li>
            <A href=format!("/series/{id}") attr:class="vital">
                <span class="vital__name">{name}</span>
                {move || summary.with(|s| view! { <Sparkline values=s.spark.clone() health=s.health /> })}
                <span class="vital__value num">{value}</span>
            </A>
        </li>
    }
}

/// At most six, the ones everybody looks for first.
fn vitals(list: Vec<SeriesSummary>) -> Vec<SeriesSummary> {
    let wanted = [
        "cpu_usage",
        "load1",
        "memory_used_percent",
        "swap_used",
        "disk_used",
        "network_receive",
    ];
    let mut chosen: Vec<SeriesSummary> = Vec::new();
    for word in wanted {
        let candidate = list
            .iter()
            .filter(|s| s.info.metric.contains(word) && s.last_value.is_some())
            .min_by_key(|s| (s.info.labels.clone(), s.info.metric.clone()));
        if let Some(summary) = candidate
            && chosen.iter().all(|c| c.info.id != summary.info.id)
        {
            chosen.push(summary.clone());
        }
    }
    chosen
}
