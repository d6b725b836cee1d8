//! Who calls an entity and whom it calls, with who says so and when that was last seen.

use crate::format;
use crate::state::live;
use crate::state::remote::Remote;
use leptos::prelude::*;
use leptos_router::components::A;
use wire::topology::{Edge, EdgeDetail};
use wire::{EntityId, Timestamp};

#[component]
pub(super) fn Neighbors(entity: EntityId, known: Remote<Vec<EdgeDetail>>) -> impl IntoView {
    let live = live();
    let id = StoredValue::new(entity);
    let around = move |is_own: fn(&Edge) -> &EntityId| {
        Memo::new(move |_| {
            live.edges.with(|edges| {
                let own = edges.iter().filter(|edge| id.with_value(|id| is_own(edge) == id));
                own.cloned().collect::<Vec<_>>()
            })
        })
    };
    let (callers, callees) = (around(|edge| &edge.callee), around(|edge| &edge.caller));
    let links = move |title: &'static str, edges: Vec<Edge>, other: fn(&Edge) -> &EntityId| {
        (!edges.is_empty()).then(|| {
            view! {
                <h3 class="panel__title">{title}</h3>
                <ul class="panel__neighbors">
                    {edges.into_iter().map(|edge| {
                        let name = other(&edge).to_string();
                        let href = format!("/topology?entity={}", crate::page::encode(&name));
                        let text = move || known.data.with(|known| {
                            let detail = known.as_ref()?.iter().find(|detail| detail.edge == edge)?;
                            Some(facts(detail, live.now()))
                        });
                        view! {
                            <li data-testid="neighbor">
                                <A href attr:class="path__hop">{name}</A>
                                <span class="card__quiet">{text}</span>
                            </li>
                        }
                    }).collect_view()}
                </ul>
            }
        })
    };
    move || {
        view! {
            {links("Called by", callers.get(), |edge| &edge.caller)}
            {links("Depends on", callees.get(), |edge| &edge.callee)}
        }
    }
}

/// `spans, declared · 1,204 calls · seen 2 min ago`.
fn facts(detail: &EdgeDetail, now: Timestamp) -> String {
    let sources: Vec<&str> = detail.sources.iter().map(|source| source.phrase()).collect();
    let mut facts = vec![sources.join(", ")];
    if detail.calls > 0 {
        facts.push(format!(
            "{} {}",
            format::count(detail.calls),
            if detail.calls == 1 { "call" } else { "calls" }
        ));
    }
    facts.push(format!("seen {}", format::relative(detail.last_seen, now)));
    facts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::topology::EdgeSource;

    #[test]
    fn a_dependency_says_who_tells_of_it() {
        let mut detail = EdgeDetail {
            edge: Edge {
                caller: "web".into(),
                callee: "cart".into(),
            },
            kind: None,
            sources: vec![EdgeSource::Declared, EdgeSource::Spans],
            calls: 12,
            first_seen: Timestamp(0),
            last_seen: Timestamp(60_000),
        };
        assert_eq!(
            facts(&detail, Timestamp(240_000)),
            "declared, spans · 12 calls · seen 3 min ago"
        );
        detail.calls = 0;
        detail.sources.pop();
        assert_eq!(facts(&detail, Timestamp(60_000)), "declared · seen just now");
    }
}
