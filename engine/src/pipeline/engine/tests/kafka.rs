//! Topics of a cluster that librdkafka plays itself: what happens between a message and a durable sample. A real broker is in the
//! tests `real`.

use super::*;
use crate::ingest::kafka::{Format, KafkaConfig, Kind, Message};
use crate::ingest::otlp::Encoding;
use crate::pipeline::engine::kafka::Sink;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use serde_json::json;
use std::time::Duration;

const TOPIC: &str = "otlp_metrics";

struct Place {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: FutureProducer,
}

impl Place {
    fn new(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, partitions, 1).unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .create()
            .unwrap();
        Self { cluster, producer }
    }

    async fn send(&self, partition: i32, payload: &str) {
        let record = FutureRecord::<(), str>::to(TOPIC).partition(partition).payload(payload);
        self.producer.send(record, Duration::from_secs(30)).await.unwrap();
    }

    /// A second of the gauge `load`.
    async fn second(&self, partition: i32, second: i64) {
        let at = format!("{}000000", 1_699_999_000_000 + second * 1000);
        let point = json!({"timeUnixNano": at, "asDouble": second as f64});
        let service = json!({"key": "service.name", "value": {"stringValue": "cart"}});
        let request = json!({"resourceMetrics": [{
            "resource": {"attributes": [service]},
            "scopeMetrics": [{"metrics": [{"name": "load", "gauge": {"dataPoints": [point]}}]}]
        }]});
        self.send(partition, &request.to_string()).await;
    }

    fn config(&self, dir: &tempfile::TempDir) -> Config {
        let format = Format::Otlp(Encoding::Json, Some(Kind::Metrics));
        let mut all = Config::new(dir.path());
        all.kafka = vec![config(vec![self.cluster.bootstrap_servers()], format)];
        all
    }
}

fn config(brokers: Vec<String>, format: Format) -> KafkaConfig {
    KafkaConfig {
        name: "k".to_owned(),
        brokers,
        topics: vec![TOPIC.to_owned()],
        group: "halo".to_owned(),
        // The cluster waits for a member that has left until nearly the end of its session.
        session_ms: 3000,
        format,
        from_start: true,
        tls: None,
        sasl: None,
    }
}

/// Waits, beat by beat of the coordinator, until the engine's metrics hold a line.
async fn until(engine: &Arc<Engine>, line: &str) {
    let mut events = engine.handle(operator()).watch().await.unwrap();
    let seen = async {
        while !engine.metrics_text().lines().any(|found| found == line) {
            events.next().await;
        }
    };
    let limit = tokio::time::timeout(Duration::from_secs(90), seen).await;
    limit.unwrap_or_else(|_| panic!("no {line} in\n{}", engine.metrics_text()));
}

async fn load(engine: &Arc<Engine>) -> Vec<(Timestamp, f64)> {
    let query = Query::SeriesList {
        search: "load".to_owned(),
        entity: Some("cart".into()),
        limit: None,
    };
    let Reply::SeriesList(list) = engine.handle(operator()).query(query).await.unwrap() else {
        panic!("a list was asked for")
    };
    let query = Query::Series {
        id: list[0].info.id,
        from: Some(Timestamp(0)),
        to: Some(Timestamp(i64::MAX)),
        max_points: Some(5000),
    };
    let Reply::Series(detail) = engine.handle(operator()).query(query).await.unwrap() else {
        panic!("a series was asked for")
    };
    detail.points.iter().filter_map(|p| Some((p.at, p.value?))).collect()
}

fn seconds(count: i64) -> Vec<(Timestamp, f64)> {
    (0..count)
        .map(|second| (Timestamp(1_699_999_000_000 + second * 1000), second as f64))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_for_room_and_nonsense_is_passed_over() {
    let (dir, place) = (tempfile::tempdir().unwrap(), Place::new(2));
    let engine = start(place.config(&dir)).await;
    place.second(0, 0).await;
    place.send(0, "nonsense").await;
    place.second(0, 1).await;
    until(
        &engine,
        "halo_kafka_messages_total{source=\"k\",topic=\"otlp_metrics\"} 3",
    )
    .await;
    until(
        &engine,
        "halo_source_rejected_total{source=\"k\",reason=\"malformed\"} 1",
    )
    .await;
    assert_eq!(load(&engine).await, seconds(2));

    // Nothing finds room: the source says so and waits.
    let all = u32::try_from(engine.room.available_permits()).unwrap();
    let room = engine.room.acquire_many(all).await.unwrap();
    place.second(0, 2).await;
    place.second(1, 3).await;
    let mut events = engine.handle(operator()).watch().await.unwrap();
    while !engine.feeds.note("k").contains("waits to be tried again") {
        events.next().await;
    }
    until(
        &engine,
        "halo_kafka_messages_total{source=\"k\",topic=\"otlp_metrics\"} 3",
    )
    .await;
    drop(room);
    until(
        &engine,
        "halo_kafka_messages_total{source=\"k\",topic=\"otlp_metrics\"} 5",
    )
    .await;
    assert_eq!(load(&engine).await, seconds(4));
    place.second(1, 4).await;
    until(
        &engine,
        "halo_kafka_messages_total{source=\"k\",topic=\"otlp_metrics\"} 6",
    )
    .await;
    assert_eq!(load(&engine).await, seconds(5));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_is_kept_over_an_orderly_stop() {
    let (dir, place) = (tempfile::tempdir().unwrap(), Place::new(1));
    let engine = start(place.config(&dir)).await;
    place.second(0, 0).await;
    until(
        &engine,
        "halo_kafka_messages_total{source=\"k\",topic=\"otlp_metrics\"} 1",
    )
    .await;
    engine.shutdown().await;
    let engine = start(place.config(&dir)).await;
    place.second(0, 1).await;
    until(
        &engine,
        "halo_kafka_messages_total{source=\"k\",topic=\"otlp_metrics\"} 1",
    )
    .await;
    assert_eq!(load(&engine).await, seconds(2));
    // The first was not read again.
    assert!(
        !engine.metrics_text().contains("duplicate"),
        "{}",
        engine.metrics_text()
    );
    engine.shutdown().await;
}

#[tokio::test]
async fn remote_write_is_of_the_version_that_a_message_names_or_else_of_the_one_that_it_is() {
    let two = Some("application/x-protobuf;proto=io.prometheus.write.v2.Request");
    let one = Some("application/x-protobuf;proto=prometheus.WriteRequest");
    let cases = [
        ("v1", None, None),
        ("v1", one, None),
        ("v2", None, None),
        ("v2", two, None),
        ("v2", one, Some("malformed")),
        ("v1", Some("application/x-protobuf;proto=v3"), Some("unsupported")),
    ];
    for (golden, content_type, refused) in cases {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000)));
        let engine = Engine::start(Config::new(dir.path()), clock).await.unwrap();
        let sink = Sink {
            engine: Arc::clone(&engine),
            config: config(Vec::new(), Format::RemoteWrite),
        };
        let message = Message {
            topic: "prom".to_owned(),
            partition: 0,
            offset: 0,
            at: None,
            content_type: content_type.map(str::to_owned),
            payload: remote_write::golden(golden),
        };
        sink.take(&message).await.unwrap();
        let taken = engine.registry().select(|info| info.metric == "requests_total").len();
        assert_eq!(taken, usize::from(refused.is_none()), "{golden} {content_type:?}");
        if let Some(reason) = refused {
            let line = format!("halo_source_rejected_total{{source=\"k\",reason=\"{reason}\"}} 1");
            until(&engine, &line).await;
        }
        engine.shutdown().await;
    }
}
