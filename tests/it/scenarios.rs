//! The loop in simulated worlds: hours of traffic, faults whose cause is known, no clock.

use engine::correlate::Incident;
use engine::detect::{DetectConfig, Effort, Models};
use engine::pipeline::{BrainConfig, Lane, LaneConfig, LaneOutput};
use engine::series::{Labels, info_from_labels};
use sim::{Fault, FaultKind, World, WorldConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::prediction::Prediction;
use wire::{EntityId, Timestamp};

const MINUTE: i64 = 60_000;
/// Two days of history at one minute.
const HISTORY_ROWS: usize = 2 * 1440;

/// What the loop made of a world after its history.
#[derive(Debug, PartialEq)]
struct Played {
    incidents: Vec<Incident>,
    predictions: Vec<Prediction>,
    alerts: u64,
}

fn play(world: &World, rows: usize) -> Played {
    let models = Arc::new(Models::bundled().expect("the bundled models load"));
    let config = LaneConfig {
        context: Default::default(),
        detect: DetectConfig::default(),
        brain: BrainConfig::default(),
        source: Arc::from("sim"),
    };
    let mut lane = Lane::new(config, models);
    for edge in world.edges() {
        lane.declare_edge(edge);
    }
    let all: Vec<sim::Row> = world.rows().take(HISTORY_ROWS + rows).collect();
    let (history, live) = all.split_at(HISTORY_ROWS);
    for (column, name) in world.series().into_iter().enumerate() {
        let labels = Labels::of(name.entity.as_str(), name.metric, Some(name.statistic));
        let slot = lane.add_series(info_from_labels(&labels));
        let past: Vec<(Timestamp, f64)> = history.iter().map(|row| (row.at, row.values[column])).collect();
        lane.bootstrap(slot, &past);
    }
    let (mut incidents, mut predictions) = (BTreeMap::new(), BTreeMap::new());
    let mut alerts = 0;
    let mut out = LaneOutput::default();
    for row in live {
        let samples: Vec<(usize, Timestamp, f64)> = row
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_finite())
            .map(|(slot, value)| (slot, row.at, *value))
            .collect();
        out.clear();
        lane.step(row.at, &samples, Effort::Lazy, &mut out);
        alerts += out.detections.iter().filter(|d| d.anomaly).count() as u64;
        for change in &out.brain.incidents {
            incidents.insert(change.incident.id.clone(), change.incident.clone());
        }
        for change in &out.brain.predictions {
            predictions.insert(change.prediction.id.clone(), change.prediction.clone());
        }
    }
    Played {
        incidents: incidents
            .into_values()
            .filter(|i: &Incident| i.merged_into.is_none())
            .collect(),
        predictions: predictions.into_values().collect(),
        alerts,
    }
}

fn config(services: usize, faults: Vec<Fault>) -> WorldConfig {
    WorldConfig {
        services,
        faults,
        ..WorldConfig::default()
    }
}

/// `minutes` after the end of the history.
fn after(minutes: i64) -> Timestamp {
    WorldConfig::default().start + (HISTORY_ROWS as i64 + minutes) * MINUTE
}

fn fault(kind: FaultKind, cause: &EntityId, onset_minutes: i64, minutes: i64) -> Fault {
    Fault {
        kind,
        cause: cause.clone(),
        onset: after(onset_minutes),
        duration_ms: minutes * MINUTE,
    }
}

/// The deepest service that somebody calls.
fn deep(seed: u64, services: usize) -> EntityId {
    let world = World::new(seed, config(services, Vec::new()));
    world.edges().last().expect("has edges").callee.clone()
}

#[test]
fn six_clean_hours_raise_nothing() {
    for seed in 1..=3 {
        let played = play(&World::new(seed, config(8, Vec::new())), 360);
        assert!(played.incidents.is_empty(), "seed {seed}: {:#?}", titles(&played));
    }
}

