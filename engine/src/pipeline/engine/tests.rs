//! The live engine from ingestion to approval, and across restarts.

mod events;
mod guard;
mod intake;
mod kafka;
mod log_files;
mod log_watch;
mod models;
mod ranges;
mod remote_write;
mod seal;
mod topology;

use super::*;
use crate::clock::ManualClock;
use crate::config::{RawConfig, ReplayConfig};
use crate::ingest::{IngestBatch, RejectReason};
use crate::series::{Labels, Sample, info_from_labels};
use crate::store::rollup::Level;
use futures::StreamExt;
use wire::command::Command;
use wire::proposal::ProposalState;
use wire::query::{ErrorKind, Query, Reply};
use wire::status::Role;
use wire::stream::{Event, Snapshot};

fn operator() -> Identity {
    Identity {
        name: "ada".to_owned(),
        role: Role::Operator,
    }
}

async fn start(config: Config) -> Arc<Engine> {
    Engine::start(config, Arc::new(ManualClock::new(Timestamp(1_700_000_000_000))))
        .await
        .unwrap()
}

/// `count` samples of one series, a second apart, ending before the clock.
fn batch(from: i64, count: i64) -> IngestBatch {
    let info = info_from_labels(&Labels::of("web", "latency", None));
    let samples = (from..from + count)
        .map(|i| Sample {
            series: info.id,
            at: Timestamp(1_699_999_000_000 + i * 1000),
            value: (i % 7) as f64,
        })
        .collect();
    IngestBatch {
        new_series: vec![info],
        samples,
        ..IngestBatch::default()
    }
}

async fn values(engine: &Arc<Engine>) -> Vec<(Timestamp, f64)> {
    values_of(engine, "web").await
}

