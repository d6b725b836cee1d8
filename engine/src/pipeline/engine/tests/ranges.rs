//! Ranges of any length: samples while they are few and kept, then what each minute or hour was.

use super::*;
use wire::series::SeriesPoint;

const END: i64 = 1_700_000_000_000;
const COUNT: i64 = 54_000;
const SPIKE: f64 = 99.0;

/// A sample a second up to now; in the middle of it, one that stands out.
fn seconds() -> IngestBatch {
    let info = info_from_labels(&Labels::of("web", "latency", None));
    let samples = (0..COUNT).map(|i| Sample {
        series: info.id,
        at: Timestamp(END - (COUNT - i) * 1000),
        value: if i == COUNT / 2 { SPIKE } else { (i % 7) as f64 },
    });
    IngestBatch {
        samples: samples.collect(),
        new_series: vec![info],
        ..IngestBatch::default()
    }
}

async fn points(engine: &Arc<Engine>, from: i64, to: i64) -> Vec<SeriesPoint> {
    let query = Query::Series {
        id: info_from_labels(&Labels::of("web", "latency", None)).id,
        from: Some(Timestamp(from)),
        to: Some(Timestamp(to)),
        max_points: Some(5000),
    };
    let Reply::Series(detail) = engine.handle(operator()).query(query).await.unwrap() else {
        panic!("a series was asked for")
    };
    detail.points
}

fn extremes(points: &[SeriesPoint]) -> (f64, f64) {
    let min = points.iter().filter_map(|p| p.min).fold(f64::INFINITY, f64::min);
    let max = points.iter().filter_map(|p| p.max).fold(f64::NEG_INFINITY, f64::max);
    (min, max)
}

/// A point for each step, give or take one at the edges and where points and steps do not coincide.
#[track_caller]
fn about(points: usize, steps: usize) {
    assert!(
        points + 2 + steps / 50 >= steps && points <= steps + 2,
        "{points} points of {steps} steps"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_finest_level_that_is_there_and_not_too_much_answers() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(Config::new(dir.path())).await;
    assert_eq!(engine.ingest("test", seconds()).await.unwrap().accepted, COUNT as u64);
    engine.seal(true).await.unwrap();
    engine.compact().await.unwrap();
    // All of it by minutes, in which no peak is lost.
    let all = points(&engine, 0, i64::MAX).await;
    let minutes = (COUNT / 60) as usize;
    about(all.len(), minutes);
    assert_eq!(extremes(&all), (0.0, SPIKE));
    // An hour sample by sample.
    assert_eq!(points(&engine, END - 3_600_000, END).await.len(), 3600);
    // What came since is there, too, and counts once.
    let mut later = seconds();
    later.samples.truncate(30);
    later
        .samples
        .iter_mut()
        .for_each(|sample| sample.at = sample.at + COUNT * 1000);
    assert_eq!(engine.ingest("test", later).await.unwrap().accepted, 30);
    let all = points(&engine, 0, i64::MAX).await;
    about(all.len(), minutes);
    // Samples are forgotten, minutes are not; then hours are left.
    engine.store.expire(Timestamp(i64::MAX)).await.unwrap();
    let old = points(&engine, END - 7_200_000, END - 3_600_001).await;
    about(old.len(), 60);
    engine
        .store
        .expire_rollups(Level::Minute, Timestamp(i64::MAX))
        .await
        .unwrap();
    let old = points(&engine, 0, END - 1).await;
    about(old.len(), 15);
    assert_eq!(extremes(&old), (0.0, SPIKE));
    engine.shutdown().await;
}
