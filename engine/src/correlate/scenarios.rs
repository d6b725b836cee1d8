//! Faults in simulated time: what becomes one incident, what stays two, who is to blame.

mod waves;

use super::{ChangeKind, CorrelateConfig, CorrelateError, Correlator, Incident, Observation};
use crate::detect::{Detection, Expected};
use crate::series::{Labels, info_from_labels};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::incident::{IncidentState, Severity, Verdict};
use wire::series::{SeriesInfo, Votes};
use wire::topology::{Deploy, Edge};
use wire::{IncidentId, Timestamp};

const STEP_MS: i64 = 15_000;
const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// A lane whose clock ticks every 15 seconds.
struct World {
    correlator: Correlator,
    now: Timestamp,
    changes: Vec<(ChangeKind, IncidentId, u64)>,
}

impl World {
    fn new(edges: &[(&str, &str)]) -> Self {
        let mut correlator = Correlator::new(CorrelateConfig::default());
        for (caller, callee) in edges {
            correlator.declare_edge(edge(caller, callee));
        }
        Self {
            correlator,
            now: START,
            changes: Vec::new(),
        }
    }

    /// One sample: `size` standard deviations off.
    fn sample(&mut self, entity: &str, metric: &str, size: f64) {
        let observation = observation(entity, metric, self.now, size);
        self.correlator.observe(&observation);
    }

    /// Ends a step.
    fn tick(&mut self) {
        for change in self.correlator.advance(self.now) {
            self.changes
                .push((change.kind, change.incident.id.clone(), change.incident.revision));
        }
        self.now = self.now + STEP_MS;
    }

    /// `steps` steps in which each `(entity, metric, size, first step)` strays from its first step on.
    fn play(&mut self, steps: i64, faults: &[(&str, &str, f64, i64)]) {
        for step in 0..steps {
            for (entity, metric, size, first) in faults {
                if step >= *first {
                    self.sample(entity, metric, *size);
                }
            }
            self.tick();
        }
    }

    fn quiet(&mut self, minutes: i64) {
        self.play(minutes * 60_000 / STEP_MS, &[]);
    }

    fn only(&self) -> &Incident {
        let all: Vec<&Incident> = self.correlator.incidents().collect();
        assert_eq!(all.len(), 1, "{:?}", all.iter().map(|i| &i.title).collect::<Vec<_>>());
        all[0]
    }

    fn count(&self) -> usize {
        self.correlator.incidents().filter(|i| i.merged_into.is_none()).count()
    }
}

fn edge(caller: &str, callee: &str) -> Edge {
    Edge {
        caller: caller.into(),
        callee: callee.into(),
    }
}

fn info(entity: &str, metric: &str) -> SeriesInfo {
    SeriesInfo {
        step_ms: STEP_MS,
        ..info_from_labels(&Labels::of(entity, metric, None))
    }
}

fn observation(entity: &str, metric: &str, at: Timestamp, size: f64) -> Observation {
    let info = info(entity, metric);
    let (mean, scale) = if metric == "availability" {
        (100.0, -0.5)
    } else {
        (0.2, 0.01)
    };
    Observation {
        detection: Detection {
            series: info.id,
            at,
            value: mean + size * scale,
            expected: Some(Expected {
                mean,
                lower: mean - 3.0 * f64::abs(scale),
                upper: mean + 3.0 * f64::abs(scale),
                scale: f64::abs(scale),
            }),
            score: (size / (size + 2.0)) as f32,
            salience: 0.0,
            shift: 0.0,
            votes: Votes::default(),
            anomaly: size >= 5.0,
            signal: None,
            breach: None,
            quiet_at: None,
            confidence: 1.0,
        },
        info: Arc::new(info),
        source: "replay".into(),
        has_samples: true,
    }
}

