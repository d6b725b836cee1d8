//! One incident: what happened, why, whom it touches, what can be done.

mod evidence;
mod grouping;
mod manage;
mod story;
mod told;

use crate::clock;
use crate::component::{Failed, Icon, IncidentStateBadge, SeverityBadge, Skeleton, Stat, Symbol};
use crate::format;
use crate::state::remote::{remote, slice};
use crate::state::{Live, live};
use evidence::{Evidence, Members, Proposals};
use grouping::Grouping;
use leptos::prelude::*;
use leptos_router::components::A;
use leptos_router::hooks::use_params_map;
use manage::{Comment, Manage};
use story::{Causes, StoryCard, Timeline};
use told::Told;
use wire::IncidentId;
use wire::command::Command;
use wire::incident::{IncidentDetail, IncidentState, IncidentSummary, Verdict};
use wire::query::{Query, Reply};

#[component]
pub(crate) fn Incident() -> impl IntoView {
    let live = live();
    let params = use_params_map();
    let id = Memo::new(move |_| IncidentId(params.with(|p| p.get("id").unwrap_or_default())));
    let summary = Memo::new(move |_| {
        live.incidents
            .with(|all| all.iter().find(|i| i.id == id.get()).cloned())
    });
    let revision = Memo::new(move |_| summary.with(|s| s.as_ref().map_or(0, |s| s.revision)));
    let detail = remote(
        move || Some(Query::Incident { id: id.get() }),
        move || revision.get(),
        |reply| match reply {
            Reply::Incident(detail) => Some(detail),
            _ => None,
        },
    );
    super::set_title(move || id.get().to_string());
    let ready = Memo::new(move |_| detail.data.with(Option::is_some));
    view! {
        <div class="page" data-testid="incident" data-id=move || id.get().to_string()>
            {move || match (ready.get(), detail.error.get()) {
                (true, _) => {
                    let detail = Memo::new(move |_| detail.data.get());
                    view! { <Content detail summary /> }.into_any()
                }
                (false, Some(error)) => view! { <Failed error /> }.into_any(),
                (false, None) => view! { <Skeleton lines=8 /> }.into_any(),
            }}
        </div>
    }
}

/// Each part reads its own slice of the detail, so that a new member does not redraw the charts.
#[component]
fn Content(detail: Memo<Option<IncidentDetail>>, summary: Memo<Option<IncidentSummary>>) -> impl IntoView {
    // The list knows of a change before the refetched detail does.
    let summary = Memo::new(move |_| {
        summary
            .get()
            .or_else(|| detail.with(|d| d.as_ref().map(|d| d.summary.clone())))
    });
    view! {
        <Head summary />
        <Counters summary />
        <div class="incident">
            <div class="incident__main">
                <StoryCard story=Memo::new(move |_| detail.with(|d| d.as_ref().map(|d| d.story.clone()))) />
                <Evidence detail />
                <Members members=slice(detail, |d| d.members.clone()) />
            </div>
            <div class="incident__side">
                <Proposals ids=slice(detail, |d| d.proposals.clone()) />
                <super::topology::Around detail />
                <Causes causes=slice(detail, |d| d.causes.clone()) />
                <Manage summary />
                <Grouping detail />
                <Told summary />
                <Timeline entries=slice(detail, |d| d.timeline.clone())>
                    <Comment summary />
                </Timeline>
                <Feedback summary />
            </div>
        </div>
    }
}

#[component]
fn Head(summary: Memo<Option<IncidentSummary>>) -> impl IntoView {
    let live = live();
    move || {
        let incident = summary.get()?;
        let (acknowledge, resolve) = (incident.id.clone(), incident.id.clone());
        let (state, source) = (incident.state, incident.source.clone());
        let started = format::date_clock(
            incident.started,
            clock::zone_offset_minutes(incident.started.as_millis()),
        );
        Some(view! {
            <header class="incident-head">
                <div class="incident-head__line">
                    <A href="/incidents" attr:class="crumb" attr:data-command="back">
                        <Icon symbol=Symbol::ChevronLeft />
                        "Incidents"
                    </A>
                    <span class="mono" data-testid="incident-id">{incident.id.to_string()}</span>
                    <SeverityBadge severity=incident.severity />
                    <IncidentStateBadge state />
                    <span class="card__quiet num">"since " {started} " · " {source}</span>
                </div>
                <div class="incident-head__line">
                    <h1 data-testid="incident-title">{incident.title.clone()}</h1>
                    <span class="top__gap"></span>
                    {(state == IncidentState::Open).then(|| view! {
                        <button
                            class="button"
                            data-command="acknowledge"
                            data-testid="acknowledge"
                            disabled=move || !live.may_operate()
                            on:click=move |_| live.order(Command::Acknowledge { incident: acknowledge.clone() })
                        >
                            <Icon symbol=Symbol::Check />
                            "Acknowledge"
                            <kbd>"a"</kbd>
                        </button>
                    })}
                    {(state != IncidentState::Resolved).then(|| view! {
                        <button
                            class="button"
                            data-command="resolve"
                            data-testid="resolve"
                            disabled=move || !live.may_operate()
                            on:click=move |_| live.order(Command::Resolve { incident: resolve.clone() })
                        >
                            "Resolve"
                            <kbd>"r"</kbd>
                        </button>
                    })}
                </div>
            </header>
        })
    }
}

