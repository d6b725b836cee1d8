//! `[limits]`: what protects the engine from its senders, and its data from a full disk
//!
//! ```toml
//! [limits]
//! max_series = 1000000            # of all sources together
//! max_series_per_source = 800000
//! max_series_per_metric = 50000   # of one source; above it only what is known goes on
//! max_series_per_tenant = 500000  # the label `tenant`; from whatever source
//! max_labels = 128                # of a series
//! max_label_name_bytes = 1024
//! max_label_value_bytes = 16384
//! max_request_mb = 64             # after decompression
//! max_samples_per_sec = 0         # of one source; 0: no limit
//! queue_samples = 4194304         # that wait for detection
//! max_memory_mb = 0               # above it no new series; 0: three quarters of what there is
//! min_free_disk_mb = 64           # below it nothing is acknowledged
//! max_connections = 20000
//! read_timeout_secs = 30          # for a request to arrive whole
//! retention_days = 31             # of samples
//! retention_minutes_days = 180    # of what each minute was
//! retention_hours_days = 1830     # of what each hour was
//! ```

use super::{Config, check};
use crate::ingest::prometheus::Limits;
use crate::quality::cardinality::SeriesLimits;
use serde::Deserialize;

/// Checked limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitConfig {
    pub series: SeriesLimits,
    /// Of one request of samples and of one series in it.
    pub request: Limits,
    /// Of one source; 0: any number.
    pub samples_per_sec: u64,
    /// Above it no new series are taken; `None`: three quarters of what there is.
    pub memory_bytes: Option<u64>,
    /// Below it nothing is acknowledged.
    pub min_free_disk_bytes: u64,
    /// Open at the same time.
    pub connections: usize,
    /// For a request to arrive whole.
    pub read_timeout_secs: u64,
    /// How long it is kept what each minute and each hour was.
    pub retention_minutes_ms: i64,
    pub retention_hours_ms: i64,
}

const DAY_MS: i64 = 24 * 3600 * 1000;

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            series: SeriesLimits::default(),
            request: Limits::default(),
            samples_per_sec: 0,
            memory_bytes: None,
            min_free_disk_bytes: 64 << 20,
            connections: 20_000,
            read_timeout_secs: 30,
            retention_minutes_ms: 180 * DAY_MS,
            retention_hours_ms: 1830 * DAY_MS,
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    pub max_series: Option<usize>,
    pub max_series_per_source: Option<usize>,
    pub max_series_per_metric: Option<usize>,
    pub max_series_per_tenant: Option<usize>,
    pub max_labels: Option<usize>,
    pub max_label_name_bytes: Option<usize>,
    pub max_label_value_bytes: Option<usize>,
    /// Largest request after decompression; default 64.
    pub max_request_mb: Option<u32>,
    pub max_samples_per_sec: Option<u64>,
    pub queue_samples: Option<usize>,
    pub max_memory_mb: Option<u64>,
    pub min_free_disk_mb: Option<u64>,
    pub max_connections: Option<usize>,
    pub read_timeout_secs: Option<u64>,
    pub retention_days: Option<u32>,
    pub retention_minutes_days: Option<u32>,
    pub retention_hours_days: Option<u32>,
}