const SHOP: &[(&str, &str)] = &[
    ("web", "checkout"),
    ("web", "search"),
    ("checkout", "payments"),
    ("payments", "payments-db"),
    ("search", "index"),
    ("backoffice", "reports"),
    ("reports", "warehouse"),
];

#[test]
fn a_fault_and_its_victims_are_one_incident_with_the_first_as_cause() {
    let mut world = World::new(SHOP);
    world.play(
        12,
        &[
            ("payments-db", "latency", 40.0, 0),
            ("payments", "latency", 40.0, 1),
            ("payments", "availability", 12.0, 2),
            ("checkout", "latency", 40.0, 2),
            ("web", "latency", 20.0, 3),
            ("web", "availability", 12.0, 3),
        ],
    );
    let incident = world.only();
    assert_eq!(
        incident.cause.as_ref().map(|c| c.as_str()),
        Some("payments-db"),
        "{:#?}",
        incident.causes
    );
    assert!(incident.confidence > 0.6, "{}", incident.confidence);
    assert_eq!(incident.severity, Severity::P1);
    assert_eq!(incident.members.len(), 6);
    let path: Vec<&str> = incident.story.path.iter().map(|e| e.as_str()).collect();
    assert_eq!(path, ["payments-db", "payments", "checkout", "web"]);
    let blast: Vec<&str> = incident.blast_radius.iter().map(|e| e.as_str()).collect();
    assert_eq!(blast, ["payments", "checkout", "web"]);
    assert!(incident.members.values().all(|m| !m.reason.is_empty()));
    assert!(incident.causes[1..].iter().all(|c| !c.reason.is_empty()));
    for claim in [
        &incident.story.cause,
        &incident.story.critical_failure,
        &incident.story.impact,
    ] {
        assert!(!claim.text.is_empty() && !claim.evidence.is_empty(), "{claim:?}");
    }
    assert_eq!(
        incident.story.cause.text,
        "payments-db: latency rose from 200 ms to 600 ms at 22:13 UTC."
    );
    assert!(
        incident
            .story
            .critical_failure
            .text
            .starts_with("Users first felt it at web: "),
        "{}",
        incident.story.critical_failure.text
    );
    assert_eq!(
        incident.story.counterfactual.text,
        "Without payments-db nothing explains the other 3 members: the incident would not exist."
    );
}

#[test]
fn an_error_that_stays_inside_names_the_deepest_service() {
    let mut world = World::new(&[("a", "b"), ("b", "c")]);
    world.play(
        8,
        &[
            ("c", "availability", 60.0, 0),
            ("b", "availability", 50.0, 0),
            ("a", "availability", 30.0, 1),
        ],
    );
    let incident = world.only();
    assert_eq!(
        incident.cause.as_ref().map(|c| c.as_str()),
        Some("c"),
        "{:#?}",
        incident.causes
    );
    assert!(
        incident.causes.iter().any(|c| c.reason.contains("a victim")),
        "{:#?}",
        incident.causes
    );
}

#[test]
fn a_partner_that_nothing_is_measured_of_can_be_the_cause() {
    let edges = [
        ("web", "cart"),
        ("web", "orders"),
        ("cart", "partner"),
        ("orders", "partner"),
    ];
    let mut world = World::new(&edges);
    for entity in ["web", "cart", "orders"] {
        world.correlator.reports(&entity.into());
    }
    world.play(
        8,
        &[
            ("cart", "latency", 40.0, 0),
            ("orders", "latency", 40.0, 0),
            ("web", "latency", 20.0, 0),
        ],
    );
    let incident = world.only();
    assert_eq!(incident.causes[0].entity.as_str(), "partner", "{:?}", incident.causes);
    assert!(
        incident.causes[0]
            .reason
            .starts_with("nothing is measured of it, but all 2 that depend on it deviate"),
        "{}",
        incident.causes[0].reason
    );
}

