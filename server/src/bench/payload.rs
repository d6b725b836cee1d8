//! Remote-write requests as a Prometheus server sends them. What a series is called is written once; of each further instant
//! only times and values are put in, so that making requests costs little beside taking them.

use axum::body::Bytes;
use std::ops::Range;
use wire::Timestamp;

/// Samples in one request: Prometheus' own default.
pub(super) const SAMPLES_PER_REQUEST: usize = 2000;

/// Requests with one sample of each of `series` series at `at`. Values wander with a season; labels look like those of a
/// Kubernetes service.
pub(super) fn round(series: usize, at: Timestamp) -> Vec<Vec<u8>> {
    let firsts = (0..series).step_by(SAMPLES_PER_REQUEST);
    firsts
        .map(|first| Template::new(first..series.min(first + SAMPLES_PER_REQUEST), 1).at(at, 0))
        .collect()
}

/// A request and how many samples are in it.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) samples: usize,
    pub(super) body: Bytes,
}

/// Endless requests of senders that each own a share of the series, so that the samples of a series come in order however
/// the senders overtake each other. Few series fill a request with several instants.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// Of one round, the senders taking turns.
    templates: Vec<Template>,
    instants: usize,
    next: Timestamp,
    step_ms: i64,
}

impl Stream {
    /// From `start` on an instant every `step_ms`; no request has more than `request_samples` samples.
    pub(super) fn new(series: usize, senders: usize, request_samples: usize, start: Timestamp, step_ms: i64) -> Self {
        let requests = senders * series.div_ceil(senders * request_samples);
        let instants = (request_samples / series.div_ceil(requests)).max(1);
        let share = |request: usize| request * series / requests;
        let ranges = (0..requests).map(|request| share(request)..share(request + 1));
        Self {
            templates: ranges.map(|range| Template::new(range, instants)).collect(),
            instants,
            next: start,
            step_ms,
        }
    }

    /// Instants of one round.
    pub(super) fn instants(&self) -> usize {
        self.instants
    }

    /// The first instant that was not sent yet.
    #[cfg(test)]
    pub(super) fn next(&self) -> Timestamp {
        self.next
    }

    /// The next instants of every series; request `i` is for sender `i % senders`.
    pub(super) fn round(&mut self) -> Vec<Write> {
        let at = self.next;
        self.next = at + self.instants as i64 * self.step_ms;
        let step_ms = self.step_ms;
        let writes = self.templates.iter_mut().map(|template| Write {
            samples: template.samples.len(),
            body: template.at(at, step_ms).into(),
        });
        writes.collect()
    }
}

/// One request before compression, and where its samples are.
#[derive(Clone, Debug)]
struct Template {
    bytes: Vec<u8>,
    /// Series, instant, and the place of the value, which the time follows.
    samples: Vec<(usize, i64, usize)>,
}

/// Bytes of a time in milliseconds as a varint, from 1971 to 2109.
const TIME_BYTES: usize = 6;
/// Bytes of a sample: a tag and a value, a tag and a time.
const SAMPLE_BYTES: usize = 1 + 8 + 1 + TIME_BYTES;

impl Template {
    /// A message for each sample, the instants one after the other, as Prometheus writes them.
    fn new(series: Range<usize>, instants: usize) -> Self {
        let mut template = Self {
            bytes: Vec::with_capacity(series.len() * instants * 200),
            samples: Vec::with_capacity(series.len() * instants),
        };
        for instant in 0..instants as i64 {
            for one in series.clone() {
                field(&mut template.bytes, 1, &time_series(one));
                let value = template.bytes.len() - SAMPLE_BYTES + 1;
                template.samples.push((one, instant, value));
            }
        }
        template
    }

    /// The request of the instants from `at` on, compressed.
    fn at(&mut self, at: Timestamp, step_ms: i64) -> Vec<u8> {
        for &(series, instant, place) in &self.samples {
            let at = at + instant * step_ms;
            let (value, time) = self.bytes[place..place + SAMPLE_BYTES - 1].split_at_mut(8);
            value.copy_from_slice(&value_of(series, at).to_le_bytes());
            put_time(&mut time[1..], at);
        }
        snap::raw::Encoder::new()
            .compress_vec(&self.bytes)
            .expect("a request is far below snappy's 4 GiB")
    }
}

