use super::*;
use proptest::prelude::*;

fn estate(seed: u64, services: usize) -> Estate {
    let config = EstateConfig {
        services,
        ..EstateConfig::default()
    };
    Estate::new(seed, config)
}

fn failure(estate: &Estate, kind: FailureKind) -> Option<Failure> {
    // One that something depends on.
    let used = estate.edges();
    let mut of_kind = estate.parts().filter(|(_, part)| *part == kind.part());
    let cause = of_kind
        .find(|(name, _)| used.iter().any(|edge| edge.callee == **name))?
        .0;
    Some(Failure {
        kind,
        cause: cause.clone(),
        onset: EstateConfig::default().start + 60_000,
        duration_ms: 300_000,
    })
}

#[test]
fn every_kind_of_failure_shows_at_its_cause_or_at_who_depends_on_it() {
    let estate = estate(3, 40);
    for kind in FailureKind::ALL {
        let failure = failure(&estate, kind).expect("there is one to fail");
        let touched = estate.touched(&failure);
        assert!(touched.len() > 1, "{kind:?} of {} touches nobody else", failure.cause);
        if kind != FailureKind::Surge {
            let dependents = dependents(&estate, &failure.cause);
            let apart: Vec<_> = touched.iter().filter(|e| !dependents.contains(*e)).collect();
            // A cache passes its load on, a stuck queue holds the work of its workers' databases back.
            let carried = matches!(
                kind,
                FailureKind::CacheLost | FailureKind::QueueStuck | FailureKind::Crash
            );
            assert!(carried || apart.is_empty(), "{kind:?} of {}: {apart:?}", failure.cause);
        }
    }
}

fn dependents(estate: &Estate, cause: &EntityId) -> BTreeSet<EntityId> {
    let edges = estate.edges();
    let mut found = BTreeSet::from([cause.clone()]);
    loop {
        let more: Vec<_> = edges
            .iter()
            .filter(|e| found.contains(&e.callee) && !found.contains(&e.caller))
            .map(|e| e.caller.clone())
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

#[test]
fn a_failure_is_over_when_it_is_over() {
    let calm = estate(5, 20);
    let failing = calm.with(
        FailureKind::ALL
            .iter()
            .filter_map(|kind| failure(&calm, *kind))
            .collect(),
    );
    let rows = |estate: &Estate| estate.rows().take(400).collect::<Vec<_>>();
    let (calm, failing) = (rows(&calm), rows(&failing));
    let same = |row: usize| {
        let equal = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
        calm[row].1.iter().zip(&failing[row].1).all(equal)
    };
    assert!((0..60).all(same) && (360..400).all(same));
    assert!((60..360).all(|row| !same(row)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_same_seed_gives_the_same_bits(seed: u64, services in 2usize..60) {
        let (one, two) = (estate(seed, services), estate(seed, services));
        prop_assert_eq!(one.edges(), two.edges());
        let metrics = one.metrics().len();
        for ((at, a), (_, b)) in one.rows().zip(two.rows()).take(5) {
            prop_assert_eq!(&a, &b, "{}", at);
            prop_assert!(a.iter().all(|v| v.is_finite()) && a.len() == metrics);
        }
        let names: BTreeSet<_> = one.parts().map(|(name, _)| name.clone()).collect();
        prop_assert_eq!(names.len(), one.parts().count());
        // Callers come before what they call, hosts last: load is known when it is needed.
        let place = |name: &EntityId| one.parts().position(|(n, _)| n == name);
        for edge in one.edges() {
            let takes = edge.caller.as_str().starts_with("worker") && edge.callee.as_str().starts_with("queue");
            prop_assert!(place(&edge.caller) < place(&edge.callee) || takes, "{:?}", edge);
        }
    }
}
