//! The difference between two snapshots, as the delta that leads from one to the other.

use wire::stream::{Delta, Snapshot};

/// What changed from `old` to `new`; `new.seq` is not read, the delta is numbered `old.seq + 1`.
///
/// The status goes along only if something beyond its clock changed or `with_status` asks for it: a clock alone is not
/// news. Entities and edges never leave a live engine, so there is no delta for removal.
pub fn diff(old: &Snapshot, new: &Snapshot, with_status: bool) -> Delta {
    Delta {
        seq: old.seq + 1,
        dropped: 0,
        status: (with_status && old.status != new.status).then(|| new.status.clone()),
        incidents: changed_by_id(&old.incidents, &new.incidents, |a, b| a.id == b.id),
        entities: changed_sorted(&old.entities, &new.entities, |e| &e.id),
        edges: changed_sorted(&old.edges, &new.edges, |e| e),
        predictions: changed_by_id(&old.predictions, &new.predictions, |a, b| a.id == b.id),
        proposals: changed_by_id(&old.proposals, &new.proposals, |a, b| a.id == b.id),
        deploys: new
            .deploys
            .iter()
            .filter(|d| !old.deploys.contains(d))
            .rev()
            .cloned()
            .collect(),
    }
}

/// Items of `new` that are not in `old` as they are, oldest first, so that a reader who puts each at the front ends with
/// the same order.
fn changed_by_id<T: Clone + PartialEq>(old: &[T], new: &[T], same: impl Fn(&T, &T) -> bool) -> Vec<T> {
    new.iter()
        .rev()
        .filter(|item| old.iter().find(|o| same(o, item)) != Some(item))
        .cloned()
        .collect()
}

/// The same for lists sorted by a key, in one pass.
fn changed_sorted<'a, T: Clone + PartialEq, K: Ord + ?Sized + 'a>(
    old: &'a [T],
    new: &'a [T],
    key: impl Fn(&'a T) -> &'a K,
) -> Vec<T> {
    let mut changed = Vec::new();
    let mut rest = old.iter().peekable();
    for item in new {
        while rest.peek().is_some_and(|o| key(o) < key(item)) {
            rest.next();
        }
        if rest.peek() != Some(&item) {
            changed.push(item.clone());
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::series::Health;
    use wire::topology::{Edge, Entity};

    fn entity(name: u8, score: f32) -> Entity {
        Entity {
            id: format!("e{name:03}").into(),
            kind: Default::default(),
            health: Health::Ok,
            score,
            series: 1,
            anomalous_series: 0,
            last_at: None,
            source: "test".to_owned(),
            incident: None,
        }
    }

    fn snapshot(entities: &[(u8, u8)], edges: &[(u8, u8)]) -> Snapshot {
        let mut snapshot = Snapshot {
            version: wire::VERSION,
            ..Snapshot::default()
        };
        snapshot.entities = entities.iter().map(|(n, s)| entity(*n, f32::from(*s))).collect();
        snapshot.entities.sort_by(|a, b| a.id.cmp(&b.id));
        snapshot.entities.dedup_by(|a, b| a.id == b.id);
        snapshot.edges = edges
            .iter()
            .map(|(a, b)| Edge {
                caller: format!("e{a:03}").into(),
                callee: format!("e{b:03}").into(),
            })
            .collect();
        snapshot.edges.sort();
        snapshot.edges.dedup();
        snapshot
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_the_new_state(
            before in prop::collection::vec((0u8..20, 0u8..3), 0..12),
            added in prop::collection::vec((0u8..20, 0u8..3), 0..12),
            edges in prop::collection::vec((0u8..20, 0u8..20), 0..12),
        ) {
            let old = snapshot(&before, &edges[..edges.len() / 2]);
            // Nothing leaves: the new state holds every entity of the old one.
            let mut all = added;
            all.extend(before.iter().copied());
            let mut new = snapshot(&all, &edges);
            let delta = diff(&old, &new, true);
            let mut copy = old.clone();
            copy.apply(delta).expect("the delta follows its base");
            new.seq = copy.seq;
            prop_assert_eq!(copy, new);
        }
    }

    #[test]
    fn nothing_changed_is_an_empty_delta() {
        let state = snapshot(&[(1, 1), (2, 2)], &[(1, 2)]);
        assert!(diff(&state, &state.clone(), true).is_empty());
    }
}
