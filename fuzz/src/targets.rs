//! Every decoder of bytes that others send, or that a disk may have damaged: what must hold whatever the bytes are.
//!
//! None panics, none takes memory out of proportion (libFuzzer watches both), every number that comes out is finite, and every
//! sample belongs to a series that is known or named beside it. `fuzz/` runs them for long; `tests/it/decoders.rs` runs them
//! for a fixed number of mutations among the ordinary checks.

use engine::context::calendar::parse_ics;
use engine::features::{TemplateConfig, Templates};
use engine::ingest::alerts::{decode_posted, decode_webhook};
use engine::ingest::changes::{argocd, cdevents, github, gitlab, grafana, kubernetes, pagerduty};
use engine::ingest::cloudwatch::firehose::{self, Request};
use engine::ingest::cloudwatch::poll::{self, CloudwatchConfig, CredentialsPlace, Metrics};
use engine::ingest::influx::{self, Precision};
use engine::ingest::kafka::{self, Message};
use engine::ingest::log_files::{LogFilesConfig, Piece, lines};
use engine::ingest::otlp::{self, Encoding, Streams};
use engine::ingest::prometheus::{Limits, Version, decode};
use engine::ingest::registry::Registry;
use engine::ingest::scrape::exposition::{self, Format};
use engine::ingest::scrape::target::{Scrape, TargetState};
use engine::ingest::scrape::{ScrapeConfig, Target as ScrapeTarget};
use engine::ingest::signal::{SignalLimits, Signals};
use engine::ingest::statsd::{Aggregator, StatsdConfig};
use engine::ingest::{IngestBatch, csv, json_lines, loki};
use engine::promql::{Fetched, FetchedSeries, LabelSet, Query, Steps};
use engine::store::history::SealedChunk;
use engine::store::log::read_segment;
use wire::{SeriesId, Timestamp};

/// A decoder by its name, which is also that of its folder of seeds.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    ("remote_write_v1", remote_write_v1),
    ("remote_write_v2", remote_write_v2),
    ("otlp_metrics", otlp_metrics),
    ("otlp_metrics_json", otlp_metrics_json),
    ("otlp_logs", otlp_logs),
    ("otlp_logs_json", otlp_logs_json),
    ("otlp_spans", otlp_spans),
    ("otlp_spans_json", otlp_spans_json),
    ("loki", loki_protobuf),
    ("loki_json", loki_json),
    ("json_lines", json_logs),
    ("log_lines", log_lines),
    ("log_templates", log_templates),
    ("influx", influx_lines),
    ("statsd", statsd_lines),
    ("scrape", scrape),
    ("promql", promql),
    ("alerts", alerts),
    ("changes", changes),
    ("firehose", firehose_body),
    ("firehose_record", firehose_record),
    ("cloudwatch_list", cloudwatch_list),
    ("cloudwatch_data", cloudwatch_data),
    ("kafka", kafka_message),
    ("kubernetes", kubernetes_event),
    ("csv_metrics", csv_metrics),
    ("calendar", calendar),
    ("log_segment", log_segment),
    ("history_chunk", history_chunk),
];

const NOW: Timestamp = Timestamp(1_760_000_000_000);

/// Largest body after decompression: small, so that a bomb shows.
const MOST_BYTES: usize = 1 << 20;

fn limits() -> Limits {
    Limits {
        max_body_bytes: MOST_BYTES,
        ..Limits::default()
    }
}

fn sound(batch: &IngestBatch) {
    let known = |id: SeriesId| batch.new_series.iter().any(|info| info.id == id);
    for sample in &batch.samples {
        assert!(sample.value.is_finite(), "a number that is none came out: {sample:?}");
        assert!(known(sample.series), "a sample of nobody came out: {sample:?}");
    }
}

/// No more comes out than went in, but for what a record is in memory.
fn bounded(signals: &Signals, bytes: usize) {
    let records = signals.logs.len() + signals.spans.len();
    assert!(records <= bytes + 1, "{records} records out of {bytes} bytes");
}

