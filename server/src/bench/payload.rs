//! Remote-write requests as a Prometheus server sends them, made beforehand.

use wire::Timestamp;

/// Samples in one request: Prometheus' own default.
pub(super) const SAMPLES_PER_REQUEST: usize = 2000;

/// Requests with one sample of each of `series` series at `at`. Values wander with a season; labels look like those of a
/// Kubernetes service.
pub(super) fn round(series: usize, at: Timestamp) -> Vec<Vec<u8>> {
    let mut compressor = snap::raw::Encoder::new();
    (0..series)
        .step_by(SAMPLES_PER_REQUEST)
        .map(|first| {
            let mut request = Vec::with_capacity(SAMPLES_PER_REQUEST * 192);
            for one in first..series.min(first + SAMPLES_PER_REQUEST) {
                field(&mut request, 1, &time_series(one, at));
            }
            compressor
                .compress_vec(&request)
                .expect("a request is far below snappy's 4 GiB")
        })
        .collect()
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

fn time_series(one: usize, at: Timestamp) -> Vec<u8> {
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
    let phase = at.as_secs_f64() / 60.0 + one as f64;
    let noise = (one as u64 ^ at.as_millis().unsigned_abs()).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let value = 50.0 + 10.0 * phase.sin() + noise as f64 / 16_777_216.0;
    let mut sample = vec![0x09];
    sample.extend_from_slice(&value.to_le_bytes());
    sample.push(0x10);
    varint(&mut sample, at.as_millis().unsigned_abs());
    field(&mut message, 2, &sample);
    message
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
    use std::collections::BTreeSet;

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
}