#[test]
fn people_part_and_join_incidents_and_take_it_back() {
    let mut world = World::new(SHOP);
    let fault = [
        ("index", "latency", 30.0, 0),
        ("search", "latency", 30.0, 0),
        ("web", "latency", 20.0, 0),
    ];
    world.play(8, &fault);
    let old = world.only().id.clone();
    let now = world.now;
    let web = BTreeSet::from(["web".into()]);
    let all: BTreeSet<_> = world.only().entities.clone();
    for (entities, problem) in [
        (BTreeSet::new(), "not all and not none"),
        (all, "not all and not none"),
        (BTreeSet::from(["mars".into()]), "mars is no member"),
    ] {
        let refused = world.correlator.split(&old, &entities, "ann", now).unwrap_err();
        assert!(refused.to_string().contains(problem), "{refused}");
    }
    let [new, left] = world.correlator.split(&old, &web, "ann", now).unwrap();
    assert_eq!((new.kind, left.kind), (ChangeKind::Opened, ChangeKind::Updated));
    assert_eq!((new.incident.members.len(), left.incident.members.len()), (1, 2));
    assert_eq!(new.incident.cause.as_ref().map(|c| c.as_str()), Some("web"));
    // What a person has parted stays parted, though the graph connects it.
    world.play(
        4,
        &[
            ("web", "errors", 30.0, 0),
            ("search", "latency", 30.0, 0),
            ("web", "latency", 20.0, 0),
        ],
    );
    let new = new.incident.id;
    assert!(
        world
            .correlator
            .incident(&new)
            .is_some_and(|i| i.is_open() && i.members.len() == 2)
    );
    assert!(world.correlator.incident(&old).is_some_and(|i| i.members.len() == 2));
    let now = world.now;
    let [into, from] = world.correlator.merge_by(&new, &old, "ann", now).unwrap();
    assert_eq!((into.incident.members.len(), from.kind), (4, ChangeKind::Merged));
    assert_eq!(from.incident.merged_into, Some(old.clone()));
    let [own, rest] = world.correlator.unmerge(&new, "ann", now).unwrap();
    assert_eq!(
        (own.kind, own.incident.members.len(), rest.incident.members.len()),
        (ChangeKind::Reopened, 2, 2)
    );
    assert!(own.incident.is_open() && own.incident.timeline.iter().any(|e| e.text.contains("apart from")));
    let again = world.correlator.unmerge(&new, "ann", now).unwrap_err();
    assert!(matches!(again, CorrelateError::Senseless(_)), "{again}");
}

#[test]
fn an_echo_reopens_and_a_later_fault_does_not() {
    let mut world = World::new(SHOP);
    let fault = [("index", "latency", 30.0, 0), ("search", "latency", 30.0, 0)];
    world.play(8, &fault);
    world.quiet(20);
    assert_eq!(world.only().state, IncidentState::Resolved);
    let members = world.only().members.len();
    world.play(4, &fault);
    let incident = world.only();
    assert_eq!(incident.state, IncidentState::Open);
    assert_eq!(incident.members.len(), members);
    assert!(incident.timeline.iter().any(|e| e.text.starts_with("re-opened")));
    world.quiet(60);
    world.play(4, &fault);
    assert_eq!(world.count(), 2);
}

#[test]
fn one_flapping_sample_opens_nothing() {
    let mut world = World::new(SHOP);
    for _ in 0..10 {
        world.sample("web", "latency", 12.0);
        world.tick();
        world.quiet(2);
    }
    assert_eq!(world.count(), 0);
    world.sample("web", "latency", 12.0);
    world.tick();
    world.sample("web", "latency", 12.0);
    world.tick();
    assert_eq!(world.count(), 1);
}