#[track_caller]
fn check_one_fault(seed: u64, kind: FaultKind) {
    let cause = deep(seed, 8);
    let world = World::new(seed, config(8, vec![fault(kind, &cause, 30, 30)]));
    let played = play(&world, 60);
    assert_eq!(
        played.incidents.len(),
        1,
        "seed {seed} {kind:?} at {cause}: {:#?}",
        titles(&played)
    );
    let incident = &played.incidents[0];
    let delay = incident.started.millis_since(after(30));
    assert!(
        (0..=5 * MINUTE).contains(&delay),
        "seed {seed}: started {delay} ms after the onset"
    );
    assert_eq!(
        incident.causes.first().map(|c| &c.entity),
        Some(&cause),
        "seed {seed} {kind:?}: {:?}",
        incident.causes.iter().map(|c| (&c.entity, c.score)).collect::<Vec<_>>()
    );
    let callers = world.callers_of(&cause);
    for member in incident.members.values() {
        assert!(
            member.entity == cause || callers.contains(&member.entity),
            "seed {seed}: {} has nothing to do with {cause}",
            member.entity
        );
    }
}

#[test]
fn a_slow_service_is_one_incident_with_the_right_cause() {
    for seed in 1..=4 {
        check_one_fault(seed, FaultKind::Latency { factor: 6.0 });
    }
}

#[test]
fn a_failing_service_is_one_incident_with_the_right_cause() {
    for seed in 1..=4 {
        check_one_fault(seed, FaultKind::Errors { share: 0.2 });
    }
}

#[test]
fn two_faults_without_a_common_path_are_two_incidents() {
    // Two services without a common caller: their callers are apart too.
    let (seed, services) = (11, 16);
    let calm = World::new(seed, config(services, Vec::new()));
    let entities = calm.entities();
    let reach = |entity: &EntityId| {
        let mut all = calm.callers_of(entity);
        all.push(entity.clone());
        all
    };
    let pair = entities.iter().rev().enumerate().find_map(|(i, one)| {
        let other = entities.iter().rev().skip(i + 1);
        let apart = |two: &&EntityId| !reach(two).iter().any(|e| reach(one).contains(e));
        other.into_iter().find(apart).map(|two| (one.clone(), two.clone()))
    });
    let (one, two) = pair.expect("this world has services that nobody calls both of");
    let faults = vec![
        fault(FaultKind::Latency { factor: 6.0 }, &one, 30, 30),
        fault(FaultKind::Latency { factor: 6.0 }, &two, 33, 30),
    ];
    let played = play(&World::new(seed, config(services, faults)), 70);
    let mut causes: Vec<&EntityId> = played
        .incidents
        .iter()
        .filter_map(|i| Some(&i.causes.first()?.entity))
        .collect();
    causes.sort();
    let mut expected = vec![&one, &two];
    expected.sort();
    assert_eq!(causes, expected, "{:#?}", titles(&played));
}

#[test]
fn a_leak_is_predicted_before_it_breaches() {
    for seed in 1..=3 {
        let cause = deep(seed, 8);
        // Memory climbs to 100 % in three hours; 95 % is reached near the end.
        let world = World::new(seed, config(8, vec![fault(FaultKind::Leak, &cause, 10, 180)]));
        let played = play(&world, 190);
        let memory = world
            .series()
            .iter()
            .position(|n| n.entity == cause && n.metric == "memory_percent")
            .expect("exists");
        let breach = world
            .rows()
            .skip(HISTORY_ROWS)
            .find(|row| row.values[memory] >= 95.0)
            .expect("the leak reaches 95 %");
        let first = played
            .predictions
            .iter()
            .filter(|p| p.entity == cause && p.metric == "memory_percent")
            .map(|p| p.made_at)
            .min();
        let first = first.unwrap_or_else(|| panic!("seed {seed}: no prediction about {cause}"));
        let lead = breach.at.millis_since(first);
        assert!(
            lead >= 15 * MINUTE,
            "seed {seed}: predicted {lead} ms before the breach"
        );
    }
}

#[test]
fn a_replay_gives_the_same_incidents_bit_for_bit() {
    let cause = deep(2, 8);
    let world = World::new(
        2,
        config(8, vec![fault(FaultKind::Errors { share: 0.3 }, &cause, 20, 20)]),
    );
    let (one, two) = (play(&world, 60), play(&world, 60));
    assert_eq!(one, two);
    let json = |played: &Played| serde_json::to_string(&played.incidents).expect("incidents have a JSON form");
    assert_eq!(json(&one), json(&two));
}

fn titles(played: &Played) -> Vec<String> {
    let line = |i: &Incident| {
        let members: Vec<String> = i
            .members
            .values()
            .map(|m| format!("{}|{}", m.entity, m.metric))
            .collect();
        format!("{} at {}: {} {members:?}", i.title, i.started, i.alerts)
    };
    played.incidents.iter().map(line).collect()
}
