//! One series: value, expected band, anomalies, what each model says, forecast, and the figures behind it.

mod point;

use crate::canvas::MetricChart;
use crate::clock;
use crate::component::{Empty, Failed, HealthBadge, HealthMark, Icon, Skeleton, Symbol};
use crate::format;
use crate::state::live;
use crate::state::remote::remote;
use leptos::prelude::*;
use leptos_router::components::A;
use leptos_router::hooks::{use_params_map, use_query_map};
use point::{DataTable, PointPanel};
use wire::query::{ApiError, ErrorKind, Query, Reply};
use wire::series::{Health, MemberEvidence, SeriesDetail};
use wire::{SeriesId, Timestamp};

/// Ranges to choose from: name in the address, label, milliseconds.
const RANGES: [(&str, &str, Option<i64>); 6] = [
    ("15m", "15 min", Some(15 * 60_000)),
    ("1h", "1 h", Some(3_600_000)),
    ("6h", "6 h", Some(6 * 3_600_000)),
    ("1d", "1 d", Some(24 * 3_600_000)),
    ("7d", "7 d", Some(7 * 24 * 3_600_000)),
    ("", "All", None),
];
const MAX_POINTS: u32 = 800;

#[component]
pub(crate) fn Metric() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|p| p.get("series").unwrap_or_default().parse::<SeriesId>()));
    move || match id.get() {
        Ok(id) => view! { <SeriesPage id /> }.into_any(),
        Err(message) => view! {
            <div class="page"><Failed error=ApiError::new(ErrorKind::Invalid, message) /></div>
        }
        .into_any(),
    }
}

#[component]
fn SeriesPage(id: SeriesId) -> impl IntoView {
    let live = live();
    let query = use_query_map();
    let range = Memo::new(move |_| query.with(|q| q.get("range").unwrap_or_default()));
    let span = Memo::new(move |_| {
        RANGES
            .iter()
            .find(|(name, ..)| *name == range.get())
            .and_then(|(.., span)| *span)
    });
    // A range ends at the newest sample of this series, which runs on its source's clock. Known after the first answer.
    let anchor = RwSignal::new(None::<Timestamp>);
    let detail = remote(
        move || {
            let from = span.get().zip(anchor.get()).map(|(span, newest)| newest - span);
            Some(Query::Series {
                id,
                from,
                to: None,
                max_points: Some(MAX_POINTS),
            })
        },
        move || live.pulse.get(),
        |reply| match reply {
            Reply::Series(detail) => Some(detail),
            _ => None,
        },
    );
    let shown = RwSignal::new(None::<SeriesDetail>);
    Effect::new(move |_| {
        if let Some(mut next) = detail.data.get() {
            let (newest, span) = (next.summary.last_at, span.get_untracked());
            // Asking again from a later start keeps the points as dense as the range deserves.
            let stale = anchor
                .get_untracked()
                .is_none_or(|a| span.is_some_and(|s| newest.millis_since(a) > s / 4));
            if stale {
                anchor.set(Some(newest));
            }
            trim(&mut next, span);
            shown.set(Some(next));
        }
    });
    let hover = RwSignal::new(None::<usize>);
    let title = Memo::new(move |_| {
        shown.with(|d| {
            d.as_ref()
                .map(|d| (d.summary.info.entity.to_string(), super::metric_name(&d.summary.info)))
        })
    });
    super::set_title(move || {
        title
            .get()
            .map_or_else(|| "Metric".to_owned(), |(entity, name)| format!("{entity} {name}"))
    });
    let ready = Memo::new(move |_| shown.with(Option::is_some));
    let empty = Memo::new(move |_| shown.with(|d| d.as_ref().is_some_and(|d| d.points.is_empty())));
    view! {
        <div class="page" data-testid="metric" data-id=id.to_string()>
            {move || match (ready.get(), detail.error.get()) {
                (false, Some(error)) => view! { <Failed error /> }.into_any(),
                (false, None) => view! { <Skeleton lines=8 /> }.into_any(),
                (true, _) => view! {
                    <Head shown title />
                    <section class="card" aria-label="Chart">
                        <Tools range id />
                        <Show
                            when=move || !empty.get()
                            fallback=|| view! { <Empty symbol=Symbol::Metric title="No samples in this range" text="Choose a longer range." /> }
                        >
                            <MetricChart detail=shown hover />
                        </Show>
                    </section>
                    <Explanation shown />
                    <PointPanel shown hover />
                    <DataTable shown />
                }.into_any(),
            }}
        </div>
    }
}

