//! Several things begin, together or one after the other: one fault or more?

use super::*;

/// What each incident names as its cause, sorted.
fn causes(world: &World) -> Vec<&str> {
    let incidents = world.correlator.incidents().filter(|i| i.merged_into.is_none());
    let mut causes: Vec<&str> = incidents
        .map(|i| i.cause.as_ref().map_or("no single cause", |c| c.as_str()))
        .collect();
    causes.sort_unstable();
    causes
}

#[test]
fn independent_faults_at_the_same_time_stay_apart() {
    let mut world = World::new(SHOP);
    world.play(
        8,
        &[
            ("index", "latency", 30.0, 0),
            ("search", "latency", 30.0, 0),
            ("warehouse", "latency", 30.0, 0),
            ("reports", "latency", 30.0, 1),
        ],
    );
    assert_eq!(causes(&world), ["index", "warehouse"]);
}

/// Both hurt the same caller, one a while after the other.
#[test]
fn faults_that_share_a_caller_stay_apart() {
    let mut world = World::new(SHOP);
    world.play(
        24,
        &[
            ("index", "latency", 60.0, 0),
            ("search", "latency", 40.0, 0),
            ("web", "latency", 20.0, 0),
            ("payments-db", "latency", 60.0, 12),
            ("payments", "latency", 40.0, 12),
            ("checkout", "latency", 30.0, 12),
        ],
    );
    assert_eq!(causes(&world), ["index", "payments-db"]);
}

/// A disk fills, and only when it is full do those fail who write to it.
#[test]
fn what_its_cause_does_later_is_the_same_incident() {
    let mut world = World::new(SHOP);
    world.play(
        30,
        &[
            ("payments-db", "disk_used", 30.0, 0),
            ("payments-db", "errors", 60.0, 20),
            ("payments", "errors", 40.0, 20),
            ("checkout", "errors", 30.0, 20),
            ("web", "errors", 20.0, 20),
        ],
    );
    assert_eq!(causes(&world), ["payments-db"]);
}

/// The second fault reaches those that the first has reached before, from below, and before its own beginning is seen.
#[test]
fn another_fault_of_the_same_callers_is_known_by_where_it_begins() {
    let mut world = World::new(SHOP);
    world.play(
        30,
        &[
            ("index", "latency", 60.0, 0),
            ("search", "latency", 40.0, 0),
            ("web", "latency", 20.0, 0),
            ("web", "errors", 30.0, 14),
            ("checkout", "errors", 40.0, 14),
            ("payments", "errors", 50.0, 14),
            ("payments-db", "errors", 60.0, 15),
        ],
    );
    assert_eq!(causes(&world), ["index", "payments-db"]);
}

#[test]
fn a_slow_cascade_stays_one() {
    let mut world = World::new(SHOP);
    world.play(
        40,
        &[
            ("payments-db", "latency", 60.0, 0),
            ("payments", "errors", 40.0, 10),
            ("checkout", "errors", 30.0, 20),
            ("web", "errors", 20.0, 30),
        ],
    );
    assert_eq!(causes(&world), ["payments-db"]);
}

/// Load comes from above: what is called more suffers, however late.
#[test]
fn what_gets_more_to_do_suffers_from_who_sends_it() {
    let mut world = World::new(SHOP);
    world.play(
        30,
        &[
            ("web", "requests", 40.0, 0),
            ("search", "requests", 40.0, 0),
            ("index", "requests", 40.0, 0),
            ("index", "latency", 10.0, 14),
        ],
    );
    assert_eq!(world.count(), 1);
}

/// Processor time, of which the scatter is 0.005 points: both are rare, and one is no trouble.
#[test]
fn what_is_rare_and_makes_no_difference_is_no_anomaly() {
    for (to, incidents) in [(10.4, 0), (14.0, 1)] {
        let mut world = World::new(SHOP);
        for _ in 0..20 {
            let mut observation = observation("index", "cpu_percent", world.now, 40.0);
            observation.detection.value = to;
            observation.detection.expected = Some(Expected {
                mean: 10.2,
                lower: 10.185,
                upper: 10.215,
                scale: 0.005,
            });
            assert!(observation.detection.anomaly);
            world.correlator.observe(&observation);
            world.tick();
        }
        assert_eq!(world.count(), incidents, "{to} %");
    }
}
