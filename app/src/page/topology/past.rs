//! The graph as it was: at the beginning of an incident, an hour, a day or a week ago; and what has changed since.

use crate::format;
use crate::state::live;
use crate::state::remote::{Remote, remote};
use leptos::prelude::*;
use std::collections::BTreeSet;
use wire::query::{Query, Reply};
use wire::series::Health;
use wire::topology::{Edge, EdgeDetail, Entity, EntityKind, GraphChange, Topology as Graph};
use wire::{EntityId, Timestamp};

const HOUR: i64 = 3_600_000;
const AGES: [(&str, i64); 3] = [
    ("An hour ago", HOUR),
    ("A day ago", 24 * HOUR),
    ("A week ago", 7 * 24 * HOUR),
];
/// Changes shown by name.
const SHOWN: usize = 30;

/// All dependencies with what is known of them, asked for again when there are more or fewer.
pub(super) fn known_edges() -> Remote<Vec<EdgeDetail>> {
    let live = live();
    remote(
        || Some(Query::Edges),
        move || live.edges.with(|edges| edges.len() as u64),
        |reply| match reply {
            Reply::Edges(edges) => Some(edges),
            _ => None,
        },
    )
}

/// What of a graph was there at an instant. Of what nothing but the graph itself tells, all is left as it is.
pub(super) fn as_of(graph: Graph, known: &[EdgeDetail], at: Timestamp) -> Graph {
    let later: BTreeSet<&Edge> = known
        .iter()
        .filter(|detail| !detail.was_there(at))
        .map(|detail| &detail.edge)
        .collect();
    let mut edges = graph.edges;
    edges.retain(|edge| !later.contains(edge));
    let shown: BTreeSet<Edge> = edges.iter().cloned().collect();
    let then = known.iter().filter(|detail| detail.was_there(at));
    let gone = then.map(|detail| &detail.edge).filter(|edge| !shown.contains(edge));
    edges.extend(gone.cloned());
    let ends = |edges: &mut dyn Iterator<Item = &Edge>| -> BTreeSet<EntityId> {
        edges
            .flat_map(|edge| [edge.caller.clone(), edge.callee.clone()])
            .collect()
    };
    let (mut then, others) = (ends(&mut edges.iter()), ends(&mut later.into_iter()));
    // What only later dependencies tell of was not there.
    let mut entities = graph.entities;
    entities.retain(|e| then.contains(&e.id) || !others.contains(&e.id));
    // And what nothing tells of any more was.
    for entity in &entities {
        then.remove(&entity.id);
    }
    entities.extend(then.into_iter().map(|id| {
        let kind = known.iter().find(|detail| detail.edge.callee == id);
        silent(id, kind.and_then(|detail| detail.kind).unwrap_or_default())
    }));
    Graph { entities, edges }
}

fn silent(id: EntityId, kind: EntityKind) -> Entity {
    Entity {
        id,
        kind,
        health: Health::default(),
        score: 0.0,
        series: 0,
        anomalous_series: 0,
        last_at: None,
        source: String::new(),
        incident: None,
    }
}