/// Takes over what is said; `config.signals` is there already.
pub(super) fn limits(raw: &RawLimits, config: &mut Config, problems: &mut Vec<String>) {
    let mut limits = LimitConfig::default();
    let mut set = |field: &str, said: Option<usize>, (from, to): (usize, usize), place: &mut usize| {
        if let Some(said) = said {
            check(problems, (from..=to).contains(&said), || match (from, to) {
                (from, usize::MAX) => format!("limits.{field}: must be at least {from}, got {said}"),
                _ => format!("limits.{field}: must be {from} to {to}, got {said}"),
            });
            *place = said;
        }
    };
    const ANY: usize = usize::MAX;
    set("max_series", raw.max_series, (1, ANY), &mut config.max_series);
    limits.series.total = config.max_series;
    // Whoever lowers the total alone means the others no higher.
    limits.series.per_source = limits.series.per_source.min(limits.series.total);
    limits.series.per_metric = limits.series.per_metric.min(limits.series.total);
    limits.series.per_tenant = limits.series.per_tenant.min(limits.series.total);
    let series = &mut limits.series;
    set(
        "max_series_per_source",
        raw.max_series_per_source,
        (1, ANY),
        &mut series.per_source,
    );
    set(
        "max_series_per_metric",
        raw.max_series_per_metric,
        (1, ANY),
        &mut series.per_metric,
    );
    set(
        "max_series_per_tenant",
        raw.max_series_per_tenant,
        (1, ANY),
        &mut series.per_tenant,
    );
    let request = &mut limits.request;
    set("max_labels", raw.max_labels, (1, 10_000), &mut request.max_labels);
    let bytes = (1, 1 << 20);
    set(
        "max_label_name_bytes",
        raw.max_label_name_bytes,
        bytes,
        &mut request.max_label_name_bytes,
    );
    set(
        "max_label_value_bytes",
        raw.max_label_value_bytes,
        bytes,
        &mut request.max_label_value_bytes,
    );
    request.max_body_bytes = config.signals.max_request_bytes;
    set(
        "queue_samples",
        raw.queue_samples,
        (10_000, ANY),
        &mut config.queue_samples,
    );
    set(
        "max_connections",
        raw.max_connections,
        (16, 1_000_000),
        &mut limits.connections,
    );
    limits.samples_per_sec = raw.max_samples_per_sec.unwrap_or(limits.samples_per_sec);
    limits.memory_bytes = raw
        .max_memory_mb
        .filter(|mb| *mb > 0)
        .map(|mb| mb.saturating_mul(1 << 20));
    if let Some(mb) = raw.min_free_disk_mb {
        limits.min_free_disk_bytes = mb.saturating_mul(1 << 20);
    }
    if let Some(secs) = raw.read_timeout_secs {
        check(problems, (1..=3600).contains(&secs), || {
            format!("limits.read_timeout_secs: must be 1 to 3600, got {secs}")
        });
        limits.read_timeout_secs = secs;
    }
    let mut keep = |field: &str, days: Option<u32>, place: &mut i64| {
        if let Some(days) = days {
            check(problems, days > 0, || format!("limits.{field}: must be above 0"));
            *place = i64::from(days) * DAY_MS;
        }
    };
    keep("retention_days", raw.retention_days, &mut config.retention_ms);
    keep(
        "retention_minutes_days",
        raw.retention_minutes_days,
        &mut limits.retention_minutes_ms,
    );
    keep(
        "retention_hours_days",
        raw.retention_hours_days,
        &mut limits.retention_hours_ms,
    );
    config.limits = limits;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawConfig;
    use crate::error::Error;

    fn config(text: &str) -> Result<Config, Error> {
        RawConfig::parse(&format!("[limits]\n{text}")).and_then(Config::try_from)
    }

    #[test]
    fn what_is_said_is_done() {
        assert_eq!(config("").unwrap().limits, LimitConfig::default());
        let said = config(
            "max_series = 900\nmax_series_per_metric = 70\nmax_series_per_tenant = 80\nmax_labels = 9\nmax_label_value_bytes = 99\n\
             max_request_mb = 2\nmax_samples_per_sec = 5000\nmax_memory_mb = 512\nmin_free_disk_mb = 0\n\
             max_connections = 100\nread_timeout_secs = 5\nretention_days = 3\nretention_minutes_days = 4\nqueue_samples = 20000\n",
        )
        .unwrap();
        let limits = said.limits;
        let series = SeriesLimits {
            total: 900,
            per_source: 900,
            per_metric: 70,
            per_tenant: 80,
        };
        assert_eq!(
            (limits.series, said.max_series, said.queue_samples),
            (series, 900, 20_000)
        );
        let request = limits.request;
        assert_eq!(
            (
                request.max_labels,
                request.max_label_value_bytes,
                request.max_body_bytes
            ),
            (9, 99, 2 << 20)
        );
        assert_eq!(
            (limits.samples_per_sec, limits.memory_bytes, limits.min_free_disk_bytes),
            (5000, Some(512 << 20), 0)
        );
        assert_eq!((limits.connections, limits.read_timeout_secs), (100, 5));
        assert_eq!(
            (said.retention_ms, limits.retention_minutes_ms),
            (3 * DAY_MS, 4 * DAY_MS)
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        let text = "max_series = 0\nmax_series_per_source = 0\nmax_series_per_metric = 0\nmax_series_per_tenant = 0\nmax_labels = 0\n\
                    max_label_name_bytes = 0\nmax_label_value_bytes = 99999999\nqueue_samples = 1\nmax_connections = 1\n\
                    read_timeout_secs = 0\nretention_days = 0\n";
        let Err(Error::Config(problems)) = config(text) else {
            panic!("must not be accepted")
        };
        let fields: Vec<_> = problems.iter().filter_map(|p| p.split(':').next()).collect();
        let expected = [
            "max_series",
            "max_series_per_source",
            "max_series_per_metric",
            "max_series_per_tenant",
            "max_labels",
            "max_label_name_bytes",
            "max_label_value_bytes",
            "queue_samples",
            "max_connections",
            "read_timeout_secs",
            "retention_days",
        ];
        assert_eq!(fields, expected.map(|field| format!("limits.{field}")));
    }
}
