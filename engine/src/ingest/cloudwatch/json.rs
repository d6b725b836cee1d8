//! Records of a metric stream in its JSON format: one object a line, each a period of a metric.

use super::{Collector, Metric, basic};
use serde::Deserialize;
use std::collections::BTreeMap;
use wire::Timestamp;

#[derive(Deserialize)]
struct Line {
    account_id: String,
    region: String,
    namespace: String,
    metric_name: String,
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    dimensions: BTreeMap<String, String>,
    /// Milliseconds.
    timestamp: i64,
    value: BTreeMap<String, Option<f64>>,
}

/// Takes every line; returns how many were no period.
pub(super) fn take(record: &[u8], to: &mut Collector<'_>) -> u64 {
    let mut bad = 0;
    for text in record.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if text.is_empty() {
            continue;
        }
        match serde_json::from_slice::<Line>(text) {
            Ok(line) => line.collect(to),
            Err(error) => {
                to.malformed(&format!("a line is no period of a metric: {error}"), text);
                bad += 1;
            }
        }
    }
    bad
}

impl Line {
    fn collect(self, to: &mut Collector<'_>) {
        let of = |name: &str| self.value.get(name).copied().flatten();
        let mut statistics = match (of("count"), of("sum")) {
            (Some(count), Some(sum)) => basic(count, sum, of("min"), of("max")),
            _ => Vec::new(),
        };
        let others = self.value.iter();
        let others = others.filter(|(name, _)| !["count", "sum", "min", "max"].contains(&name.as_str()));
        statistics.extend(others.filter_map(|(name, value)| Some((name.clone().into(), (*value)?))));
        let metric = Metric {
            namespace: self.namespace,
            name: self.metric_name,
            account: self.account_id,
            region: self.region,
            dimensions: self.dimensions.into_iter().collect(),
            unit: self.unit.filter(|unit| unit != "None").unwrap_or_default(),
        };
        to.take(&metric, Timestamp(self.timestamp), &statistics);
    }
}