fn remote_write(version: Version, bytes: &[u8]) {
    // As it is sent, and the inside alone: few mutations of a snappy block are one.
    let wrapped = snap::raw::Encoder::new().compress_vec(bytes);
    for body in [Some(bytes.to_vec()), wrapped.ok()].into_iter().flatten() {
        if let Ok(found) = decode(version, &body, &limits(), &Registry::default()) {
            sound(&found.into_batch());
        }
    }
}

fn remote_write_v1(bytes: &[u8]) {
    remote_write(Version::One, bytes);
}

fn remote_write_v2(bytes: &[u8]) {
    remote_write(Version::Two, bytes);
}

fn metrics(bytes: &[u8], encoding: Encoding) {
    if let Ok(found) = otlp::decode_metrics(bytes, encoding, &limits(), &Registry::default()) {
        let (batch, _) = Streams::new(1000).plan(found);
        sound(&batch);
    }
}

fn otlp_metrics(bytes: &[u8]) {
    metrics(bytes, Encoding::Protobuf);
}

fn otlp_metrics_json(bytes: &[u8]) {
    metrics(bytes, Encoding::Json);
}

fn logs(bytes: &[u8], encoding: Encoding) {
    if let Ok(found) = otlp::decode_logs(bytes, encoding, &SignalLimits::default(), NOW) {
        bounded(&found, bytes.len());
    }
}

fn otlp_logs(bytes: &[u8]) {
    logs(bytes, Encoding::Protobuf);
}

fn otlp_logs_json(bytes: &[u8]) {
    logs(bytes, Encoding::Json);
}

fn spans(bytes: &[u8], encoding: Encoding) {
    if let Ok(found) = otlp::decode_spans(bytes, encoding, &SignalLimits::default()) {
        bounded(&found, bytes.len());
    }
}

fn otlp_spans(bytes: &[u8]) {
    spans(bytes, Encoding::Protobuf);
}

fn otlp_spans_json(bytes: &[u8]) {
    spans(bytes, Encoding::Json);
}

fn loki_protobuf(bytes: &[u8]) {
    let wrapped = snap::raw::Encoder::new().compress_vec(bytes);
    for body in [Some(bytes.to_vec()), wrapped.ok()].into_iter().flatten() {
        if let Ok(found) = loki::decode_protobuf(&body, MOST_BYTES, &SignalLimits::default()) {
            bounded(&found, MOST_BYTES);
        }
    }
}

fn loki_json(bytes: &[u8]) {
    if let Ok(found) = loki::decode_json(bytes, &SignalLimits::default()) {
        bounded(&found, bytes.len());
    }
}

fn json_logs(bytes: &[u8]) {
    if let Ok(found) = json_lines::decode(bytes, &SignalLimits::default(), NOW) {
        bounded(&found, bytes.len());
    }
}

fn log_templates(bytes: &[u8]) {
    let config = TemplateConfig {
        max_templates: 50,
        max_line_bytes: 200,
        max_words: 20,
    };
    let mut templates = Templates::new(config);
    let text = String::from_utf8_lossy(bytes);
    let ids: Vec<_> = text.lines().map(|line| templates.learn(line)).collect();
    assert!(
        templates.len() <= config.max_templates + 1,
        "more templates than there is room for"
    );
    let all: u64 = templates.ids().map(|id| templates.count(id)).sum();
    assert_eq!(all, ids.len() as u64, "a line was lost");
    for id in ids {
        // A byte may be a value, which takes three to say.
        assert!(
            templates.text(id).len() <= 4 * config.max_line_bytes,
            "a template longer than its line"
        );
    }
}

fn log_lines(bytes: &[u8]) {
    let config = LogFilesConfig {
        name: "app".to_owned(),
        paths: Vec::new(),
        service: None,
        from_beginning: true,
    };
    let piece = Piece {
        path: "/var/log/app.log".into(),
        file: 1,
        offset: 0,
        text: bytes.to_vec(),
    };
    bounded(
        &lines::signals(&config, &[piece], &SignalLimits::default(), NOW),
        bytes.len(),
    );
}

fn influx_lines(bytes: &[u8]) {
    let precisions = ["", "us", "ms", "s"].map(Precision::parse);
    for precision in precisions.into_iter().flatten() {
        sound(&influx::decode(bytes, precision, NOW, &Registry::default()).batch);
    }
}

