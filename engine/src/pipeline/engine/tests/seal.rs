//! Moving history to the store while samples come.

use super::*;

const SERIES: usize = 200;
const ROUNDS: i64 = 60;

fn name(series: usize) -> String {
    format!("web-{series:03}")
}

/// A sample of every series.
fn round(n: i64) -> IngestBatch {
    let infos: Vec<_> = (0..SERIES)
        .map(|series| info_from_labels(&Labels::of(&name(series), "latency", None)))
        .collect();
    let samples = infos.iter().map(|info| Sample {
        series: info.id,
        at: Timestamp(1_699_999_000_000 + n * 1000),
        value: n as f64,
    });
    IngestBatch {
        samples: samples.collect(),
        new_series: infos,
        ..IngestBatch::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_everything_is_sealed_is_there_once_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(Config::new(dir.path())).await;
    let sending = async {
        for n in 0..ROUNDS {
            assert_eq!(engine.ingest("test", round(n)).await.unwrap().accepted, SERIES as u64);
        }
    };
    let sealing = async {
        for _ in 0..5 {
            engine.seal(true).await.unwrap();
        }
    };
    tokio::join!(sending, sealing);
    engine.seal(false).await.unwrap();
    // No shutdown: the log and what was sealed is all that is left.
    let engine = start(Config::new(dir.path())).await;
    let expected: Vec<_> = (0..ROUNDS)
        .map(|n| (Timestamp(1_699_999_000_000 + n * 1000), n as f64))
        .collect();
    for series in 0..SERIES {
        assert_eq!(values_of(&engine, &name(series)).await, expected, "{}", name(series));
    }
    engine.shutdown().await;
    let engine = start(Config::new(dir.path())).await;
    assert_eq!(values_of(&engine, &name(SERIES - 1)).await, expected);
    engine.shutdown().await;
}
