//! The display in the operations room: no chrome, readable from five metres, never blank.

use crate::clock;
use crate::component::{HealthMark, SeverityMark, health_class, health_word, severity_class, source_state};
use crate::format;
use crate::state::{Connection, live};
use leptos::prelude::*;
use wire::incident::{IncidentSummary, Severity};
use wire::prediction::Prediction;
use wire::series::Health;
use wire::topology::{Entity, EntityKind};

/// Rows that fit at 1920x1080 without scrolling.
const MAX_INCIDENTS: usize = 5;
const MAX_PREDICTIONS: usize = 4;
const MAX_TILES: usize = 30;

#[component]
pub(crate) fn Wall() -> impl IntoView {
    super::set_title(|| "Wall".to_owned());
    view! {
        <main class="wall" data-testid="wall" tabindex="-1">
            <leptos_router::components::A href="/" attr:class="visually-hidden" attr:data-command="back">"Leave the wall"</leptos_router::components::A>
            <Clocks />
            <Figures />
            <div class="wall__body">
                <OpenIncidents />
                <Predicted />
                <Services />
            </div>
            <Foot />
        </main>
    }
}

#[component]
fn Clocks() -> impl IntoView {
    let live = live();
    let zone = |at: wire::Timestamp| clock::zone_offset_minutes(at.as_millis());
    let replay = move || {
        live.replay_clock()
            .map(|at| format!("{} {}", format::date(at, zone(at)), format::clock(at, zone(at))))
    };
    let speed = move || {
        live.status.with(|s| {
            s.replay.as_ref().map(|r| match r.phase.as_str() {
                "finished" => "Replay finished".to_owned(),
                _ => format!("Replay ×{}", format::si(r.speed)),
            })
        })
    };
    let alarm = move || match live.connection.get() {
        Connection::Live => None,
        Connection::Connecting => Some("Connecting".to_owned()),
        Connection::Lost { .. } => Some("Not connected: this is old".to_owned()),
        Connection::Incompatible { .. } => Some("Incompatible engine".to_owned()),
    };
    view! {
        <header class="wall__head">
            <div class="wall__clock" data-testid="wall-clock">
                <span class="num">{move || { let now = live.now(); format::clock(now, zone(now)) }}</span>
                <small>{move || { let now = live.now(); format!("{} · {}", format::date(now, zone(now)), format::zone(zone(now))) }}</small>
            </div>
            {move || alarm().map(|text| view! { <div class="wall__alarm" role="alert" data-testid="wall-disconnected">{text}</div> })}
            <Show when=move || live.status.with(|s| s.replay.is_some())>
                <div class="wall__clock wall__clock--replay" data-testid="wall-replay">
                    <span class="num">{replay}</span>
                    <small>{speed}</small>
                </div>
            </Show>
        </header>
    }
}

#[component]
fn Figures() -> impl IntoView {
    let live = live();
    let open = Memo::new(move |_| live.open_incidents());
    let count = move |severity: Severity| open.with(|open| open.iter().filter(|i| i.severity == severity).count());
    let figures = [Severity::P1, Severity::P2, Severity::P3, Severity::P4];
    view! {
        <section class="wall__figures" aria-label="Figures">
            {figures
                .map(|severity| {
                    view! {
                        <div
                            class="wall__figure"
                            data-tone=move || (count(severity) > 0).then(|| severity_class(severity))
                            data-testid=format!("wall-{}", severity_class(severity))
                        >
                            <span class="num">{move || count(severity)}</span>
                            <small><SeverityMark severity /> {severity_class(severity).to_uppercase()}</small>
                        </div>
                    }
                })
                .collect_view()}
            <div class="wall__figure" data-tone=move || if live.pending_proposals().is_empty() { "" } else { "accent" }>
                <span class="num">{move || live.pending_proposals().len()}</span>
                <small>"Approvals"</small>
            </div>
            <div class="wall__figure wall__figure--wide">
                <span class="num">
                    {move || live.status.with(|s| match s.alerts {
                        0 => "–".to_owned(),
                        alerts => format::percent(1.0 - s.incidents as f64 / alerts as f64),
                    })}
                </span>
                <small>
                    "Less noise · "
                    {move || live.status.with(|s| format!("{} → {}", format::short_count(s.alerts), format::short_count(s.incidents)))}
                </small>
            </div>
            <div
                class="wall__figure wall__figure--wide"
                data-tone=move || if live.status.with(|s| s.kill_switch) { "p1" } else { "" }
                data-testid="wall-kill-switch"
            >
                <span>{move || if live.status.with(|s| s.kill_switch) { "Stopped" } else { "Armed" }}</span>
                <small>"Kill switch " {move || if live.status.with(|s| s.kill_switch) { "on" } else { "off" }}</small>
            </div>
        </section>
    }
}

