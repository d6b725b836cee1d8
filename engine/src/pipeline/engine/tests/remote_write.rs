//! Remote write from the bytes of Prometheus' own packages to what is stored, told and kept.

use super::*;
use crate::ingest::prometheus::Version;
use crate::pipeline::{Question, Written};
use crate::promql::{Answer, Query as Promql};
use std::time::Duration;

const AT: i64 = 1_700_000_000_000;

/// The requests that `ingest/prometheus/tests/oracle.go` made.
pub(super) fn golden(version: &str) -> Vec<u8> {
    let text = include_str!("../../../ingest/prometheus/tests/golden.json");
    let golden: serde_json::Value = serde_json::from_str(text).unwrap();
    let hex = golden[version].as_str().unwrap().as_bytes();
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.chunks(2).map(digits).collect()
}

async fn engine_at(dir: &std::path::Path, now: i64) -> Arc<Engine> {
    let clock = Arc::new(ManualClock::new(Timestamp(now)));
    Engine::start(Config::new(dir), clock).await.unwrap()
}

async fn ask(engine: &Engine, query: &str) -> Vec<String> {
    let query = Promql::parse(query).unwrap();
    let question = Question::Instant {
        query,
        at: Timestamp(AT),
    };
    match engine.ask(question, Duration::from_secs(60)).await.unwrap() {
        Told::Answer(Answer::Vector(found)) => found.into_iter().map(|(_, value)| value.to_string()).collect(),
        other => panic!("a vector was asked for, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_are_stored_and_accounted_for() {
    for (version, name) in [(Version::One, "v1"), (Version::Two, "v2")] {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine_at(dir.path(), AT).await;
        let all = Written {
            samples: 3,
            histograms: 4,
            exemplars: 1,
        };
        let body = golden(name);
        let outcome = engine.remote_write(version, &body).await;
        assert_eq!(outcome.written, all, "{name}");
        let report = outcome.result.unwrap();
        assert!(report.rejections.is_empty(), "{:?}", report.rejections);
        // Sent again, it is there already, which counts as written.
        let again = engine.remote_write(version, &body).await;
        assert_eq!((again.written, again.result.unwrap().accepted), (all, 0), "{name}");
        assert_eq!(ask(&engine, "requests_total").await, ["42"]);
        assert_eq!(ask(&engine, "coarse_count{zone=\"z\"}").await, ["20"]);
        assert_eq!(ask(&engine, "custom_bucket{le=\"0.5\"}").await, ["7"]);
        let found = engine.registry().select(|info| info.metric == "requests_total");
        let exemplars = engine.exemplars(found[0].id, Timestamp(0), Timestamp(AT));
        assert_eq!(exemplars.len(), 1);
        assert_eq!(found[0].kind, wire::series::SeriesKind::Counter, "{name}");
        let quantiles = engine
            .registry()
            .select(|info| info.metric == "fine" && info.statistic.is_some());
        assert_eq!(quantiles.len(), 4, "judged by three quantiles and the mean");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_engine_refuses_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    // Its clock is an hour behind.
    let engine = engine_at(dir.path(), AT - 3_600_000).await;
    let outcome = engine.remote_write(Version::Two, &golden("v2")).await;
    let written = Written {
        // The marker of an end is no sample in the future.
        samples: 1,
        histograms: 0,
        exemplars: 1,
    };
    assert_eq!(outcome.written, written);
    let report = outcome.result.unwrap();
    assert!(
        report
            .rejections
            .iter()
            .all(|r| r.reason == RejectReason::TooFarInFuture),
        "{report:?}"
    );
    let broken = engine.remote_write(Version::Two, b"nonsense").await;
    assert_eq!((broken.written, broken.result.is_err()), (Written::default(), true));
}