#[test]
fn a_lone_metric_that_is_hardly_off_has_to_stay_so() {
    let per_minute = 60_000 / STEP_MS;
    let opened = |faults: &[(&str, &str, f64, i64)], minutes: i64| {
        let mut world = World::new(SHOP);
        world.play(minutes * per_minute, faults);
        world.count()
    };
    let lone = [("web", "latency", 6.0, 0)];
    assert_eq!((opened(&lone, 9), opened(&lone, 10)), (0, 1));
    // One that is clearly off, two that agree, and a limit that somebody has set do not wait.
    assert_eq!(opened(&[("web", "latency", 9.0, 0)], 1), 1);
    assert_eq!(
        opened(&[("web", "latency", 6.0, 0), ("checkout", "latency", 6.0, 0)], 1),
        1
    );
    let mut world = World::new(SHOP);
    for _ in 0..2 {
        let mut observation = observation("web", "latency", world.now, 6.0);
        observation.detection.breach = Some(0.21);
        world.correlator.observe(&observation);
        world.tick();
    }
    assert_eq!(world.count(), 1);
}

#[test]
fn a_late_edge_joins_what_it_connects() {
    let mut world = World::new(&[("a", "b"), ("x", "y")]);
    let faults = [("a", "latency", 30.0, 0), ("x", "latency", 30.0, 0)];
    world.play(4, &faults);
    assert_eq!(world.count(), 2);
    world.correlator.declare_edge(edge("a", "x"));
    world.tick();
    assert_eq!(world.count(), 1);
    assert!(world.changes.iter().any(|(kind, ..)| *kind == ChangeKind::Merged));
    world.play(2, &faults);
    assert_eq!(world.count(), 1);
}

#[test]
fn without_a_graph_time_alone_groups_and_confidence_is_lower() {
    let mut world = World::new(&[]);
    world.play(6, &[("p", "latency", 60.0, 0), ("q", "latency", 10.0, 3)]);
    let incident = world.only();
    assert!(incident.confidence <= 0.7);
    assert!(incident.members.values().any(|m| m.reason.contains("no call graph")));
}

#[test]
fn a_deploy_shortly_before_is_named_and_tips_the_scale() {
    let faults = [
        ("checkout", "latency", 30.0, 0),
        ("search", "latency", 30.0, 0),
        ("web", "latency", 30.0, 0),
    ];
    let mut world = World::new(SHOP);
    world
        .correlator
        .record_deploy(Deploy::new(START - 120_000, "search", "v2.3"));
    world.play(6, &faults);
    let incident = world.only();
    assert_eq!(
        incident.cause.as_ref().map(|c| c.as_str()),
        Some("search"),
        "{:#?}",
        incident.causes
    );
    assert!(
        incident
            .story
            .cause
            .text
            .contains("Version v2.3 of it went live 2 min before."),
        "{}",
        incident.story.cause.text
    );
    let mut world = World::new(SHOP);
    world.play(6, &faults);
    assert_eq!(
        world.only().cause,
        None,
        "a tie has no single cause: {:#?}",
        world.only().causes
    );
}

#[test]
fn the_life_cycle_is_ordered_and_told() {
    let mut world = World::new(SHOP);
    let fault = [("index", "latency", 30.0, 0)];
    world.play(4, &fault);
    let id = world.only().id.clone();
    let now = world.now;
    let lane = &mut world.correlator;
    let revision = lane.incident(&id).map_or(0, |i| i.revision);
    let change = lane.acknowledge(&id, "ann", now).unwrap();
    assert_eq!(change.incident.revision, revision + 1);
    assert!(matches!(
        lane.acknowledge(&id, "bob", now),
        Err(CorrelateError::WrongState {
            state: "acknowledged",
            ..
        })
    ));
    lane.mitigated(&id, "engine", "restarted index", now).unwrap();
    lane.resolve(&id, "ann", now).unwrap();
    lane.feedback(&id, "ann", Verdict::Useful, "", now).unwrap();
    assert!(lane.resolve(&id, "bob", now).is_err());
    assert!(lane.acknowledge(&"INC-999999".into(), "bob", now).is_err());
    // The same run goes on: the person who resolved it does not hear of it again, and it takes no members.
    let members = world.only().members.len();
    world.play(4, &fault);
    assert_eq!(world.only().state, IncidentState::Resolved);
    assert_eq!(world.only().members.len(), members);
    let actors: Vec<&str> = world.only().timeline.iter().map(|e| e.actor.as_str()).collect();
    assert!(actors.ends_with(&["ann", "engine", "ann", "ann"]), "{actors:?}");
}