/// Cuts what lies before the range, when the first answer came before the newest sample was known.
fn trim(detail: &mut SeriesDetail, span: Option<i64>) {
    if let Some(span) = span {
        let from = detail.summary.last_at - span;
        detail.points.retain(|p| p.at >= from);
        detail.from = detail.from.max(from);
    }
}

#[component]
fn Head(shown: RwSignal<Option<SeriesDetail>>, title: Memo<Option<(String, String)>>) -> impl IntoView {
    let live = live();
    let summary = Memo::new(move |_| shown.with(|d| d.as_ref().map(|d| d.summary.clone())));
    let entity = move || title.get().map(|(entity, _)| entity).unwrap_or_default();
    view! {
        <header class="metric-head">
            <div>
                <A href="/series" attr:class="crumb" attr:data-command="back"><Icon symbol=Symbol::ChevronLeft />"Metrics"</A>
                <h1 data-testid="metric-title">{entity} " " {move || title.get().map(|(_, name)| name)}</h1>
                <div class="metric-head__facts">
                    {move || summary.get().map(|s| {
                        let (last_at, class) = (s.last_at, format!("{:?}", s.info.class).to_lowercase());
                        // The answer may come before the entities do: until then nothing says whose clock it runs on.
                        let (entity, owner) = (s.info.entity.clone(), s.info.entity.clone());
                        view! {
                            <HealthBadge health=s.health />
                            <A href=format!("/topology?entity={}", super::encode(s.info.entity.as_str())) attr:class="link">{s.info.entity.to_string()}</A>
                            <span>{class}</span>
                            <span class="num">"every " {format::duration(s.info.step_ms)}</span>
                            <span>{move || live.loaded.get().then(|| live.source_of(&entity))}</span>
                            <span class="num">{move || live.loaded.get().then(|| format::relative(last_at, live.now_of_entity(&owner)))}</span>
                        }
                    })}
                </div>
            </div>
            <div class="metric-head__value num" data-testid="metric-value">
                <b>
                    {move || summary.get().map(|s| s.last_value.map_or_else(|| "–".to_owned(), |v| format::metric_value(&s.info.quantity(), v)))}
                </b>
                <span class="card__quiet">
                    {move || shown.with(|d| d.as_ref().map(|d| format!(
                        "score {} · threshold {}",
                        format::si(f64::from(d.summary.score)),
                        format::si(f64::from(d.threshold))
                    )))}
                </span>
            </div>
        </header>
    }
}

#[component]
fn Tools(range: Memo<String>, id: SeriesId) -> impl IntoView {
    view! {
        <div class="metric-tools">
            <div class="segments" role="group" aria-label="Range" data-testid="ranges">
                {RANGES
                    .map(|(name, label, _)| {
                        let href = if name.is_empty() { format!("/series/{id}") } else { format!("/series/{id}?range={name}") };
                        view! {
                            <a
                                href=href
                                aria-current=move || (range.get() == name).then_some("true")
                                data-testid=format!("range-{}", if name.is_empty() { "all" } else { name })
                            >
                                {label}
                            </a>
                        }
                    })
                    .collect_view()}
            </div>
            <div class="legend" aria-hidden="true">
                <span class="legend__item"><i class="key key--line"></i>"Observed"</span>
                <span class="legend__item"><i class="key key--band"></i>"Expected"</span>
                <span class="legend__item"><i class="key key--anomaly"></i>"Anomaly"</span>
                <span class="legend__item"><i class="key key--forecast"></i>"Forecast"</span>
                <span class="legend__item"><i class="key key--deploy"></i>"Deploy"</span>
            </div>
        </div>
    }
}

