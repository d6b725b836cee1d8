//! What needs somebody, what is about to happen, how the rest stands.

mod vitals;

use crate::clock;
use crate::component::{
    Empty, HealthMark, Icon, IncidentRow, PredictionCard, RiskBadge, Stat, Symbol, Waiting, health_class, health_word,
    source_state,
};
use crate::format;
use crate::state::live;
use leptos::prelude::*;
use leptos_router::components::A;
use vitals::HostVitals;
use wire::series::Health;
use wire::status::{Source, SourceState};
use wire::topology::{Entity, EntityKind};

#[component]
pub(crate) fn Now() -> impl IntoView {
    super::set_title(|| "Now".to_owned());
    view! {
        <div class="page">
            <Headline />
            <Waiting>
                <Unheard />
                <Figures />
                <div class="now">
                    <div class="now__main">
                        <NeedsYou />
                        <EntityHealth />
                    </div>
                    <div class="now__side">
                        <Predictions />
                        <ReplayCard />
                        <HostVitals />
                        <Freshness />
                    </div>
                </div>
            </Waiting>
        </div>
    }
}

#[component]
fn Headline() -> impl IntoView {
    let live = live();
    let text = move || {
        if !live.loaded.get() {
            return "Connecting…".to_owned();
        }
        let (open, pending) = (
            live.open_incidents().len() as u64,
            live.pending_proposals().len() as u64,
        );
        match (open, pending) {
            (0, 0) => "Nothing needs you".to_owned(),
            (open, 0) => format!(
                "{} need{} you",
                format::plural(open, "incident", "incidents"),
                if open == 1 { "s" } else { "" }
            ),
            (0, pending) => format!("{} waiting", format::plural(pending, "approval", "approvals")),
            (open, pending) => format!(
                "{} and {} need you",
                format::plural(open, "incident", "incidents"),
                format::plural(pending, "approval", "approvals")
            ),
        }
    };
    view! {
        <header class="page__head">
            <h1 data-testid="headline">{text}</h1>
        </header>
    }
}

/// A channel that fails: what is on this page reaches nobody there.
#[component]
fn Unheard() -> impl IntoView {
    let live = live();
    let failing = Memo::new(move |_| {
        live.status.with(|s| {
            let failing = s.channels.iter().filter(|channel| !channel.problem.is_empty());
            failing
                .map(|channel| format!("{}: {}", channel.name, channel.problem))
                .collect::<Vec<_>>()
        })
    });
    view! {
        <Show when=move || !failing.with(Vec::is_empty)>
            <div class="banner banner--danger unheard" role="status" data-testid="unheard">
                <Icon symbol=Symbol::BellOff />
                <span>{move || format!("People cannot be told over {}", failing.with(|f| f.join("; ")))}</span>
                <A href="/notifications">"Look"</A>
            </div>
        </Show>
    }
}

#[component]
fn Figures() -> impl IntoView {
    let live = live();
    let open = Memo::new(move |_| live.open_incidents());
    let reduction = move || {
        live.status.with(|s| match (s.alerts, s.incidents) {
            (0, _) => "–".to_owned(),
            (alerts, incidents) => format::percent(1.0 - incidents as f64 / alerts as f64),
        })
    };
    view! {
        <section class="stats" aria-label="Figures">
            <Stat
                label="Open incidents"
                value=Signal::derive(move || open.with(Vec::len).to_string())
                note=Signal::derive(move || {
                    open.with(|open| match open.first() {
                        Some(worst) => format!("worst {:?}", worst.severity),
                        None => "all quiet".to_owned(),
                    })
                })
                tone=Signal::derive(move || open.with(|o| o.first().map_or("ok", |i| {
                    if i.severity <= wire::incident::Severity::P2 { "p1" } else { "p3" }
                })))
                testid="stat-open"
            />
            <Stat
                label="Waiting for approval"
                value=Signal::derive(move || live.pending_proposals().len().to_string())
                note=Signal::derive(move || {
                    if live.status.with(|s| s.kill_switch) { "kill switch is on".to_owned() } else { "nothing acts without you".to_owned() }
                })
                tone=Signal::derive(move || if live.pending_proposals().is_empty() { "" } else { "accent" })
                testid="stat-pending"
            />
            <Stat
                label="Predicted breaches"
                value=Signal::derive(move || live.open_predictions().len().to_string())
                note=Signal::derive(move || live.open_predictions().first().map_or_else(
                    || "none in sight".to_owned(),
                    |p| format!("first {}", format::relative(p.breach_at, live.now_of_entity(&p.entity))),
                ))
                tone=Signal::derive(move || if live.open_predictions().is_empty() { "" } else { "watch" })
                testid="stat-predictions"
            />
            <Stat
                label="Noise reduction"
                value=Signal::derive(reduction)
                note=Signal::derive(move || live.status.with(|s| format!(
                    "{} → {}",
                    format::plural(s.alerts, "alert", "alerts"),
                    format::plural(s.incidents, "incident", "incidents")
                )))
                testid="stat-noise"
            />
            <Stat
                label="Samples per second"
                value=Signal::derive(move || live.status.with(|s| format::si(s.samples_per_sec)))
                note=Signal::derive(move || live.status.with(|s| format!("{} in {} series", format::si(s.samples as f64), format::count(s.series))))
                testid="stat-rate"
            />
            <Stat
                label="Baselines learnt"
                value=Signal::derive(move || live.status.with(|s| match s.series {
                    0 => "–".to_owned(),
                    series => format::percent(1.0 - s.warming as f64 / series as f64),
                }))
                note=Signal::derive(move || live.status.with(|s| match s.warming {
                    0 => "every series".to_owned(),
                    n => format!("{} still learning", format::count(n)),
                }))
                testid="stat-learnt"
            />
        </section>
    }
}

