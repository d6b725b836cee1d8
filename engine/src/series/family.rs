//! Histograms and summaries as families: which series belong together, and which are derived from them.
//!
//! The members of a family share their labels but `le`, and the name before the suffix: [`family_of`] gives all of them, and all
//! that is derived, one key.

use super::identity::Labels;
use super::kind::set_kind;
use wire::SeriesId;
use wire::series::{MetricClass, SeriesInfo, SeriesKind};

/// What a series is to its family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    /// Observations up to and including this bound; the last is infinite.
    Bucket(f64),
    /// Sum of the observations.
    Sum,
    /// Number of the observations.
    Count,
    /// When counting began.
    Created,
}

/// The quantiles derived from every histogram, and the statistic each is called by.
pub const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];

/// The statistic that is derived from sum and count.
const MEAN: &str = "mean";

/// A label that makes the ids of derived series differ from all that can be sent: names with two underscores are Prometheus' own.
const DERIVED: &str = "__derived__";

/// The role that a series would have in a family, and the family's name: the metric without its suffix. Whether there is
/// such a family is another question: `thread_count` may well be alone.
pub fn role_of(info: &SeriesInfo) -> Option<(Role, &str)> {
    if info.statistic.is_some() {
        return None;
    }
    let (base, suffix) = info.metric.rsplit_once('_')?;
    let role = match suffix {
        "bucket" => {
            let (_, le) = info.labels.iter().find(|(name, _)| name == "le")?;
            // Prometheus writes `+Inf`, which is read as such; NaN bounds nothing.
            Role::Bucket(le.parse().ok().filter(|bound: &f64| !bound.is_nan())?)
        }
        "sum" => Role::Sum,
        "count" => Role::Count,
        "created" => Role::Created,
        _ => return None,
    };
    Some((role, base))
}

/// The id of the family that a series can belong to; its own if there is none.
pub fn family_of(info: &SeriesInfo) -> SeriesId {
    match (info.kind, role_of(info)) {
        (SeriesKind::Derived, _) => family_labels(info, &info.metric).id(),
        (_, Some((_, base))) => family_labels(info, base).id(),
        _ => info.id,
    }
}

/// The labels that all members share, under the family's name.
fn family_labels(info: &SeriesInfo, base: &str) -> Labels {
    let own = info
        .labels
        .iter()
        .filter(|(name, _)| name != "le" && name != "statistic");
    let mut pairs: Vec<_> = own.cloned().collect();
    pairs.push(("__name__".to_owned(), base.to_owned()));
    Labels::new(pairs)
}

/// The series that are derived from the family of `member`: quantiles if it has buckets, the mean if it has sum and count.
pub fn derived_of(member: &SeriesInfo, buckets: bool, mean: bool) -> Vec<SeriesInfo> {
    let Some((_, base)) = role_of(member) else {
        return Vec::new();
    };
    let quantiles = QUANTILES.iter().map(|(_, name)| *name).filter(|_| buckets);
    quantiles
        .chain(mean.then_some(MEAN))
        .map(|statistic| derived(member, base, statistic))
        .collect()
}

fn derived(member: &SeriesInfo, base: &str, statistic: &str) -> SeriesInfo {
    let labels = family_labels(member, base);
    let mut shown: Vec<_> = labels.iter().filter(|(name, _)| *name != "__name__").collect();
    shown.push(("statistic", statistic));
    shown.sort_unstable();
    let shown: Vec<_> = shown.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let mut hashed = shown.clone();
    hashed.push(("__name__".to_owned(), base.to_owned()));
    hashed.push((DERIVED.to_owned(), String::new()));
    let mut info = SeriesInfo {
        id: Labels::new(hashed).id(),
        entity: member.entity.clone(),
        metric: base.to_owned(),
        statistic: Some(statistic.to_owned()),
        labels: shown,
        class: MetricClass::Other,
        step_ms: member.step_ms,
        kind: SeriesKind::Derived,
    };
    set_kind(&mut info, SeriesKind::Derived);
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{home_of, info_from_labels};

    fn member(metric: &str, le: Option<&str>) -> SeriesInfo {
        let mut pairs = vec![
            ("__name__".to_owned(), metric.to_owned()),
            ("service".to_owned(), "cart".to_owned()),
        ];
        pairs.extend(le.map(|le| ("le".to_owned(), le.to_owned())));
        info_from_labels(&Labels::new(pairs))
    }

    #[test]
    fn a_family_and_all_that_is_derived_from_it_have_one_key() {
        let first = member("rpc_seconds_bucket", Some("0.1"));
        assert_eq!(role_of(&first), Some((Role::Bucket(0.1), "rpc_seconds")));
        let last = member("rpc_seconds_bucket", Some("+Inf"));
        assert_eq!(role_of(&last), Some((Role::Bucket(f64::INFINITY), "rpc_seconds")));
        let family = family_of(&first);
        let mut all = derived_of(&first, true, true);
        let told: Vec<_> = all.iter().map(|d| d.statistic.clone().unwrap_or_default()).collect();
        assert_eq!(told, ["p50", "p95", "p99", "mean"]);
        assert!(
            all.iter()
                .all(|d| d.metric == "rpc_seconds" && d.class == MetricClass::Latency)
        );
        all.extend([last, member("rpc_seconds_sum", None), member("rpc_seconds_count", None)]);
        let mut ids: Vec<_> = all.iter().map(|info| info.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 7);
        assert!(all.iter().all(|info| family_of(info) == family));
        assert_ne!(family_of(&member("other_seconds_count", None)), family);
        assert!(all.iter().all(|info| home_of(info) == home_of(&first)));
        let gauge = member("load", None);
        assert_eq!(family_of(&gauge), gauge.id);
    }

    #[test]
    fn nobody_can_send_a_series_with_the_id_of_a_derived_one() {
        let derived = &derived_of(&member("rpc_seconds_count", None), true, false)[0];
        let sent = info_from_labels(&Labels::new(
            [("__name__", "rpc_seconds"), ("service", "cart"), ("statistic", "p50")]
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .to_vec(),
        ));
        assert_eq!((&sent.metric, &sent.labels), (&derived.metric, &derived.labels));
        assert_ne!(sent.id, derived.id);
    }
}