fn statsd_lines(bytes: &[u8]) {
    let mut aggregator = Aggregator::new(&StatsdConfig {
        udp: None,
        tcp: None,
        flush_ms: 10_000,
        max_series: 1000,
    });
    // Twice: what one interval leaves, the next one meets.
    for interval in 0..2 {
        let at = NOW + interval * 10_000;
        aggregator.take(bytes, at);
        sound(&aggregator.flush(at, &Registry::default()));
    }
}

fn scrape(bytes: &[u8]) {
    let config = ScrapeConfig {
        job: "node".to_owned(),
        targets: Vec::new(),
        files: Vec::new(),
        interval_ms: 15_000,
        timeout_ms: 10_000,
        scheme: "http".to_owned(),
        metrics_path: "/metrics".to_owned(),
        labels: vec![("env".to_owned(), "prod".to_owned())],
        honor_labels: false,
        max_samples: 1000,
        max_body_bytes: MOST_BYTES,
        credentials: None,
    };
    let text = String::from_utf8_lossy(bytes);
    let mut state = TargetState::new(ScrapeTarget::new(&config, "web-1:9100", &[]), false, limits());
    for (round, format) in [Format::Text, Format::OpenMetrics].into_iter().enumerate() {
        let exposition = exposition::parse(&text, format, config.max_samples).ok();
        assert!(
            exposition
                .as_ref()
                .is_none_or(|found| found.points.len() <= config.max_samples)
        );
        let scrape = Scrape {
            exposition: exposition.as_ref(),
            at: NOW + round as i64 * 15_000,
            took_ms: 250,
        };
        let found = state.take(scrape, &Registry::default());
        let (batch, _) = Streams::new(1000).plan(found.metrics);
        sound(&batch);
    }
    let _ = state.end(NOW);
}

/// What anybody may ask: it is answered, refused, or too much, soon.
fn promql(bytes: &[u8]) {
    let steps = Steps::range(NOW + -600_000, NOW, 60_000).expect("a range");
    let Ok(query) = Query::parse(&String::from_utf8_lossy(bytes)) else {
        return;
    };
    let Ok(selectors) = query.selectors(steps) else { return };
    let series = |n: usize| {
        let pairs =
            [("__name__", "up"), ("le", ["1", "+Inf"][n])].map(|(name, value)| (name.to_owned(), value.to_owned()));
        FetchedSeries {
            labels: LabelSet::new(pairs.to_vec()),
            samples: (0..40)
                .map(|i| (NOW.0 - i64::from(40 - i) * 30_000, f64::from(i) + n as f64))
                .collect(),
            ends: Vec::new(),
        }
    };
    let fetched: Vec<Fetched> = selectors.iter().map(|_| Fetched(vec![series(0), series(1)])).collect();
    let _ = query.instant(NOW, &fetched, &|| false);
    let _ = query.range(steps, &fetched, &|| false);
}

fn alerts(bytes: &[u8]) {
    let _ = decode_posted(bytes, NOW);
    let _ = decode_webhook(bytes, NOW);
}

fn changes(bytes: &[u8]) {
    for event in ["deployment", "deployment_status", "ping"] {
        let _ = github::decode(event, bytes, NOW);
    }
    let _ = gitlab::decode(bytes, NOW);
    let _ = argocd::decode(bytes, NOW);
    let _ = cdevents::decode_structured(bytes, NOW);
    let _ = grafana::decode(bytes, NOW);
    let _ = grafana::decode_graphite(bytes, NOW);
    let _ = pagerduty::routing_key(bytes);
    let _ = pagerduty::decode(bytes, NOW);
}

fn firehose_body(bytes: &[u8]) {
    let common = firehose::common_attributes(&String::from_utf8_lossy(bytes)).unwrap_or_default();
    if let Ok(request) = Request::parse(bytes, None) {
        let delivery = request.decode(&common, &Registry::default());
        assert!(delivery.bad_records <= request.records() as u64);
        sound(&delivery.batch);
    }
}

fn firehose_record(bytes: &[u8]) {
    sound(&firehose::decode_record(bytes, &Registry::default()).batch);
}