#[component]
pub(super) fn PastPicker(
    at: Memo<Option<Timestamp>>,
    began: Memo<Option<Timestamp>>,
    go: Callback<(&'static str, Option<String>)>,
) -> impl IntoView {
    let live = live();
    let pick = move |chosen: String| {
        let now = live.now();
        let at = match chosen.as_str() {
            "began" => began.get_untracked(),
            "at" => at.get_untracked(),
            age => age.parse().ok().map(|age: i64| now - age),
        };
        go.run(("at", at.map(|at| at.as_millis().to_string())));
    };
    let is_began = move || at.get().is_some() && at.get() == began.get();
    view! {
        <select
            class="field"
            aria-label="Graph as of"
            data-testid="as-of"
            on:change=move |event| pick(event_target_value(&event))
        >
            <option value="now" prop:selected=move || at.get().is_none()>"As it is now"</option>
            {move || began.get().map(|_| view! { <option value="began" prop:selected=is_began>"When it began"</option> })}
            {AGES.into_iter().map(|(label, age)| view! { <option value=age.to_string()>{label}</option> }).collect_view()}
            {move || at.get().filter(|_| !is_began()).map(|at| view! {
                <option value="at" prop:selected=true>{format::date_clock(at, crate::clock::zone_offset_minutes(at.as_millis()))}</option>
            })}
        </select>
    }
}

/// Says as of when the graph is, and what is different now.
#[component]
pub(super) fn Past(at: Memo<Option<Timestamp>>, known: Remote<Vec<EdgeDetail>>) -> impl IntoView {
    let live = live();
    let change = Memo::new(move |_| {
        let at = at.get()?;
        let known = known.data.get()?;
        Some(GraphChange::between(&known, at, live.now()))
    });
    let line = |sign: &'static str, edges: &[Edge]| {
        let shown = edges.iter().take(SHOWN);
        let text = move |edge: &Edge| format!("{sign} {} → {}", edge.caller, edge.callee);
        shown.map(text).map(|text| view! { <li>{text}</li> }).collect_view()
    };
    move || {
        let at = at.get()?;
        let when = format::date_clock(at, crate::clock::zone_offset_minutes(at.as_millis()));
        Some(view! {
            <div class="past" data-testid="past">
                <span>{format!("Dependencies as of {when}; colors show how each stands now.")}</span>
                {change.get().map(|change| {
                    let summary = summary(&change);
                    let is_any = change != GraphChange::default();
                    if is_any {
                        view! {
                            <details>
                                <summary data-testid="past-change">{summary}</summary>
                                <ul>{line("+", &change.appeared)}{line("−", &change.gone)}</ul>
                            </details>
                        }
                        .into_any()
                    } else {
                        view! { <span class="card__quiet" data-testid="past-change">{summary}</span> }.into_any()
                    }
                })}
            </div>
        })
    }
}

fn summary(change: &GraphChange) -> String {
    let count = |edges: &[Edge]| format::plural(edges.len() as u64, "dependency", "dependencies");
    match (change.appeared.is_empty(), change.gone.is_empty()) {
        (true, true) => "The same as now".to_owned(),
        (false, true) => format!("{} more now", count(&change.appeared)),
        (true, false) => format!("{} fewer now", count(&change.gone)),
        (false, false) => format!("{} more now, {} fewer", count(&change.appeared), change.gone.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::topology::EdgeSource;

    fn detail(caller: &str, callee: &str, first: i64, last: i64) -> EdgeDetail {
        EdgeDetail {
            edge: Edge {
                caller: caller.into(),
                callee: callee.into(),
            },
            kind: None,
            sources: vec![EdgeSource::Spans],
            calls: 1,
            first_seen: Timestamp(first * HOUR),
            last_seen: Timestamp(last * HOUR),
        }
    }

    #[test]
    fn the_graph_is_what_it_was() {
        let known = [
            detail("web", "cart", 0, 48),
            detail("web", "new", 40, 48),
            detail("web", "old", 0, 30),
        ];
        let now = Graph {
            entities: ["web", "cart", "new", "alone"]
                .map(|id| silent(id.into(), EntityKind::Service))
                .into(),
            edges: vec![known[0].edge.clone(), known[1].edge.clone()],
        };
        let then = as_of(now.clone(), &known, Timestamp(24 * HOUR));
        let names: Vec<&str> = then.entities.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(names, ["web", "cart", "alone", "old"]);
        assert_eq!(then.edges, [known[0].edge.clone(), known[2].edge.clone()]);
        assert_eq!(as_of(now.clone(), &known, Timestamp(48 * HOUR)), now);
        let change = GraphChange::between(&known, Timestamp(24 * HOUR), Timestamp(48 * HOUR));
        assert_eq!(summary(&change), "1 dependency more now, 1 fewer");
    }
}
