//! Why two anomalies belong together.

use super::graph::{CallGraph, MAX_HOPS, Way};
use std::collections::BTreeSet;
use wire::EntityId;

/// The tie between a newly anomalous entity and one that is in the incident already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    SameEntity,
    /// One is the host of the other, or both are parts of one.
    SameHost(EntityId),
    /// The new one calls the known one, over these entities, both included.
    Calls(Vec<EntityId>),
    /// The new one is called by the known one.
    CalledBy(Vec<EntityId>),
    /// Both are called by this entity, which strays as well.
    SharedCaller(EntityId),
    /// Both depend on this entity, of which nothing is measured; most that depend on it stray.
    SharedDependency(EntityId),
    /// No call graph covers this source; only the time speaks for it.
    TimeOnly,
}

impl Relation {
    /// The sentence shown at the member.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::SameEntity => "same service, same time".to_owned(),
            Self::SameHost(host) => format!("runs on the same host as {host}"),
            Self::Calls(path) => match path.as_slice() {
                [_, callee] => format!("calls {callee}, which is in the incident"),
                [_, middle @ .., callee] => format!("depends on {callee} through {}", join(middle)),
                _ => "depends on a member".to_owned(),
            },
            Self::CalledBy(path) => match path.as_slice() {
                [caller, _] => format!("is called by {caller}, which is in the incident"),
                [caller, middle @ .., _] => format!("{caller} depends on it through {}", join(middle)),
                _ => "a member depends on it".to_owned(),
            },
            Self::SharedCaller(caller) => format!("like a member it is called by {caller}, which strays too"),
            Self::SharedDependency(dependency) => {
                format!("like a member it depends on {dependency}, which nothing is measured of")
            }
            Self::TimeOnly => "same minutes; no call graph is known for this source".to_owned(),
        }
    }
}

/// The tie between `new` and the nearest of `known`, if there is one. `strayed` says which entities have evidence of
/// their own: a long path counts only over those, a healthy service in the middle separates faults. `reports` says which have
/// metrics, so that their silence says that they are well.
pub(super) fn relate(
    graph: &CallGraph,
    new: &EntityId,
    known: &BTreeSet<EntityId>,
    strayed: impl Fn(&EntityId) -> bool,
    reports: impl Fn(&EntityId) -> bool,
    time_is_enough: bool,
) -> Option<Relation> {
    if known.contains(new) {
        return Some(Relation::SameEntity);
    }
    if let Some(host) = on_same_host(known, new) {
        return Some(Relation::SameHost(host.clone()));
    }
    if graph.knows(new) {
        let search = |way| {
            graph
                .nearest(new, known, way, MAX_HOPS, &strayed)
                .or_else(|| graph.nearest(new, known, way, 2, |_| true))
        };
        let path = match (search(Way::Down), search(Way::Up)) {
            (Some(down), Some(up)) if up.len() < down.len() => Some(Relation::CalledBy(reversed(up))),
            (Some(down), _) => Some(Relation::Calls(down)),
            (None, up) => up.map(|path| Relation::CalledBy(reversed(path))),
        };
        return path.or_else(|| {
            let suspect = suspects(graph, new, &strayed, &reports, SUSPECT_FROM).into_iter();
            let mut shared = suspect.filter(|s| s.dependents.iter().any(|dependent| known.contains(dependent)));
            if let Some(shared) = shared.next() {
                return Some(Relation::SharedDependency(shared.entity));
            }
            let mut callers = graph.callers(new).into_iter().filter(|caller| strayed(caller));
            callers
                .find(|caller| graph.callees(caller).iter().any(|sibling| known.contains(sibling)))
                .map(Relation::SharedCaller)
        });
    }
    (time_is_enough && !known.iter().any(|k| graph.knows(k))).then_some(Relation::TimeOnly)
}

/// Something of which nothing is measured, and what is known of it by who depends on it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Suspect {
    pub(super) entity: EntityId,
    /// Those who depend on it and stray, sorted.
    pub(super) dependents: Vec<EntityId>,
    /// The part that they are of all who depend on it, 0..1.
    pub(super) share: f64,
}

/// Of those who depend on something that nothing is measured of, so many must stray, and this part: what is shared is then more
/// probably at fault than each of them by itself.
const SUSPECT_FROM: usize = 2;
pub(super) const SUSPECT_SHARE: f64 = 0.5;