#[component]
fn NeedsYou() -> impl IntoView {
    let live = live();
    let open = Memo::new(move |_| live.open_incidents());
    let pending = Memo::new(move |_| live.pending_proposals());
    view! {
        <section class="card" aria-labelledby="needs-you">
            <h2 class="card__title" id="needs-you">"Needs you"</h2>
            <Show
                when=move || !open.with(Vec::is_empty) || !pending.with(Vec::is_empty)
                fallback=|| view! {
                    <Empty
                        symbol=Symbol::Check
                        title="All quiet"
                        text="Open incidents and proposals that wait for a decision appear here."
                        testid="all-quiet"
                    />
                }
            >
                <ul class="rows" data-testid="now-incidents">
                    <For each=move || open.get() key=|i| i.id.clone() let:incident>
                        <IncidentRow id=incident.id />
                    </For>
                    <For each=move || pending.get() key=|p| (p.id.clone(), p.plan_hash.clone()) let:proposal>
                        <li class="proposal-row" data-row="" data-testid="now-proposal" data-id=proposal.id.to_string()>
                            <span class="badge badge--accent"><Icon symbol=Symbol::Approval />"Approve"</span>
                            <div>
                                <A href=format!("/approvals?proposal={}", proposal.id) attr:class="incident-row__title">
                                    {proposal.title.clone()}
                                </A>
                                <div class="incident-row__facts">
                                    <span class="mono">{proposal.id.to_string()}</span>
                                    <span>"on " <b>{proposal.target.to_string()}</b></span>
                                    {proposal.incident.as_ref().map(|i| view! { <span>"for " <span class="mono">{i.to_string()}</span></span> })}
                                </div>
                            </div>
                            <RiskBadge risk=proposal.risk />
                            <span class="incident-row__age num" title="Expires in">
                                {
                                    let expires = proposal.expires;
                                    move || format::countdown(expires, live.now())
                                }
                            </span>
                        </li>
                    </For>
                </ul>
            </Show>
        </section>
    }
}

/// One tile an entity: shape and colour by health, darkest first.
#[component]
fn EntityHealth() -> impl IntoView {
    let live = live();
    let entities = Memo::new(move |_| {
        let mut list: Vec<Entity> = live
            .entities
            .with(|all| all.iter().filter(|e| e.kind != EntityKind::Process).cloned().collect());
        list.sort_by(|a, b| {
            rank(b.health)
                .cmp(&rank(a.health))
                .then_with(|| b.score.total_cmp(&a.score))
                .then_with(|| a.id.cmp(&b.id))
        });
        list
    });
    let counts = move || {
        entities.with(|all| {
            [
                Health::Anomalous,
                Health::Watch,
                Health::Silent,
                Health::Unknown,
                Health::Ok,
            ]
            .into_iter()
            .map(|health| (health, all.iter().filter(|e| e.health == health).count()))
            .filter(|(_, n)| *n > 0)
            .collect::<Vec<_>>()
        })
    };
    view! {
        <section class="card" aria-labelledby="entity-health">
            <div class="card__head">
                <h2 class="card__title" id="entity-health">"Services and hosts"</h2>
                <span class="legend">
                    {move || counts().into_iter().map(|(health, n)| view! {
                        <span class="legend__item">
                            <HealthMark health />
                            <span class="num">{n}</span>
                            {health_word(health)}
                        </span>
                    }).collect_view()}
                </span>
            </div>
            <Show
                when=move || !entities.with(Vec::is_empty)
                fallback=|| view! {
                    <Empty symbol=Symbol::Topology title="No entities yet" text="Services and hosts appear with their first samples." />
                }
            >
                <ul class="tiles" data-testid="entity-tiles">
                    <For each=move || entities.get() key=|e| (e.id.clone(), e.health, e.anomalous_series, e.series) let:entity>
                        <EntityTile entity />
                    </For>
                </ul>
            </Show>
        </section>
    }
}