#[component]
fn Counters(summary: Memo<Option<IncidentSummary>>) -> impl IntoView {
    let live = live();
    let figure = move |f: fn(&Live, &IncidentSummary) -> String| {
        Signal::derive(move || summary.with(|s| s.as_ref().map(|s| f(&live, s)).unwrap_or_default()))
    };
    view! {
        <section class="stats" aria-label="Figures">
            <Stat
                label="Duration"
                value=figure(|live, i| {
                    format::duration(i.ended.unwrap_or_else(|| live.now_of(&i.source)).millis_since(i.started))
                })
                note=figure(|_, i| if i.ended.is_some() { "over".to_owned() } else { "and counting".to_owned() })
                testid="incident-duration"
            />
            <Stat
                label="Likely real"
                value=figure(|_, i| likelihood(i.chance))
                note=figure(|_, _| "chance that it is no false alarm".to_owned())
                testid="incident-chance"
            />
            <Stat
                label="Probable cause"
                value=figure(|_, i| i.cause.as_ref().map_or_else(|| "No single cause".to_owned(), |c| c.to_string()))
                note=figure(|_, i| format!("{} confidence", format::percent(f64::from(i.confidence))))
                text=true
                testid="incident-cause"
            />
            <Stat
                label="Alerts gathered"
                value=figure(|_, i| format::count(i.alerts))
                note=figure(|_, i| format!("from {}", format::plural(u64::from(i.members), "metric", "metrics")))
                testid="incident-alerts"
            />
            <Stat
                label="Entities affected"
                value=figure(|_, i| i.entities.to_string())
                note=figure(|_, i| format!("revision {}", i.revision))
                testid="incident-entities"
            />
        </section>
    }
}

/// Incidents from before chances were kept have none. Nothing is said to be certain.
fn likelihood(chance: f32) -> String {
    if chance <= 0.0 {
        "–".to_owned()
    } else {
        format::percent(f64::from(chance).clamp(0.01, 0.99))
    }
}

/// A person's word, which moves the threshold of the metric class.
#[component]
fn Feedback(summary: Memo<Option<IncidentSummary>>) -> impl IntoView {
    let live = live();
    let given = Memo::new(move |_| summary.with(|s| s.as_ref().and_then(|s| s.feedback)));
    let give = move |verdict| {
        if let Some(incident) = summary.with_untracked(|s| s.as_ref().map(|s| s.id.clone())) {
            live.order(Command::Feedback {
                incident,
                verdict,
                note: String::new(),
            });
        }
    };
    view! {
        <section class="card" aria-labelledby="feedback">
            <h2 class="card__title" id="feedback">"Was this right?"</h2>
            <div class="feedback" role="group" aria-label="Feedback">
                {[
                    (Verdict::Useful, Symbol::ThumbUp, "Useful", "useful"),
                    (Verdict::WrongCause, Symbol::Swap, "Wrong cause", "wrong-cause"),
                    (Verdict::FalseAlarm, Symbol::BellOff, "False alarm", "false-alarm"),
                ]
                    .map(|(verdict, symbol, label, testid)| {
                        view! {
                            <button
                                class="button button--quiet"
                                aria-pressed=move || (given.get() == Some(verdict)).to_string()
                                disabled=move || !live.may_operate()
                                data-testid=format!("feedback-{testid}")
                                on:click=move |_| give(verdict)
                            >
                                <Icon symbol />
                                {label}
                            </button>
                        }
                    })
                    .collect_view()}
            </div>
            <p class="card__quiet">"Your answer moves the threshold of metrics of this kind"</p>
        </section>
    }
}