/// The direct dependencies of `entity` of which nothing is measured, and which fail if who depends on them is asked: `from` of them
/// at least.
pub(super) fn suspects(
    graph: &CallGraph,
    entity: &EntityId,
    strayed: impl Fn(&EntityId) -> bool,
    reports: impl Fn(&EntityId) -> bool,
    from: usize,
) -> Vec<Suspect> {
    let silent = graph.callees(entity).into_iter().filter(|callee| !reports(callee));
    let found = silent.map(|callee| {
        let all = graph.callers(&callee);
        let count = all.len().max(1);
        let dependents: Vec<EntityId> = all
            .into_iter()
            .filter(|caller| caller == entity || strayed(caller))
            .collect();
        Suspect {
            share: dependents.len() as f64 / count as f64,
            entity: callee,
            dependents,
        }
    });
    found
        .filter(|suspect| suspect.dependents.len() >= from && suspect.share >= SUSPECT_SHARE)
        .collect()
}

/// The host of `new` or another part of it, the first by name.
fn on_same_host<'a>(known: &'a BTreeSet<EntityId>, new: &EntityId) -> Option<&'a EntityId> {
    let host = EntityId::from(host_of(new));
    let parts = format!("{host}/");
    let first_part = EntityId::from(parts.as_str());
    let others = known.range(first_part..).take_while(|k| k.as_str().starts_with(&parts));
    known.get(&host).into_iter().chain(others).find(|k| shares_host(k, new))
}

/// `web-1` for `web-1/postgres`.
fn host_of(entity: &EntityId) -> &str {
    entity.as_str().split('/').next().unwrap_or_default()
}

/// Whether the common prefix is a host with parts, not an address that happens to hold a slash.
fn shares_host(a: &EntityId, b: &EntityId) -> bool {
    let (a, b) = (a.as_str(), b.as_str());
    (a.contains('/') || b.contains('/')) && !a.contains("://") && !b.contains("://")
}

fn reversed(mut path: Vec<EntityId>) -> Vec<EntityId> {
    path.reverse();
    path
}

fn join(entities: &[EntityId]) -> String {
    let names: Vec<&str> = entities.iter().map(EntityId::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::topology::Edge;

    fn graph(edges: &[(&str, &str)]) -> CallGraph {
        let mut graph = CallGraph::default();
        for (caller, callee) in edges {
            graph.add(&Edge {
                caller: (*caller).into(),
                callee: (*callee).into(),
            });
        }
        graph
    }

    #[track_caller]
    fn check(edges: &[(&str, &str)], new: &str, known: &str, strayed: &[&str], expected: Option<&str>) {
        let relation = relate(
            &graph(edges),
            &new.into(),
            &BTreeSet::from([known.into()]),
            |e| strayed.contains(&e.as_str()),
            |e| !e.as_str().starts_with("partner"),
            edges.is_empty(),
        );
        assert_eq!(relation.map(|r| r.reason()).as_deref(), expected, "{new} and {known}");
    }

    #[test]
    fn ties_are_found_and_named() {
        let chain: &[(&str, &str)] = &[("a", "b"), ("b", "c"), ("c", "d"), ("x", "y")];
        check(chain, "a", "b", &[], Some("calls b, which is in the incident"));
        check(chain, "c", "a", &[], Some("a depends on it through b"));
        check(chain, "a", "d", &[], None);
        check(chain, "a", "d", &["b", "c"], Some("depends on d through b, c"));
        check(chain, "x", "a", &["b", "c"], None);
        let fan: &[(&str, &str)] = &[("f", "a"), ("f", "b")];
        check(fan, "a", "b", &[], None);
        check(
            fan,
            "a",
            "b",
            &["f"],
            Some("like a member it is called by f, which strays too"),
        );
        let shared: &[(&str, &str)] = &[("a", "partner"), ("b", "partner"), ("c", "partner"), ("d", "partner")];
        check(
            shared,
            "a",
            "b",
            &["b"],
            Some("like a member it depends on partner, which nothing is measured of"),
        );
        check(shared, "a", "b", &[], None);
        let wide: &[(&str, &str)] = &[
            ("a", "partner"),
            ("b", "partner"),
            ("c", "partner"),
            ("d", "partner"),
            ("e", "partner"),
        ];
        check(wide, "a", "b", &["b"], None);
        let measured: &[(&str, &str)] = &[("a", "db"), ("b", "db")];
        check(measured, "a", "b", &["b"], None);
        check(chain, "h/nginx", "h", &[], Some("runs on the same host as h"));
        check(chain, "https://a", "https://b", &[], None);
        check(
            &[],
            "p",
            "q",
            &[],
            Some("same minutes; no call graph is known for this source"),
        );
    }
}