#[component]
fn EntityTile(entity: Entity) -> impl IntoView {
    let name = entity.id.to_string();
    let label = name.clone();
    let class = health_class(entity.health);
    let counts = if entity.anomalous_series > 0 {
        format!("{}/{}", entity.anomalous_series, entity.series)
    } else {
        entity.series.to_string()
    };
    view! {
        <li>
            <A
                href=format!("/topology?entity={}", super::encode(&name))
                attr:class=format!("tile tile--{class}")
                attr:data-testid="entity-tile"
                attr:data-health=class
                attr:title=format!("{name}: {}", health_word(entity.health))
            >
                <HealthMark health=entity.health />
                <span class="tile__name">{label}</span>
                <span class="tile__note num">{counts}</span>
            </A>
        </li>
    }
}

/// Worst first in lists.
pub(super) fn rank(health: Health) -> u8 {
    match health {
        Health::Anomalous => 4,
        Health::Silent => 3,
        Health::Watch => 2,
        Health::Unknown => 1,
        Health::Ok => 0,
    }
}

#[component]
fn Predictions() -> impl IntoView {
    let live = live();
    let open = Memo::new(move |_| live.open_predictions());
    view! {
        <section class="card" aria-labelledby="predictions">
            <h2 class="card__title" id="predictions">"Predicted"</h2>
            <Show
                when=move || !open.with(Vec::is_empty)
                fallback=|| view! {
                    <p class="card__quiet" data-testid="no-predictions">"No metric is on its way to a limit"</p>
                }
            >
                <ul class="rows">
                    <For each=move || open.get() key=|p| (p.id.clone(), p.breach_at, p.breach_latest) let:prediction>
                        <PredictionCard prediction />
                    </For>
                </ul>
            </Show>
        </section>
    }
}

#[component]
fn ReplayCard() -> impl IntoView {
    let live = live();
    let present = Memo::new(move |_| live.status.with(|s| s.replay.is_some()));
    let replay = move || live.status.with(|s| s.replay.clone());
    let note = Memo::new(move |_| {
        live.status.with(|s| {
            s.sources
                .iter()
                .find(|s| s.name == "replay")
                .map(|s| s.note.clone())
                .unwrap_or_default()
        })
    });
    let share = move || {
        let (Some(replay), Some(clock)) = (replay(), live.replay_clock()) else {
            return 0.0;
        };
        let span = replay.ends.millis_since(replay.starts).max(1) as f64;
        (clock.millis_since(replay.starts) as f64 / span * 100.0).clamp(0.0, 100.0)
    };
    let zone = |at: wire::Timestamp| clock::zone_offset_minutes(at.as_millis());
    view! {
        <Show when=move || present.get()>
            <section class="card" aria-labelledby="replay" data-testid="replay-card">
                <div class="card__head">
                    <h2 class="card__title" id="replay">"Recording"</h2>
                    <span class="tag" data-testid="replay-phase">
                        {move || replay().map(|r| match r.phase.as_str() {
                            "history" => "Learning from history".to_owned(),
                            "live" => format!("Live at ×{}", format::si(r.speed)),
                            other => other.to_owned(),
                        })}
                    </span>
                </div>
                <p class="replay__clock num">
                    {move || live.replay_clock().map(|at| format!("{} {}", format::date(at, zone(at)), format::clock(at, zone(at))))}
                </p>
                <div class="progress" aria-hidden="true"><i style:width=move || format!("{:.1}%", share())></i></div>
                <p class="card__quiet">
                    {move || if note.with(String::is_empty) { replay().map(|r| r.name) } else { Some(note.get()) }}
                </p>
            </section>
        </Show>
    }
}

#[component]
fn Freshness() -> impl IntoView {
    let live = live();
    let sources = Memo::new(move |_| live.status.with(|s| s.sources.clone()));
    view! {
        <section class="card" aria-labelledby="freshness">
            <div class="card__head">
                <h2 class="card__title" id="freshness">"Sources"</h2>
                <A href="/sources" attr:class="link">"All"</A>
            </div>
            <ul class="freshness" data-testid="freshness">
                {move || sources.get().into_iter().map(|source| view! { <SourceLine source /> }).collect_view()}
            </ul>
        </section>
    }
}

#[component]
fn SourceLine(source: Source) -> impl IntoView {
    let live = live();
    let (class, word) = source_state(source.state);
    let last = source.last_seen;
    let age = move || match (source.state, last) {
        (SourceState::Waiting, _) | (_, None) => "no data yet".to_owned(),
        (_, Some(at)) => format::relative(at, live.now()),
    };
    view! {
        <li class="freshness__line" data-testid="source-line" data-state=class>
            <span class=format!("pulse pulse--{class}") aria-hidden="true"></span>
            <span class="freshness__name">{source.name.clone()}</span>
            <span class="freshness__state">{word}</span>
            <span class="freshness__age num">{age}</span>
        </li>
    }
}