const METRICS: [&str; 10] = [
    "container_cpu_usage_ratio",
    "container_memory_used_ratio",
    "http_request_duration_seconds",
    "http_requests_rate",
    "http_errors_ratio",
    "queue_depth",
    "go_goroutines",
    "network_receive_bytes_rate",
    "network_transmit_bytes_rate",
    "disk_io_wait_seconds",
];

/// Labels, and last a sample without value and time.
fn time_series(one: usize) -> Vec<u8> {
    let (service, pod) = (one / METRICS.len() % 200, one / METRICS.len());
    let labels = [
        ("__name__", METRICS[one % METRICS.len()].to_owned()),
        ("cluster", "eu-central-1".to_owned()),
        (
            "instance",
            format!("10.{}.{}.{}:9100", pod >> 16 & 255, pod >> 8 & 255, pod & 255),
        ),
        ("job", "kubernetes-pods".to_owned()),
        ("namespace", format!("team-{:02}", service % 20)),
        ("pod", format!("service-{service:03}-{pod:05}")),
        ("service", format!("service-{service:03}")),
    ];
    let mut message = Vec::with_capacity(192);
    for (name, value) in &labels {
        let mut label = Vec::with_capacity(48);
        field(&mut label, 1, name.as_bytes());
        field(&mut label, 2, value.as_bytes());
        field(&mut message, 1, &label);
    }
    let mut sample = [0; SAMPLE_BYTES];
    sample[0] = 0x09;
    sample[9] = 0x10;
    field(&mut message, 2, &sample);
    message
}

fn value_of(series: usize, at: Timestamp) -> f64 {
    let phase = at.as_secs_f64() / 60.0 + series as f64;
    let noise = (series as u64 ^ at.as_millis().unsigned_abs()).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    50.0 + 10.0 * phase.sin() + noise as f64 / 16_777_216.0
}

/// Writes a varint of [`TIME_BYTES`].
fn put_time(out: &mut [u8], at: Timestamp) {
    let millis = at.as_millis().unsigned_abs();
    let last = out.len() - 1;
    for (place, byte) in out.iter_mut().enumerate() {
        let more = if place < last { 0x80 } else { 0 };
        *byte = (millis >> (7 * place)) as u8 & 0x7F | more;
    }
}

/// A length-delimited protobuf field.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ingest::prometheus::{Limits, decode_v1};
    use engine::ingest::registry::Registry;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn requests_are_what_a_prometheus_would_send() {
        let at = Timestamp::from_secs(1_700_000_000);
        let requests = round(4500, at);
        assert_eq!(requests.len(), 3);
        let registry = Registry::default();
        let mut series = BTreeSet::new();
        for request in &requests {
            let batch = decode_v1(request, &Limits::default(), &registry).unwrap();
            assert_eq!(batch.rejections, []);
            assert!(
                batch
                    .samples
                    .iter()
                    .all(|s| s.at == at && (30.0..70.0).contains(&s.value))
            );
            series.extend(batch.samples.iter().map(|s| s.series));
        }
        assert_eq!(series.len(), 4500, "every series has its own labels");
    }

    #[test]
    fn a_stream_sends_every_series_once_an_instant_and_in_order() {
        const SENDERS: usize = 4;
        let start = Timestamp::from_secs(1_700_000_000);
        for (series, instants) in [(1000, 8), (50_000, 1), (10, 666)] {
            let mut stream = Stream::new(series, SENDERS, 2000, start, 15_000);
            assert_eq!(stream.instants(), instants);
            let registry = Registry::default();
            let mut last = BTreeMap::new();
            for round in 0..2 {
                let writes = stream.round();
                assert_eq!(
                    writes.iter().map(|write| write.samples).sum::<usize>(),
                    series * instants
                );
                let mut seen = BTreeMap::new();
                for (index, write) in writes.iter().enumerate() {
                    assert!(write.samples <= SAMPLES_PER_REQUEST);
                    let batch = decode_v1(&write.body, &Limits::default(), &registry).unwrap();
                    assert_eq!((batch.rejections.len(), batch.samples.len()), (0, write.samples));
                    for sample in batch.samples {
                        *seen.entry(sample.series).or_insert(0) += 1;
                        let expected = match last.insert(sample.series, (index % SENDERS, sample.at)) {
                            None => (index % SENDERS, start),
                            Some((sender, before)) => (sender, before + 15_000),
                        };
                        assert_eq!((index % SENDERS, sample.at), expected, "round {round}");
                    }
                }
                assert_eq!(seen.len(), series);
                assert!(seen.values().all(|times| *times == instants));
            }
        }
    }
}
