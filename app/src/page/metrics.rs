//! Every series: searched, most anomalous first.

use crate::component::{Empty, Failed, HealthBadge, Skeleton, Sparkline, Symbol};
use crate::format;
use crate::state::live;
use crate::state::remote::remote;
use leptos::prelude::*;
use leptos_router::components::A;
use leptos_router::hooks::{use_navigate, use_query_map};
use wire::query::{Query, Reply};
use wire::series::{Health, SeriesSummary};

const LIMIT: u32 = 120;

#[component]
pub(crate) fn Metrics() -> impl IntoView {
    super::set_title(|| "Metrics".to_owned());
    let live = live();
    let query = use_query_map();
    let navigate = use_navigate();
    let search = Memo::new(move |_| query.with(|q| q.get("q").unwrap_or_default()));
    let found = remote(
        move || {
            Some(Query::SeriesList {
                search: search.get(),
                entity: None,
                limit: Some(LIMIT),
            })
        },
        move || live.pulse.get(),
        |reply| match reply {
            Reply::SeriesList(list) => Some(list),
            _ => None,
        },
    );
    // While the first answer to a new search is on its way, the old list stays: typing must not flicker.
    let shown = RwSignal::new(None::<Vec<SeriesSummary>>);
    Effect::new(move |_| {
        if let Some(list) = found.data.get() {
            shown.set(Some(list));
        }
    });
    let note = move || {
        let total = live.status.with(|s| s.series);
        shown.with(|s| {
            s.as_ref().map(|list| match list.len() as u64 {
                n if n >= u64::from(LIMIT) && total > n => {
                    format!(
                        "the {n} most anomalous of {}",
                        format::plural(total, "series", "series")
                    )
                }
                n => format!("{} of {}", format::count(n), format::plural(total, "series", "series")),
            })
        })
    };
    let state = Memo::new(move |_| {
        shown.with(|s| match s {
            None => State::Unknown,
            Some(list) if list.is_empty() => State::Empty,
            Some(_) => State::Some,
        })
    });
    view! {
        <div class="page">
            <header class="page__head">
                <h1>"Metrics"</h1>
                <p class="page__note num" data-testid="metric-count">{note}</p>
                <div class="page__tools">
                    <input
                        type="search"
                        class="field"
                        placeholder="Search entity, metric, label"
                        aria-label="Search metrics"
                        data-testid="metric-search"
                        prop:value=move || search.get()
                        on:input=move |event| {
                            let value = event_target_value(&event);
                            let value = (!value.is_empty()).then_some(value.as_str());
                            let path = query.with_untracked(|q| super::with_query("/series", q, "q", value));
                            navigate(
                                &path,
                                leptos_router::NavigateOptions { replace: true, scroll: false, ..Default::default() },
                            );
                        }
                    />
                </div>
            </header>
            <section class="card card--flush" aria-label="Series">
                {move || match (state.get(), found.error.get()) {
                    (State::Some, _) => view! {
                        <ul class="rows series-list" data-testid="series-list">
                            <For each=move || shown.get().unwrap_or_default() key=|s| s.info.id let:summary>
                                <SeriesRow first=summary shown />
                            </For>
                        </ul>
                    }
                    .into_any(),
                    (State::Empty, _) => view! {
                        <Empty
                            symbol=Symbol::Metric
                            title="No series"
                            text="Nothing matches, or nothing has been received yet: see Sources for how to send data."
                        />
                    }
                    .into_any(),
                    (State::Unknown, Some(error)) => view! { <Failed error /> }.into_any(),
                    (State::Unknown, None) => view! { <div class="pad"><Skeleton lines=10 /></div> }.into_any(),
                }}
            </section>
        </div>
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    Empty,
    Some,
}

/// One series. The row stays in place while its figures change, so that the focus of the keyboard does too.
#[component]
fn SeriesRow(first: SeriesSummary, shown: RwSignal<Option<Vec<SeriesSummary>>>) -> impl IntoView {
    let live = live();
    // Found out when it is asked for: the list may come before the entities do.
    let owner = first.info.entity.clone();
    let now = move || live.now_of(&live.source_of(&owner));
    let (id, name) = (first.info.id, super::metric_name(&first.info));
    let (entity, metric) = (first.info.entity.to_string(), first.info.quantity().into_owned());
    let summary = Memo::new(move |_| {
        let found = shown.with(|list| list.as_ref()?.iter().find(|s| s.info.id == id).cloned());
        found.unwrap_or_else(|| first.clone())
    });
    let health = Memo::new(move |_| summary.with(|s| s.health));
    let learning = move || {
        summary.with(|s| {
            if s.provisional.is_some() {
                return Some("provisional signal".to_owned());
            }
            (s.confidence < 1.0 && s.health != Health::Anomalous)
                .then(|| format!("baseline {} learnt", format::percent(f64::from(s.confidence))))
        })
    };
    let value = move || {
        summary.with(|s| {
            s.last_value
                .map_or_else(|| "–".to_owned(), |v| format::metric_value(&metric, v))
        })
    };
    view! {
        <li class="series-row" data-row="" data-testid="series-row" data-id=id.to_string()>
            {move || view! { <HealthBadge health=health.get() /> }}
            <A href=format!("/series/{id}") attr:class="series-row__name">
                <b>{entity}</b>
                <span>{name}</span>
            </A>
            <span class="series-row__note num">{learning}</span>
            {move || summary.with(|s| view! { <Sparkline values=s.spark.clone() health=s.health /> })}
            <span class="series-row__value num">{value}</span>
            <span class="series-row__age num">
                {move || format::relative(summary.with(|s| s.last_at), now())}
            </span>
        </li>
    }
}
