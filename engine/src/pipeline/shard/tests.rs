//! What a shard makes of the words of the coordinator.

use super::*;
use crate::context::ContextConfig;
use crate::detect::SeriesState;
use crate::series::{Labels, info_from_labels};
use std::collections::BTreeSet;
use tokio::sync::oneshot;
use wire::EntityId;

/// A shard with one series of the entity `db`.
struct Bench {
    shard: Shard,
    series: SeriesId,
    minutes: i64,
}

impl Bench {
    fn new() -> Self {
        let (observed, _) = mpsc::channel(64);
        let models = Arc::new(Models::bundled().unwrap());
        let context = Context::new(&ContextConfig::default());
        let mut shard = Shard::new(0, DetectConfig::default(), models, context, 0, observed);
        let mut info = info_from_labels(&Labels::of("db", "load", None));
        info.step_ms = 60_000;
        let series = info.id;
        shard.serve(ShardMessage::Add {
            source: Arc::from("test"),
            infos: vec![(Arc::new(info), None)],
        });
        Self {
            shard,
            series,
            minutes: 0,
        }
    }

    /// So many samples, `by` above the ordinary.
    fn take(&mut self, count: i64, by: f64) {
        let minutes = self.minutes..self.minutes + count;
        self.minutes += count;
        let samples = minutes.map(|i| Sample {
            series: self.series,
            at: Timestamp(i * 60_000),
            value: 5.0 + (i * 7919 % 101) as f64 / 101.0 + by,
        });
        let (reply, mut refused) = oneshot::channel();
        self.shard.serve(ShardMessage::Batch {
            source: Arc::from("test"),
            samples: samples.collect(),
            arrived: None,
            reply,
        });
        assert_eq!(refused.try_recv().unwrap(), []);
    }

    /// Something that comes and goes.
    fn fault(&mut self) {
        self.take(20, 900.0);
        self.take(5, 0.0);
    }

    fn troubled(&mut self, number: u64, entities: &[&str]) {
        let entities: BTreeSet<EntityId> = entities.iter().map(|name| (*name).into()).collect();
        self.shard.serve(ShardMessage::Troubled {
            number,
            entities: Arc::new(entities),
        });
    }

    fn state(&self) -> SeriesState {
        self.shard.detector.state(0)
    }
}

#[test]
fn an_older_word_about_what_incidents_touch_changes_nothing() {
    let mut bench = Bench::new();
    bench.take(400, 0.0);
    let known = bench.state();
    bench.troubled(2, &["db"]);
    bench.troubled(1, &[]);
    bench.fault();
    assert_ne!(bench.state(), known, "it is judged by what it is meanwhile");
    bench.troubled(3, &[]);
    assert_eq!(bench.state(), known, "and was trouble all the time");
    bench.troubled(2, &["db"]);
    bench.fault();
    let after = bench.state();
    bench.troubled(4, &[]);
    assert_eq!(bench.state(), after, "what is over does not begin again");
}
