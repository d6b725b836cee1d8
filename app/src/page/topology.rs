//! Who calls whom, coloured by state; the blast radius of an incident; what it was like then; one entity in detail.

mod neighbors;
mod past;

use crate::canvas::{GraphFocus, TopologyGraph};
use crate::component::{
    Empty, Failed, HealthBadge, HealthMark, Icon, Skeleton, Sparkline, Symbol, Waiting, health_class,
};
use crate::format;
use crate::state::live;
use crate::state::remote::{Remote, remote};
use chart::{Direction, View};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::components::A;
use leptos_router::hooks::{use_navigate, use_query_map};
use neighbors::Neighbors;
use past::{Past, PastPicker, as_of};
use std::collections::BTreeSet;
use wire::incident::IncidentDetail;
use wire::query::{Query, Reply};
use wire::series::{Health, SeriesSummary};
use wire::topology::{EdgeDetail, Entity, EntityKind, Topology as Graph};
use wire::{EntityId, IncidentId, Timestamp};

const START: View = View {
    zoom: 1.0,
    offset: (0.0, 0.0),
};

#[component]
pub(crate) fn Topology() -> impl IntoView {
    super::set_title(|| "Topology".to_owned());
    let live = live();
    let query = use_query_map();
    let selected = Memo::new(move |_| query.with(|q| q.get("entity").map(EntityId)));
    let incident = Memo::new(move |_| query.with(|q| q.get("incident").map(IncidentId)));
    let search = RwSignal::new(String::new());
    let processes = Memo::new(move |_| query.with(|q| q.get("processes").is_some()));
    let at = Memo::new(move |_| query.with(|q| q.get("at")?.parse().ok().map(Timestamp)));
    let known = past::known_edges();
    let topology = Memo::new(move |_| {
        let graph = Graph {
            entities: live.entities.with(|all| {
                all.iter()
                    .filter(|e| processes.get() || e.kind != EntityKind::Process)
                    .cloned()
                    .collect()
            }),
            edges: live.edges.get(),
        };
        match at.get() {
            Some(at) => known
                .data
                .with(|known| as_of(graph, known.as_deref().unwrap_or_default(), at)),
            None => graph,
        }
    });
    let began = Memo::new(move |_| {
        let id = incident.get()?;
        live.incidents
            .with(|all| all.iter().find(|i| i.id == id).map(|i| i.started))
    });
    let focus = incident_focus(incident);
    let navigate = use_navigate();
    let go = Callback::new(move |(key, value): (&'static str, Option<String>)| {
        let path = query.with_untracked(|q| super::with_query("/topology", q, key, value.as_deref()));
        navigate(
            &path,
            NavigateOptions {
                scroll: false,
                ..Default::default()
            },
        );
    });
    let select = Callback::new(move |entity: Option<EntityId>| go.run(("entity", entity.map(|e| e.0))));
    let view = RwSignal::new(START);
    let fit = RwSignal::new(0_u64);
    let zoom = move |factor: f64| view.update(|v| *v = v.zoomed(factor, (400.0, 300.0)));
    let label = Signal::derive(move || {
        topology.with(|t| {
            let bad = t.entities.iter().filter(|e| e.health == Health::Anomalous).count();
            format!(
                "Topology of {} entities, {bad} anomalous; the list beside it holds the same",
                t.entities.len()
            )
        })
    });
    view! {
        <div class="page page--topology">
            <header class="page__head">
                <h1>"Topology"</h1>
                <IncidentPicker incident go />
                <div class="page__tools">
                    <PastPicker at began go />
                    <input
                        type="search"
                        class="field"
                        placeholder="Search entities"
                        aria-label="Search entities"
                        data-testid="entity-search"
                        prop:value=move || search.get()
                        on:input=move |event| search.set(event_target_value(&event))
                    />
                    <button
                        class="button button--quiet"
                        aria-pressed=move || processes.get().to_string()
                        data-testid="show-processes"
                        on:click=move |_| go.run(("processes", (!processes.get_untracked()).then(|| "1".to_owned())))
                    >
                        "Processes"
                    </button>
                </div>
            </header>
            <Past at known />
            <Waiting>
                <div class="topology">
                    <EntityList topology search selected />
                    <section class="card card--flush topology__graph" aria-label="Graph">
                        <Show
                            when=move || !topology.with(|t| t.entities.is_empty())
                            fallback=|| view! {
                                <Empty symbol=Symbol::Topology title="No entities yet" text="Services and hosts appear with their first samples, edges when they are declared or discovered." />
                            }
                        >
                            <TopologyGraph topology selected focus on_select=select label view fit />
                            <div class="topology__zoom" role="group" aria-label="Zoom">
                                <button class="icon-button" aria-label="Zoom in" data-testid="zoom-in" on:click=move |_| zoom(1.25)><Icon symbol=Symbol::Plus /></button>
                                <button class="icon-button" aria-label="Zoom out" data-testid="zoom-out" on:click=move |_| zoom(0.8)><Icon symbol=Symbol::Minus /></button>
                                <button class="icon-button" aria-label="Fit" data-testid="zoom-fit" on:click=move |_| fit.update(|f| *f += 1)><Icon symbol=Symbol::Fit /></button>
                            </div>
                        </Show>
                    </section>
                    {move || selected.get().map(|entity| view! { <EntityPanel entity known select /> })}
                </div>
            </Waiting>
        </div>
    }
}