#[test]
fn what_people_decide_counts_until_they_decide_otherwise() {
    let mut world = World::new(SHOP);
    let fault = [("index", "latency", 30.0, 0)];
    world.play(4, &fault);
    let id = world.only().id.clone();
    let now = world.now;
    let lane = &mut world.correlator;
    let computed = lane.incident(&id).unwrap().severity;
    let graded = lane.set_severity(&id, "ann", Some(Severity::P1), now).unwrap();
    assert_eq!(graded.incident.severity, Severity::P1);
    let taken = lane.assign(&id, "ann", Some("ann".to_owned()), now).unwrap();
    assert_eq!(taken.incident.assignee.as_deref(), Some("ann"));
    lane.comment(&id, "ben", "I restart it", now).unwrap();
    let until = now + 3_600_000;
    let put_off = lane.snooze(&id, "ann", Some(until), now).unwrap();
    assert_eq!(put_off.incident.snoozed_until, Some(until));
    // More anomalies change none of it.
    world.play(4, &fault);
    assert_eq!(world.only().severity, Severity::P1);
    assert_eq!(world.only().assignee.as_deref(), Some("ann"));
    let now = world.now;
    let lane = &mut world.correlator;
    let graded = lane.set_severity(&id, "ann", None, now).unwrap();
    assert_eq!(
        graded.incident.severity,
        Severity::P1.min(computed),
        "it gets no less severe while it is open"
    );
    lane.resolve(&id, "ann", now).unwrap();
    assert_eq!(world.only().snoozed_until, None, "what comes back is news");
    let lane = &mut world.correlator;
    for refused in [
        lane.set_severity(&id, "ann", Some(Severity::P2), now).err(),
        lane.snooze(&id, "ann", None, now).err(),
    ] {
        assert!(
            matches!(&refused, Some(CorrelateError::WrongState { state: "resolved", .. })),
            "{refused:?}"
        );
    }
    // What is over can still be talked about.
    lane.comment(&id, "ben", "it was the disk", now).unwrap();
    let texts: Vec<&str> = world.only().timeline.iter().map(|entry| entry.text.as_str()).collect();
    for said in [
        "severity set from",
        "works on it",
        "I restart it",
        "put off until",
        "it was the disk",
    ] {
        assert!(texts.iter().any(|text| text.contains(said)), "{said}: {texts:?}");
    }
}

#[test]
fn what_a_person_opens_again_stays_open_until_a_person_ends_it() {
    let mut world = World::new(SHOP);
    let fault = [("index", "latency", 30.0, 0)];
    world.play(4, &fault);
    let id = world.only().id.clone();
    let now = world.now;
    world.correlator.resolve(&id, "ann", now).unwrap();
    let again = world.correlator.reopen_by(&id, "ben", now).unwrap();
    assert_eq!(
        (again.kind, again.incident.state),
        (ChangeKind::Reopened, IncidentState::Open)
    );
    assert!(world.correlator.reopen_by(&id, "ann", now).is_err(), "it is open");
    // An hour of quiet.
    world.play(240, &[]);
    assert_eq!(world.only().state, IncidentState::Open);
    // What strays of its members is its own again.
    let alerts = world.only().alerts;
    world.play(4, &fault);
    assert!(world.only().alerts > alerts);
    let now = world.now;
    world.correlator.resolve(&id, "ben", now).unwrap();
    assert_eq!(world.only().state, IncidentState::Resolved);
}