/// The latency of an entity, as it is stored.
async fn values_of(engine: &Arc<Engine>, entity: &str) -> Vec<(Timestamp, f64)> {
    let id = info_from_labels(&Labels::of(entity, "latency", None)).id;
    let query = Query::Series {
        id,
        from: Some(Timestamp(0)),
        to: Some(Timestamp(i64::MAX)),
        max_points: Some(5000),
    };
    let Reply::Series(detail) = engine.handle(operator()).query(query).await.unwrap() else {
        panic!("a series was asked for")
    };
    detail.points.iter().filter_map(|p| Some((p.at, p.value?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_there_once_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(Config::new(dir.path())).await;
    assert_eq!(engine.ingest("test", batch(0, 300)).await.unwrap().accepted, 300);
    // A retry is no error and counts nothing twice.
    let report = engine.ingest("test", batch(200, 150)).await.unwrap();
    assert_eq!(
        (
            report.accepted,
            report.rejections[0].reason,
            report.rejections[0].samples
        ),
        (50, RejectReason::Duplicate, 100)
    );
    engine.seal(false).await.unwrap();
    engine.ingest("test", batch(350, 400)).await.unwrap();
    engine.seal(false).await.unwrap();
    let before = values(&engine).await;
    assert_eq!(before.len(), 750);
    // No shutdown: the log and what was sealed is all that is left.
    let engine = start(Config::new(dir.path())).await;
    assert_eq!(values(&engine).await, before);
    // An orderly stop moves everything to the store and empties the log.
    engine.shutdown().await;
    let engine = start(Config::new(dir.path())).await;
    assert_eq!(values(&engine).await, before);
    assert_eq!(engine.ingest("test", batch(740, 20)).await.unwrap().accepted, 10);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_samples_are_named_and_the_others_kept() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(Config::new(dir.path())).await;
    let mut mixed = batch(0, 3);
    mixed.samples[1].at = Timestamp(1_700_000_000_000 + 11 * 60_000);
    let report = engine.ingest("test", mixed).await.unwrap();
    assert_eq!(
        (report.accepted, report.rejections[0].reason),
        (2, RejectReason::TooFarInFuture)
    );
    engine.shutdown().await;
}

/// Follows the live state until `done`, through deltas alone.
async fn follow(engine: &Arc<Engine>, mut done: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    let mut events = engine.handle(operator()).watch().await.unwrap();
    let mut copy = Snapshot::default();
    let wait = async {
        while let Some(event) = events.next().await {
            match event {
                Event::Snapshot(snapshot) => copy = snapshot,
                Event::Delta(delta) => copy.apply(delta).expect("deltas are consecutive"),
            }
            if done(&copy) {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(120), wait)
        .await
        .expect("the state is reached");
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_fault_becomes_an_incident_and_a_remedy_that_waits_for_a_click() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.replay = Some(ReplayConfig::new(None, 3000.0));
    let engine = start(config).await;
    let handle = engine.handle(operator());
    let pending = |s: &Snapshot| s.proposals.iter().any(|p| p.state == ProposalState::Pending);
    let state = follow(&engine, pending).await;
    let proposal = state
        .proposals
        .iter()
        .find(|p| p.state == ProposalState::Pending)
        .unwrap()
        .clone();
    let incident = proposal.incident.clone().expect("it is for an incident");
    let Reply::Incident(detail) = handle.query(Query::Incident { id: incident.clone() }).await.unwrap() else {
        panic!("an incident was asked for")
    };
    assert_eq!(detail.summary.cause.as_ref(), Some(&proposal.target));
    assert!(detail.proposals.contains(&proposal.id) && !detail.story.cause.text.is_empty());

    let viewer = engine.handle(Identity {
        name: "eve".to_owned(),
        role: Role::Viewer,
    });
    let approve = |hash: &str| Command::Approve {
        proposal: proposal.id.clone(),
        plan_hash: hash.to_owned(),
    };
    assert_eq!(
        viewer.command(approve(&proposal.plan_hash)).await.unwrap_err().kind,
        ErrorKind::Forbidden
    );
    assert_eq!(
        handle.command(approve("other")).await.unwrap_err().kind,
        ErrorKind::Conflict
    );
    handle.command(Command::SetKillSwitch { on: true }).await.unwrap();
    assert_eq!(
        handle.command(approve(&proposal.plan_hash)).await.unwrap_err().kind,
        ErrorKind::Forbidden
    );
    handle.command(Command::SetKillSwitch { on: false }).await.unwrap();
    handle.command(approve(&proposal.plan_hash)).await.unwrap();
    // There is nowhere to send it: the outcome says so, and it is on record.
    let failed = |s: &Snapshot| {
        s.proposals
            .iter()
            .any(|p| p.id == proposal.id && matches!(p.state, ProposalState::Failed { .. }))
    };
    follow(&engine, failed).await;
    assert_eq!(
        handle.command(approve(&proposal.plan_hash)).await.unwrap_err().kind,
        ErrorKind::Conflict
    );
    let Reply::Audit(audit) = handle.query(Query::Audit { limit: None }).await.unwrap() else {
        panic!("the audit was asked for")
    };
    assert!(
        audit
            .iter()
            .any(|e| e.action == "approve" && e.actor == "ada" && e.subject == proposal.id.as_str())
    );
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_under_maintenance_is_shown_with_its_reason() {
    // The clock stands at 23:13:20 in Berlin; the fault is in the last six minutes.
    let explanation = async |file: &str| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::try_from(RawConfig::parse(file).unwrap()).unwrap();
        config.data_dir = dir.path().to_owned();
        let engine = start(config).await;
        let info = info_from_labels(&Labels::of("web", "latency", None));
        let id = info.id;
        let samples = (0..400).map(|i| Sample {
            series: id,
            at: Timestamp(1_700_000_000_000 + (i - 399) * 60_000),
            value: if i >= 394 {
                900.0
            } else {
                5.0 + (i * 7919 % 101) as f64 / 101.0
            },
        });
        let batch = IngestBatch {
            samples: samples.collect(),
            new_series: vec![info],
            ..IngestBatch::default()
        };
        engine.ingest("test", batch).await.unwrap();
        let query = Query::Series {
            id,
            from: Some(Timestamp(0)),
            to: Some(Timestamp(i64::MAX)),
            max_points: Some(500),
        };
        let Reply::Series(detail) = engine.handle(operator()).query(query).await.unwrap() else {
            panic!("a series was asked for")
        };
        engine.shutdown().await;
        (detail.explanation, detail.points.iter().any(|p| p.anomaly))
    };
    let (text, anomaly) = explanation("[host]\nenabled = false\n").await;
    assert!(anomaly && !text.contains("suppressed"), "{text}");
    let upkeep = "[[maintenance]]\nid = \"upkeep\"\nentity = \"w*\"\nstart = \"2023-11-12T23:00\"\nduration = \"2h\"\n\
                  timezone = \"Europe/Berlin\"\nrrule = \"FREQ=DAILY\"\nnote = \"new disks\"\n[host]\nenabled = false\n";
    let (text, anomaly) = explanation(upkeep).await;
    assert!(!anomaly, "{text}");
    assert!(
        text.contains("suppressed: maintenance window upkeep (new disks)"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_limit_is_explained_with_its_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let file = "[host]\nenabled = false\n[[series]]\nmetric = \"latency\"\nlimit_above = 5\n";
    let mut config = Config::try_from(RawConfig::parse(file).unwrap()).unwrap();
    config.data_dir = dir.path().to_owned();
    let engine = start(config).await;
    // The values go round from 0 to 6: the seventh breaks the limit, the eighth does not.
    engine.ingest("test", batch(0, 8)).await.unwrap();
    let id = batch(0, 1).new_series[0].id;
    let query = Query::Series {
        id,
        from: None,
        to: None,
        max_points: None,
    };
    let Reply::Series(detail) = engine.handle(operator()).query(query).await.unwrap() else {
        panic!("a series was asked for")
    };
    let [last, anomaly] = [detail.evidence.unwrap(), detail.last_anomaly.unwrap()];
    assert!(!last.anomaly && last.sentence == detail.explanation, "{last:?}");
    assert!(
        anomaly.anomaly && anomaly.at == Timestamp(1_699_999_006_000),
        "{anomaly:?}"
    );
    assert!(anomaly.quiet_at.is_some_and(|v| (v - 5.0).abs() < 1e-2), "{anomaly:?}");
    let sentence = "latency of web was 6; static limit (set in halo.toml): 6 is above 5";
    assert!(anomaly.sentence.starts_with(sentence), "{}", anomaly.sentence);
    assert_eq!(anomaly.settings, ["limit_above = 6"]);
    engine.shutdown().await;
}