/// Cause and blast radius of the incident in the address.
fn incident_focus(incident: Memo<Option<IncidentId>>) -> Memo<Option<GraphFocus>> {
    let live = live();
    let detail = remote(
        move || incident.get().map(|id| Query::Incident { id }),
        move || {
            live.incidents.with(|all| {
                all.iter()
                    .find(|i| Some(&i.id) == incident.get().as_ref())
                    .map_or(0, |i| i.revision)
            })
        },
        |reply| match reply {
            Reply::Incident(detail) => Some(detail),
            _ => None,
        },
    );
    Memo::new(move |_| detail.data.with(|d| d.as_ref().map(focus_of)))
}

/// Cause, members and everything that depends on the cause.
fn focus_of(detail: &IncidentDetail) -> GraphFocus {
    let mut entities: BTreeSet<EntityId> = detail.blast_radius.iter().cloned().collect();
    entities.extend(detail.members.iter().map(|m| m.entity.clone()));
    entities.extend(detail.summary.cause.clone());
    GraphFocus {
        cause: detail.summary.cause.clone(),
        entities,
    }
}

#[component]
fn IncidentPicker(incident: Memo<Option<IncidentId>>, go: Callback<(&'static str, Option<String>)>) -> impl IntoView {
    let live = live();
    let open = Memo::new(move |_| live.open_incidents());
    view! {
        <Show when=move || !open.with(Vec::is_empty) || incident.get().is_some()>
            <div class="segments" role="group" aria-label="Blast radius of">
                <button
                    aria-pressed=move || incident.get().is_none().to_string()
                    on:click=move |_| go.run(("incident", None))
                >
                    "Everything"
                </button>
                {move || {
                    let shown = incident.get();
                    let mut ids: Vec<IncidentId> = open.with(|o| o.iter().map(|i| i.id.clone()).take(4).collect());
                    if let Some(id) = &shown && !ids.contains(id) {
                        ids.push(id.clone());
                    }
                    ids.into_iter()
                        .map(|id| {
                            let pressed = shown.as_ref() == Some(&id);
                            let target = id.to_string();
                            view! {
                                <button
                                    aria-pressed=pressed.to_string()
                                    data-testid="blast-radius"
                                    data-id=id.to_string()
                                    on:click=move |_| go.run(("incident", Some(target.clone())))
                                >
                                    {id.to_string()}
                                </button>
                            }
                        })
                        .collect_view()
                }}
            </div>
        </Show>
    }
}

/// What a line of the list shows; nothing that changes with every sample.
#[derive(Clone, PartialEq)]
struct Line {
    id: EntityId,
    health: Health,
    counts: String,
}

/// The graph as a list: for the keyboard, for screen readers, for searching.
#[component]
fn EntityList(topology: Memo<Graph>, search: RwSignal<String>, selected: Memo<Option<EntityId>>) -> impl IntoView {
    let found = Memo::new(move |_| {
        let words = search.get().to_lowercase();
        let mut list: Vec<Line> = topology.with(|t| {
            let wanted = t
                .entities
                .iter()
                .filter(|e| e.id.as_str().to_lowercase().contains(words.trim()));
            wanted.map(line).collect()
        });
        let rank = super::now::rank;
        list.sort_by(|a, b| rank(b.health).cmp(&rank(a.health)).then_with(|| a.id.cmp(&b.id)));
        list
    });
    view! {
        <section class="card card--flush topology__list" aria-label="Entities">
            <ul data-testid="entity-list">
                <For each=move || found.get() key=|line| line.id.clone() let:line>
                    <EntityLine id=line.id found selected />
                </For>
            </ul>
            <Show when=move || found.with(Vec::is_empty)><p class="card__quiet pad">"No entity matches"</p></Show>
        </section>
    }
}

fn line(entity: &Entity) -> Line {
    let counts = match entity.anomalous_series {
        0 => entity.series.to_string(),
        n => format!("{n}/{}", entity.series),
    };
    Line {
        id: entity.id.clone(),
        health: entity.health,
        counts,
    }
}

#[component]
fn EntityLine(id: EntityId, found: Memo<Vec<Line>>, selected: Memo<Option<EntityId>>) -> impl IntoView {
    let query = use_query_map();
    let id = StoredValue::new(id);
    let line = Memo::new(move |_| found.with(|list| id.with_value(|id| list.iter().find(|l| l.id == *id).cloned())));
    let health = Memo::new(move |_| line.with(|l| l.as_ref().map(|l| l.health).unwrap_or_default()));
    let current = move || {
        selected
            .with(|s| id.with_value(|id| s.as_ref() == Some(id)))
            .then_some("true")
    };
    let href =
        move || query.with(|q| id.with_value(|id| super::with_query("/topology", q, "entity", Some(id.as_str()))));
    view! {
        <li data-row="" aria-current=current>
            <A
                href
                attr:class="entity-link"
                attr:data-testid="entity-link"
                attr:data-health=move || health_class(health.get())
            >
                {move || view! { <HealthMark health=health.get() /> }}
                <span>{id.with_value(EntityId::to_string)}</span>
                <span class="num entity-link__count">{move || line.with(|l| l.as_ref().map(|l| l.counts.clone()))}</span>
            </A>
        </li>
    }
}

/// One entity: how it stands, which incident it belongs to, its series, its neighbors.
#[component]
fn EntityPanel(entity: EntityId, known: Remote<Vec<EdgeDetail>>, select: Callback<Option<EntityId>>) -> impl IntoView {
    let live = live();
    let id = StoredValue::new(entity.clone());
    let state = Memo::new(move |_| {
        live.entities
            .with(|all| all.iter().find(|e| id.with_value(|id| e.id == *id)).cloned())
    });
    let series = remote(
        move || {
            Some(Query::SeriesList {
                search: String::new(),
                entity: Some(id.get_value()),
                limit: Some(60),
            })
        },
        move || live.pulse.get(),
        |reply| match reply {
            Reply::SeriesList(list) => Some(list),
            _ => None,
        },
    );
    view! {
        <aside class="card topology__panel" aria-label="Selected entity" data-testid="entity-panel" data-id=entity.to_string()>
            <div class="card__head">
                <h2 class="card__title">{entity.to_string()}</h2>
                <button class="icon-button" aria-label="Close" data-command="back" data-testid="close-panel" on:click=move |_| select.run(None)>
                    <Icon symbol=Symbol::Close />
                </button>
            </div>
            {move || state.get().map(|e| {
                let source = e.source.clone();
                view! {
                    <div class="panel__facts">
                        <HealthBadge health=e.health />
                        <span class="card__quiet">{format!("{:?} · {}", e.kind, e.source)}</span>
                        <span class="card__quiet num">
                            {move || e.last_at.map(|at| format::relative(at, live.now_of(&source)))}
                        </span>
                    </div>
                    {e.incident.map(|incident| view! {
                        <A href=format!("/incidents/{incident}") attr:class="button panel__incident" attr:data-testid="panel-incident">
                            <Icon symbol=Symbol::Incident />
                            {incident.to_string()}
                            <Icon symbol=Symbol::ArrowRight />
                        </A>
                    })}
                }
            })}
            <Neighbors entity=entity.clone() known />
            <h3 class="panel__title">"Series"</h3>
            <SeriesList series />
        </aside>
    }
}

#[component]
fn SeriesList(series: Remote<Vec<SeriesSummary>>) -> impl IntoView {
    let known = Memo::new(move |_| series.data.with(|d| d.as_ref().map(Vec::len)));
    move || match (known.get(), series.error.get()) {
        (Some(0), _) => {
            view! { <p class="card__quiet">"Known from an edge only: it reports nothing itself"</p> }.into_any()
        }
        (Some(_), _) => view! {
            <ul class="panel__series">
                <For each=move || series.data.get().unwrap_or_default() key=|s| s.info.id let:summary>
                    <PanelSeries first=summary series />
                </For>
            </ul>
        }
        .into_any(),
        (None, Some(error)) => view! { <Failed error /> }.into_any(),
        (None, None) => view! { <Skeleton lines=5 /> }.into_any(),
    }
}

#[component]
fn PanelSeries(first: SeriesSummary, series: Remote<Vec<SeriesSummary>>) -> impl IntoView {
    let (id, name) = (first.info.id, super::metric_name(&first.info));
    let metric = first.info.quantity().into_owned();
    let summary = Memo::new(move |_| {
        let found = series
            .data
            .with(|list| list.as_ref()?.iter().find(|s| s.info.id == id).cloned());
        found.unwrap_or_else(|| first.clone())
    });
    let health = Memo::new(move |_| summary.with(|s| s.health));
    let value = move || {
        summary.with(|s| {
            s.last_value
                .map_or_else(|| "–".to_owned(), |v| format::metric_value(&metric, v))
        })
    };
    view! {
        <li data-testid="panel-series">
            <A href=format!("/series/{id}") attr:class="vital">
                <span class="vital__name">{move || view! { <HealthMark health=health.get() /> }} " " {name}</span>
                {move || summary.with(|s| view! { <Sparkline values=s.spark.clone() health=s.health /> })}
                <span class="vital__value num">{value}</span>
            </A>
        </li>
    }
}

/// The part of the incident's graph that it touches: on a small card, the bystanders are noise.
fn touched(detail: &IncidentDetail) -> Graph {
    let inside = focus_of(detail).entities;
    let topology = &detail.topology;
    let within = |e: &&wire::topology::Edge| inside.contains(&e.caller) && inside.contains(&e.callee);
    Graph {
        entities: topology
            .entities
            .iter()
            .filter(|e| inside.contains(&e.id))
            .cloned()
            .collect(),
        edges: topology.edges.iter().filter(within).cloned().collect(),
    }
}

/// The graph around an incident, for its page.
#[component]
pub(crate) fn Around(detail: Memo<Option<IncidentDetail>>) -> impl IntoView {
    let topology = Memo::new(move |_| detail.with(|d| d.as_ref().map(touched).unwrap_or_default()));
    let focus = Memo::new(move |_| detail.with(|d| d.as_ref().map(focus_of)));
    let count = Memo::new(move |_| detail.with(|d| d.as_ref().map_or(0, |d| d.blast_radius.len() as u64)));
    let id = Memo::new(move |_| detail.with(|d| d.as_ref().map(|d| d.summary.id.to_string()).unwrap_or_default()));
    let reach = move || match count.get() {
        1 => "1 entity depends on it".to_owned(),
        n => format!("{} depend on it", format::plural(n, "entity", "entities")),
    };
    let label = Signal::derive(move || {
        let cause = focus.with(|f| f.as_ref().and_then(|f| f.cause.as_ref().map(EntityId::to_string)));
        format!(
            "Blast radius of {}: {}",
            cause.unwrap_or_else(|| "no single cause".to_owned()),
            reach()
        )
    });
    let commander = crate::command::commander();
    let select = Callback::new(move |entity: Option<EntityId>| {
        if let Some(entity) = entity {
            commander
                .go
                .set(Some(format!("/topology?entity={}", super::encode(entity.as_str()))));
        }
    });
    view! {
        <Show when=move || !topology.with(|t| t.entities.is_empty())>
            <section class="card" aria-labelledby="around" data-testid="blast-radius-card">
                <div class="card__head">
                    <h2 class="card__title" id="around">"Blast radius"</h2>
                    <A href=move || format!("/topology?incident={}", id.get()) attr:class="link">{reach}</A>
                </div>
                <div class="around">
                    <TopologyGraph
                        topology
                        selected=Signal::derive(|| None)
                        focus
                        on_select=select
                        label
                        view=RwSignal::new(START)
                        fit=Signal::derive(|| 0)
                        direction=Direction::Down
                    />
                </div>
            </section>
        </Show>
    }
}