#[test]
fn a_storm_is_one_incident() {
    let mut world = World::new(&[("a0", "b0")]);
    let names: Vec<String> = (0..60).map(|i| format!("island-{i}")).collect();
    for name in &names {
        world.correlator.declare_edge(edge(name, &format!("{name}-callee")));
    }
    for _ in 0..3 {
        for name in &names {
            world.sample(name, "latency", 30.0);
        }
        world.tick();
    }
    let before = world.correlator.incidents().count();
    for name in &names {
        world.sample(&format!("{name}-other"), "latency", 30.0);
    }
    for name in &names {
        world
            .correlator
            .declare_edge(edge(&format!("{name}-other"), &format!("{name}-third")));
    }
    for _ in 0..2 {
        for name in &names {
            world.sample(&format!("{name}-other"), "latency", 30.0);
        }
        world.tick();
    }
    assert_eq!(world.correlator.incidents().count(), before, "the storm goes into one");
    let storm: Vec<&Incident> = world.correlator.incidents().filter(|i| i.storm).collect();
    assert_eq!(storm.len(), 1);
    assert_eq!(storm[0].severity, Severity::P1);
    assert!(storm[0].title.starts_with("Alert storm: "), "{}", storm[0].title);
}

#[test]
fn an_incident_survives_being_stored_and_restored() {
    let mut world = World::new(SHOP);
    let fault = [("index", "latency", 30.0, 0), ("search", "latency", 30.0, 1)];
    world.play(4, &fault);
    let stored = serde_json::to_string(world.only()).unwrap();
    let incident: Incident = serde_json::from_str(&stored).unwrap();
    assert_eq!(&incident, world.only());
    let mut after = World::new(SHOP);
    after.now = world.now;
    after.correlator.restore(vec![incident]);
    after.play(3, &fault);
    let incident = after.only();
    assert_eq!(incident.cause.as_ref().map(|c| c.as_str()), Some("index"));
    assert!(incident.alerts > world.only().alerts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes: ids are unique, revisions grow, open members belong to one incident, resolved ones take none.
    #[test]
    fn invariants_hold(events in prop::collection::vec((0_u8..12, 0_u8..3, 0.0..40.0_f64, 0_i64..30), 1..150)) {
        let mut world = World::new(&[("s0", "s1"), ("s1", "s2"), ("s3", "s4"), ("s4", "s3"), ("s6", "s7")]);
        let mut seen: std::collections::BTreeMap<IncidentId, (u64, usize, bool, usize)> = Default::default();
        for (entity, action, size, gap) in events {
            let name = format!("s{entity}");
            world.sample(&name, if action == 0 { "availability" } else { "latency" }, size);
            if action == 2 {
                world.correlator.declare_edge(edge(&name, &format!("s{}", (entity + 3) % 12)));
                let open = world.correlator.incidents().find(|i| i.is_open()).map(|i| i.id.clone());
                if let Some(id) = open {
                    let now = world.now;
                    prop_assert!(world.correlator.resolve(&id, "ann", now).is_ok());
                }
            }
            world.tick();
            world.now = world.now + gap * 60_000;
            let mut owned = BTreeSet::new();
            for incident in world.correlator.incidents() {
                let (revision, members, open, relapses) = seen.get(&incident.id).copied().unwrap_or((0, 0, true, 0));
                let relapsed = incident.timeline.iter().filter(|e| e.text.starts_with("re-opened")).count();
                prop_assert!(incident.revision >= revision);
                prop_assert!(open || relapsed > relapses || incident.members.len() == members);
                prop_assert!(incident.started <= incident.last_anomaly);
                prop_assert!((0.0..=1.0).contains(&incident.confidence));
                if incident.is_open() {
                    for series in incident.members.keys() {
                        prop_assert!(owned.insert(*series), "a series is in two open incidents");
                    }
                }
                let now = (incident.revision, incident.members.len(), incident.is_open(), relapsed);
                seen.insert(incident.id.clone(), now);
            }
        }
    }
}