#[component]
fn OpenIncidents() -> impl IntoView {
    let live = live();
    let open = Memo::new(move |_| live.open_incidents());
    let more = move || open.with(|o| o.len().saturating_sub(MAX_INCIDENTS));
    view! {
        <section class="wall__panel wall__panel--incidents" aria-label="Open incidents">
            <h2>"Open incidents"</h2>
            <Show
                when=move || !open.with(Vec::is_empty)
                fallback=|| view! {
                    <div class="wall__quiet" data-testid="wall-quiet"><HealthMark health=Health::Ok />"All quiet"</div>
                }
            >
                <ul>
                    {move || open.get().into_iter().take(MAX_INCIDENTS).map(|incident| view! { <WallIncident incident /> }).collect_view()}
                </ul>
                <Show when=move || { more() > 0 }><p class="wall__more">"and " {more} " more"</p></Show>
            </Show>
        </section>
    }
}

#[component]
fn WallIncident(incident: IncidentSummary) -> impl IntoView {
    let live = live();
    let (source, started) = (incident.source.clone(), incident.started);
    let class = severity_class(incident.severity);
    let state = format!("{:?}", incident.state);
    view! {
        <li class=format!("wall__incident wall__incident--{class}") data-testid="wall-incident" data-id=incident.id.to_string()>
            <span class="wall__severity"><SeverityMark severity=incident.severity />{class.to_uppercase()}</span>
            <div>
                <b>{incident.title}</b>
                <small>
                    {match incident.cause {
                        Some(cause) => format!("Cause {cause}, {}", format::percent(f64::from(incident.confidence))),
                        None => "No single cause".to_owned(),
                    }}
                    " · " {state}
                </small>
            </div>
            <span class="num wall__age">{move || format::duration(live.now_of(&source).millis_since(started))}</span>
        </li>
    }
}

#[component]
fn Predicted() -> impl IntoView {
    let live = live();
    let open = Memo::new(move |_| live.open_predictions());
    view! {
        <section class="wall__panel" aria-label="Predicted">
            <h2>"Predicted"</h2>
            <Show
                when=move || !open.with(Vec::is_empty)
                fallback=|| view! { <p class="wall__none">"Nothing is on its way to a limit"</p> }
            >
                <ul>
                    {move || open.get().into_iter().take(MAX_PREDICTIONS).map(|prediction| view! { <WallPrediction prediction /> }).collect_view()}
                </ul>
            </Show>
        </section>
    }
}

#[component]
fn WallPrediction(prediction: Prediction) -> impl IntoView {
    let live = live();
    let (entity, breach) = (prediction.entity.clone(), prediction.breach_at);
    view! {
        <li class="wall__prediction" data-testid="wall-prediction">
            <div>
                <b>{prediction.entity.to_string()}</b>
                <small>{prediction.metric} " · " {format::percent(f64::from(prediction.probability))} " likely"</small>
            </div>
            <span class="num wall__count">{move || format::countdown(breach, live.now_of_entity(&entity))}</span>
        </li>
    }
}

#[component]
fn Services() -> impl IntoView {
    let live = live();
    let tiles = Memo::new(move |_| {
        let mut list: Vec<(u8, Entity)> = live.entities.with(|all| {
            all.iter()
                .filter(|e| e.kind != EntityKind::Process)
                .map(|e| (order(e.health), e.clone()))
                .collect()
        });
        list.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
        list.into_iter().map(|(_, e)| e).collect::<Vec<_>>()
    });
    view! {
        <section class="wall__panel wall__panel--services" aria-label="Services">
            <h2>"Services"</h2>
            <ul class="wall__tiles" data-testid="wall-tiles">
                {move || tiles.get().into_iter().take(MAX_TILES).map(|entity| view! {
                    <li class=format!("wall__tile wall__tile--{}", health_class(entity.health)) data-health=health_class(entity.health)>
                        <HealthMark health=entity.health />
                        <b>{entity.id.to_string()}</b>
                        <small>{health_word(entity.health)}</small>
                    </li>
                }).collect_view()}
            </ul>
        </section>
    }
}

fn order(health: Health) -> u8 {
    match health {
        Health::Anomalous => 0,
        Health::Silent => 1,
        Health::Watch => 2,
        Health::Ok => 3,
        Health::Unknown => 4,
    }
}

#[component]
fn Foot() -> impl IntoView {
    let live = live();
    let sources = Memo::new(move |_| live.status.with(|s| s.sources.clone()));
    view! {
        <footer class="wall__foot">
            {move || sources.get().into_iter().map(|source| {
                let (class, word) = source_state(source.state);
                let last = source.last_seen;
                view! {
                    <span class="wall__source" data-testid="wall-source" data-state=class>
                        <span class=format!("pulse pulse--{class}") aria-hidden="true"></span>
                        <b>{source.name}</b>
                        {word}
                        <span class="num">
                            {move || last.map(|at| format::relative(at, live.now()))}
                        </span>
                    </span>
                }
            }).collect_view()}
            <span class="wall__source wall__source--right num">
                {move || live.status.with(|s| format!("{} samples/s · {} series", format::si(s.samples_per_sec), format::count(s.series)))}
            </span>
        </footer>
    }
}
