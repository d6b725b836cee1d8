//! Lines of logs that make an incident, across a restart.

use super::*;
use crate::pipeline::Payload;
use serde_json::json;
use wire::incident::IncidentSummary;

const MINUTE: i64 = 60_000;
const START: Timestamp = Timestamp(1_700_000_000_000);

/// A minute of orders, one every two seconds; paid, or not.
fn minute(from: Timestamp, fails: bool) -> Vec<u8> {
    let line = |at: Timestamp, text: String| {
        let line = json!({"date": at.as_secs_f64(), "service.name": "shop", "level": if text.contains("failed") {"error"} else {"info"}, "log": text});
        format!("{line}\n")
    };
    let orders = (0..60).step_by(2).flat_map(|second| {
        let at = from + second * 1000;
        let order = at.0 / 1000 % 10_000;
        let end = if fails {
            format!("order {order} failed: connection to payments refused")
        } else {
            format!("order {order} paid")
        };
        [line(at, format!("order {order} received")), line(at + 900, end)]
    });
    orders.collect::<String>().into_bytes()
}

async fn send(engine: &Arc<Engine>, from: Timestamp, fails: bool) {
    let report = engine.take(Payload::JsonLogs, &minute(from, fails)).await.unwrap();
    assert_eq!(report.accepted, 60);
}

async fn incidents(engine: &Arc<Engine>) -> Vec<IncidentSummary> {
    let Event::Snapshot(snapshot) = engine.handle(operator()).watch().await.unwrap().next().await.unwrap() else {
        panic!("a snapshot comes first")
    };
    snapshot.incidents.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_tell_of_a_failure_make_an_incident_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(START));
    let engine = Engine::start(Config::new(dir.path()), clock.clone()).await.unwrap();
    for ago in (1..=60).rev() {
        send(&engine, START - ago * MINUTE, false).await;
    }
    engine.shutdown().await;
    // What was usual is learnt from the lines that were kept.
    let engine = Engine::start(Config::new(dir.path()), clock.clone()).await.unwrap();
    send(&engine, START, false).await;
    clock.set(START + MINUTE);
    send(&engine, START + MINUTE, true).await;
    clock.set(START + 2 * MINUTE);
    let mut events = engine.handle(operator()).watch().await.unwrap();
    let mut found = incidents(&engine).await;
    for _ in 0..30 {
        if !found.is_empty() {
            break;
        }
        // What was written stays in view for three minutes.
        clock.advance(5_000);
        events.next().await.unwrap();
        found = incidents(&engine).await;
    }
    let [incident] = found.as_slice() else {
        panic!("one incident: {found:?}")
    };
    assert_eq!(incident.cause, Some("shop".into()));
    assert!(incident.title.contains("percent of log lines"), "{incident:?}");
    engine.shutdown().await;
}