/// The sentence, and how far the baseline may be trusted.
#[component]
fn Explanation(shown: RwSignal<Option<SeriesDetail>>) -> impl IntoView {
    let sentence = Memo::new(move |_| shown.with(|d| d.as_ref().map(|d| (d.summary.health, d.explanation.clone()))));
    let learning = Memo::new(move |_| {
        shown.with(|d| {
            d.as_ref()
                .filter(|d| d.summary.confidence < 1.0)
                .map(|d| (d.seen, d.needed, d.summary.confidence))
        })
    });
    let provisional = Memo::new(move |_| shown.with(|d| d.as_ref().and_then(|d| d.summary.provisional)));
    // Of the last sample while it is an anomaly, of the last anomaly afterwards: people come here once it is over.
    let saw = Memo::new(move |_| {
        shown.with(|d| {
            let d = d.as_ref()?;
            let now = d.evidence.as_ref().filter(|e| e.anomaly);
            let members = &now.or(d.last_anomaly.as_ref())?.members;
            (!members.is_empty()).then(|| (now.is_some(), members.clone()))
        })
    });
    let earlier = Memo::new(move |_| {
        shown.with(|d| {
            let anomaly = d.as_ref().and_then(|d| d.last_anomaly.as_ref());
            anomaly.map(|e| (e.at, e.sentence.clone()))
        })
    });
    view! {
        <section class="card" aria-label="Explanation">
            {move || sentence.get().map(|(health, text)| view! {
                <p class="sentence" data-testid="explanation">
                    <HealthMark health />
                    <span>{if text.is_empty() { unexplained(health).to_owned() } else { text }}</span>
                </p>
            })}
            {move || provisional.get().map(|since| view! {
                <p class="provisional" data-testid="provisional">
                    "Provisional since " {format::date_clock(since, clock::zone_offset_minutes(since.as_millis()))}
                    ": the ensemble has not confirmed it, and nobody is paged for it"
                </p>
            })}
            {move || earlier.get().map(|(at, sentence)| view! {
                <p class="saw" data-testid="last-anomaly">
                    <b>"Last anomaly, " {format::date_clock(at, clock::zone_offset_minutes(at.as_millis()))} ": "</b>
                    {sentence}
                </p>
            })}
            {move || saw.get().map(|(now, members)| view! {
                <section class="saw" data-testid="members-saw">
                    <h3>{if now { "What each model sees" } else { "What each model saw then" }}</h3>
                    <ul>{members.into_iter().map(member_saw).collect_view()}</ul>
                </section>
            })}
            {move || learning.get().map(|(seen, needed, confidence)| {
                let share = if needed > 0 { (seen as f64 / needed as f64).min(1.0) } else { f64::from(confidence) };
                view! {
                    <div class="learning" data-testid="learning">
                        <span>"Learning: " <b class="num">{format::count(seen.min(needed))}</b> " of " <b class="num">{format::count(needed)}</b> " samples"</span>
                        <span class="progress" aria-hidden="true"><i style:width=format!("{:.0}%", share * 100.0)></i></span>
                        <span class="card__quiet">{format::percent(f64::from(confidence))} " confidence: the band is provisional"</span>
                    </div>
                }
            })}
        </section>
    }
}

fn member_saw(member: MemberEvidence) -> impl IntoView {
    let says = if member.vote { "anomalous" } else { "normal" };
    view! {
        <li data-testid="member-saw">
            <b>{member.member}</b>
            <span>{member.saw}</span>
            <span class="vote__says" class:vote__says--yes=member.vote>{says}</span>
        </li>
    }
}

fn unexplained(health: Health) -> &'static str {
    match health {
        Health::Unknown => "Not enough samples to say what is normal",
        Health::Ok => "Within what is expected",
        Health::Watch => "One model objects, or a limit is near",
        Health::Anomalous => "At least two models agree that this is anomalous",
        Health::Silent => "It should report and does not",
    }
}