fn cloudwatch_config() -> CloudwatchConfig {
    CloudwatchConfig {
        name: "cloudwatch".to_owned(),
        region: "eu-west-1".to_owned(),
        endpoint: None,
        namespaces: vec!["AWS/EC2".to_owned()],
        metrics: Vec::new(),
        dimensions: [("InstanceId".to_owned(), String::new())].into(),
        statistics: vec!["Average".to_owned(), "p99.9".to_owned()],
        period_ms: 60_000,
        delay_ms: 0,
        account: "42".to_owned(),
        max_metrics: 100,
        credentials: CredentialsPlace::Usual,
    }
}

fn cloudwatch_list(bytes: &[u8]) {
    let (config, mut metrics) = (cloudwatch_config(), Metrics::default());
    if metrics.add(bytes, &config).is_ok() {
        assert!(metrics.len() <= config.max_metrics);
        for question in metrics.questions(&config, NOW, NOW) {
            let _ = question.body(None);
        }
    }
}

fn cloudwatch_data(bytes: &[u8]) {
    let listed = br#"{"Metrics":[{"Namespace":"AWS/EC2","MetricName":"CPUUtilization","Dimensions":[{"Name":"InstanceId","Value":"i-1"}]}]}"#;
    let (config, mut metrics) = (cloudwatch_config(), Metrics::default());
    metrics.add(listed, &config).expect("a list as CloudWatch sends it");
    let _ = poll::next_token(bytes);
    for question in metrics.questions(&config, NOW, NOW) {
        if let Ok(batch) = poll::batch(&[(&question, bytes.to_vec())], &Registry::default()) {
            sound(&batch);
        }
    }
}

/// The content type up to the first line break, then the payload, in every format but those that have a target of their own.
fn kafka_message(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (kind, payload) = bytes.split_at(end);
    let kind = String::from_utf8_lossy(kind);
    let message = Message {
        topic: kind.to_string(),
        partition: 1,
        offset: i64::MAX,
        at: Some(NOW),
        content_type: Some(kind.to_string()),
        payload: payload.get(1..).unwrap_or_default().to_vec(),
    };
    let _ = (kafka::kind_of_topic(&message.topic), message.place());
    bounded(&kafka::line(&message, &SignalLimits::default(), NOW), bytes.len());
    let version = message.remote_write_version();
    if let Ok(named) = version {
        remote_write(named.unwrap_or(Version::One), &message.payload);
    }
}

fn kubernetes_event(bytes: &[u8]) {
    let mut rollouts = kubernetes::Rollouts::new(kubernetes::Kind::Deployment);
    // Events of a watch are lines.
    for line in bytes.split(|byte| *byte == b'\n') {
        match kubernetes::event(line) {
            Ok((kubernetes::Event::There(workload), _)) => {
                let _ = rollouts.there(workload, NOW);
            }
            Ok((kubernetes::Event::Gone(workload), _)) => {
                let _ = rollouts.gone(&workload, NOW);
            }
            _ => {}
        }
    }
}

fn csv_metrics(bytes: &[u8]) {
    if let Ok(frame) = csv::read_metrics(bytes, "metrics.csv") {
        assert!(frame.columns.iter().all(|column| column.len() == frame.times.len()));
        assert!(frame.times.is_sorted());
        assert!(frame.columns.iter().flatten().all(|value| !value.is_infinite()));
    }
    let _ = csv::read_edges(bytes, "edges.csv");
    let _ = csv::read_deploys(bytes, "deploys.csv");
    let _ = csv::read_labels(bytes, "labels.csv");
    let _ = csv::read_expected(bytes, "expected.csv");
}

fn calendar(bytes: &[u8]) {
    let _ = parse_ics(&String::from_utf8_lossy(bytes), "Europe/Berlin");
}

fn log_segment(bytes: &[u8]) {
    let mut records = 0;
    let recovery = read_segment(bytes, |_| records += 1);
    assert_eq!(recovery.records, records);
    assert!(recovery.end.0 <= bytes.len() as u64);
}

fn history_chunk(bytes: &[u8]) {
    let Some((head, rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let chunk = SealedChunk {
        series: SeriesId(1),
        start: NOW,
        end: NOW,
        count: u32::from(u16::from_le_bytes(*head)),
        bytes: rest.into(),
    };
    if let Ok(samples) = chunk.samples() {
        assert_eq!(samples.len(), chunk.count as usize);
    }
}
