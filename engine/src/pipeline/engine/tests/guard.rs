//! What is refused at the door, what goes on, and what is told of it.

use super::*;
use crate::config::LimitConfig;
use crate::quality::cardinality::SeriesLimits;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

async fn limited(dir: &std::path::Path, set: impl FnOnce(&mut LimitConfig)) -> Arc<Engine> {
    let mut config = Config::new(dir);
    set(&mut config.limits);
    start(config).await
}

/// A sample of each user's requests.
fn by_user(users: std::ops::Range<usize>, step: i64) -> IngestBatch {
    let infos: Vec<_> = users
        .map(|user| {
            let pairs = [
                ("__name__", "requests".to_owned()),
                ("job", "shop".to_owned()),
                ("user_id", format!("u{user}")),
            ];
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
            info_from_labels(&Labels::new(pairs.to_vec()))
        })
        .collect();
    let samples = infos.iter().map(|info| Sample {
        series: info.id,
        at: Timestamp(NOW.0 - 60_000 + step * 1000),
        value: 1.0,
    });
    IngestBatch {
        samples: samples.collect(),
        new_series: infos,
        ..IngestBatch::default()
    }
}

fn reasons(report: &IngestReport) -> Vec<(RejectReason, u64)> {
    report.rejections.iter().map(|r| (r.reason, r.samples)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exploding_label_is_cut_off_told_and_what_is_known_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let limits = SeriesLimits {
        total: 1000,
        per_source: 500,
        per_metric: 200,
        ..SeriesLimits::default()
    };
    let engine = limited(dir.path(), |set| set.series = limits).await;
    let report = engine.ingest("test", by_user(0..150, 0)).await.unwrap();
    assert_eq!((report.accepted, reasons(&report)), (150, vec![]));
    let report = engine.ingest("test", by_user(100..300, 1)).await.unwrap();
    assert_eq!(
        (report.accepted, reasons(&report)),
        (100, vec![(RejectReason::Cardinality, 100)])
    );
    let told = &report.rejections[0].example;
    assert!(
        told.contains("user_id") && told.contains("limits.max_series_per_metric"),
        "{told}"
    );
    // The known ones go on, and another metric is not concerned.
    let report = engine.ingest("test", by_user(0..150, 2)).await.unwrap();
    assert_eq!((report.accepted, reasons(&report)), (150, vec![]));
    assert_eq!(engine.ingest("test", batch(0, 5)).await.unwrap().accepted, 5);
    let state = follow(&engine, |s| {
        let counted = s
            .status
            .sources
            .iter()
            .any(|s| s.rejected.contains(&("cardinality".to_owned(), 100)));
        counted && !s.status.protection.explosions.is_empty()
    })
    .await;
    let explosion = &state.status.protection.explosions[0];
    assert_eq!(
        (
            explosion.source.as_str(),
            explosion.metric.as_str(),
            explosion.label.as_deref()
        ),
        ("test", "requests", Some("user_id"))
    );
    assert!(explosion.active && explosion.refused == 100 && explosion.limit == 200);
    let metrics = engine.metrics_text();
    let line = "halo_cardinality_refused_total{source=\"test\",metric=\"requests\",label=\"user_id\"} 100\n";
    assert!(metrics.contains(line), "{metrics}");
    engine.shutdown().await;
    // What was counted before is counted after a restart.
    let engine = limited(dir.path(), |set| set.series = limits).await;
    let report = engine.ingest("test", by_user(149..150, 3)).await.unwrap();
    assert_eq!((report.accepted, reasons(&report)), (1, vec![]));
    let report = engine.ingest("test", by_user(300..302, 3)).await.unwrap();
    assert_eq!(
        (report.accepted, reasons(&report)),
        (0, vec![(RejectReason::Cardinality, 2)])
    );
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_too_fast_is_told_to_wait_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let engine = limited(dir.path(), |set| set.samples_per_sec = 10).await;
    assert_eq!(engine.ingest("test", batch(0, 100)).await.unwrap().accepted, 100);
    let error = engine.ingest("test", batch(100, 50)).await.unwrap_err();
    assert!(
        error.is_retryable() && error.to_string().contains("max_samples_per_sec") && error.to_string().contains("5 s"),
        "{error}"
    );
    // Another source has its own measure.
    assert_eq!(engine.ingest("other", batch(200, 50)).await.unwrap().accepted, 50);
    follow(&engine, |s| {
        s.status
            .sources
            .iter()
            .any(|s| s.name == "test" && s.rejected.contains(&("over_rate".to_owned(), 50)))
    })
    .await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_on_the_disk_nothing_is_acknowledged_and_questions_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let engine = limited(dir.path(), |_| {}).await;
    assert_eq!(engine.ingest("test", batch(0, 10)).await.unwrap().accepted, 10);
    engine.shutdown().await;
    let engine = limited(dir.path(), |set| set.min_free_disk_bytes = u64::MAX - 1).await;
    let error = engine.ingest("test", batch(10, 10)).await.unwrap_err();
    assert!(
        error.is_retryable() && error.to_string().contains("min_free_disk_mb"),
        "{error}"
    );
    assert_eq!(values(&engine).await.len(), 10);
    let state = follow(&engine, |s| s.status.protection.storage.refusing.is_some()).await;
    let rejected = &state.status.sources.iter().find(|s| s.name == "test").unwrap().rejected;
    assert_eq!(rejected, &[("not_durable".to_owned(), 10)]);
    assert!(engine.metrics_text().contains("halo_storage_refusing 1\n"));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_memory_what_is_known_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let engine = limited(dir.path(), |_| {}).await;
    engine.ingest("test", by_user(0..3, 0)).await.unwrap();
    engine.shutdown().await;
    let engine = limited(dir.path(), |set| set.memory_bytes = Some(1)).await;
    let report = engine.ingest("test", by_user(0..5, 1)).await.unwrap();
    assert_eq!(
        (report.accepted, reasons(&report)),
        (3, vec![(RejectReason::OverMemory, 2)])
    );
    engine.shutdown().await;
}
