//! Labels, the hash that names a series, and what a label set says about entity and metric.

use super::kind::{kind_by_name, set_kind};
use wire::series::{MetricClass, SeriesInfo, SeriesKind};
use wire::{EntityId, SeriesId};
use xxhash_rust::xxh3::xxh3_64;

/// A label set, sorted by name, names unique.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(Vec<(String, String)>);

impl Labels {
    /// Sorts `pairs`; of two labels with one name the first in input order stays.
    pub fn new(mut pairs: Vec<(String, String)>) -> Self {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        Self(pairs)
    }

    /// Labels of a recorded or built-in series: `entity`, `__name__` and, if given, `statistic`.
    pub fn of(entity: &str, metric: &str, statistic: Option<&str>) -> Self {
        let mut pairs = vec![
            ("__name__".to_owned(), metric.to_owned()),
            ("entity".to_owned(), entity.to_owned()),
        ];
        if let Some(statistic) = statistic {
            pairs.push(("statistic".to_owned(), statistic.to_owned()));
        }
        Self::new(pairs)
    }

    /// Value of the label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .binary_search_by(|(n, _)| n.as_str().cmp(name))
            .ok()
            .map(|i| self.0[i].1.as_str())
    }

    /// Pairs in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The id of the series with these labels.
    pub fn id(&self) -> SeriesId {
        let mut hasher = IdentityHasher::default();
        for (name, value) in self.iter() {
            hasher.label(name.as_bytes(), value.as_bytes());
        }
        hasher.finish()
    }
}

/// By which id the place of a series is chosen. All series of an entity have one: they are judged jointly, and histograms by
/// family. It depends on the labels of a series alone, so that no series ever has to move.
pub fn home_of(info: &SeriesInfo) -> SeriesId {
    let mut hasher = IdentityHasher::default();
    hasher.label(b"entity", info.entity.as_str().as_bytes());
    hasher.finish()
}

/// Computes a series id label by label, without building a [`Labels`]. Labels must come sorted by name.
///
/// It collects the bytes and hashes them in one go: for the hundred bytes of a usual label set that is several times faster
/// than a streaming hash. Reused through [`IdentityHasher::clear`] it allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct IdentityHasher {
    canonical: Vec<u8>,
    labels: usize,
}

impl IdentityHasher {
    /// Adds one label.
    pub fn label(&mut self, name: &[u8], value: &[u8]) {
        self.canonical.extend_from_slice(name);
        self.canonical.push(SEPARATOR);
        self.canonical.extend_from_slice(value);
        self.canonical.push(SEPARATOR);
        self.labels += 1;
    }

    /// The id.
    pub fn finish(&self) -> SeriesId {
        SeriesId(xxh3_64(&self.canonical))
    }

    /// Whether no name or value holds the separator, so that no other labels have the same bytes. Always so in UTF-8.
    pub fn is_unambiguous(&self) -> bool {
        self.canonical.iter().filter(|byte| **byte == SEPARATOR).count() == 2 * self.labels
    }

    /// Forgets all labels.
    pub fn clear(&mut self) {
        self.canonical.clear();
        self.labels = 0;
    }
}

/// Ends a name or a value; never occurs in UTF-8.
const SEPARATOR: u8 = 0xFF;

/// Labels that can name the entity, best first: what Halo's own sources set, OpenTelemetry's and Kubernetes' names, then
/// Prometheus' target labels.
const ENTITY_LABELS: &[&str] = &[
    "entity",
    "service",
    "service_name",
    "app",
    "deployment",
    "k8s_deployment_name",
    // From here on one instance of many.
    "container",
    "container_name",
    "pod",
    "k8s_pod_name",
    "instance",
    "node",
    "k8s_node_name",
    "host",
    "host_name",
    "job",
];

/// What the names of the metrics of a service graph begin with.
pub const SERVICE_GRAPH: &str = "traces_service_graph_";

/// How many of [`ENTITY_LABELS`] name a service as a whole.
const SERVICE_LABELS: usize = 6;

/// Dimensions of CloudWatch that name one thing, the narrowest first.
const DIMENSIONS: &[&str] = &[
    "dimension_ServiceName",
    "dimension_InstanceId",
    "dimension_DBInstanceIdentifier",
    "dimension_DBClusterIdentifier",
    "dimension_CacheClusterId",
    "dimension_FunctionName",
    "dimension_TableName",
    "dimension_QueueName",
    "dimension_TopicName",
    "dimension_StreamName",
    "dimension_BucketName",
    "dimension_DomainName",
    "dimension_ApiName",
    "dimension_LoadBalancer",
    "dimension_LoadBalancerName",
    "dimension_AutoScalingGroupName",
    "dimension_ClusterName",
    "dimension_Cluster_Name",
];

/// The entity that labels name, the best label first; `None`: none of them does. Every other label of CloudWatch's metrics names the
/// exporter that asked for them, or the pod that it runs in; what a service graph counts is the trouble of who is called, and the target is
/// the collector.
pub fn entity_of<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    if let Some(object) = label("__name__").and_then(|name| name.strip_prefix("kube_")) {
        // What kube-state-metrics tells of an object is that object's, whoever tells it.
        let kind = object.split('_').next().unwrap_or_default();
        let own = if kind == "job" { "job_name" } else { kind };
        if let Some(named) = label(&format!("exported_{own}")).or_else(|| label(own)) {
            return Some(named);
        }
    }
    // An alert has the labels of its metric without the name.
    let is_cloudwatch = label("__name__").is_none_or(|name| name.starts_with("aws_"));
    let dimensions = if is_cloudwatch { DIMENSIONS } else { &[] };
    let is_service_graph = label("__name__").is_some_and(|name| name.starts_with(SERVICE_GRAPH));
    let called = if is_service_graph { label("server") } else { None };
    let named = label(ENTITY_LABELS[0])
        .or(called)
        .or_else(|| dimensions.iter().find_map(|name| label(name)));
    named.or_else(|| ENTITY_LABELS.iter().find_map(|name| label(name)))
}

/// Whether the entity of a series is a service as a whole, not one of the instances that come and go.
pub fn is_of_service(info: &SeriesInfo) -> bool {
    let named = |label: &&str| {
        let mut labels = info.labels.iter();
        labels.any(|(name, value)| name == label && *value == *info.entity.as_str())
    };
    ENTITY_LABELS[..SERVICE_LABELS].iter().any(named)
}

/// Reads entity, metric, class and, as far as the name tells it, kind out of a label set.
pub fn info_from_labels(labels: &Labels) -> SeriesInfo {
    let metric = labels.get("__name__").unwrap_or("value").to_owned();
    let statistic = labels
        .get("statistic")
        .or_else(|| labels.get("quantile"))
        .map(str::to_owned);
    let entity = entity_of(|name| labels.get(name)).unwrap_or("default");
    // Every series keeps them: no more room than they take.
    let mut others = Vec::with_capacity(labels.0.len().saturating_sub(1));
    let other = labels.iter().filter(|(name, _)| *name != "__name__");
    others.extend(other.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut info = SeriesInfo {
        id: labels.id(),
        entity: EntityId::from(entity),
        class: MetricClass::Other,
        metric,
        statistic,
        labels: others,
        step_ms: 0,
        kind: SeriesKind::Gauge,
    };
    let kind = kind_by_name(&info);
    set_kind(&mut info, kind);
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids are in databases: they must never change.
    #[test]
    fn the_id_is_the_streaming_hash_of_the_documented_bytes() {
        let labels = Labels::of("PetSite", "latency", Some("p95"));
        let mut oracle = xxhash_rust::xxh3::Xxh3::new();
        for text in ["__name__", "latency", "entity", "PetSite", "statistic", "p95"] {
            oracle.update(text.as_bytes());
            oracle.update(&[0xFF]);
        }
        assert_eq!(labels.id(), SeriesId(oracle.digest()));
    }

    #[test]
    fn a_cleared_hasher_starts_over() {
        let mut hasher = IdentityHasher::default();
        hasher.label(b"a", b"b");
        let id = hasher.finish();
        hasher.label(b"c", b"d\xFF");
        assert!(!hasher.is_unambiguous());
        hasher.clear();
        hasher.label(b"a", b"b");
        assert!(hasher.is_unambiguous());
        assert_eq!(hasher.finish(), id);
    }

    #[track_caller]
    fn check_entity(labels: &[(&str, &str)], expected: Option<&str>) {
        let found = entity_of(|name| labels.iter().find(|(known, _)| *known == name).map(|(_, value)| *value));
        assert_eq!(found, expected, "{labels:?}");
    }

    #[test]
    fn a_metric_of_cloudwatch_is_of_what_its_dimensions_name_and_no_other_series_is() {
        // As YACE is scraped in a cluster: these labels are the exporter's.
        let exporter = [
            ("pod", "yace-0"),
            ("service", "yace"),
            ("instance", "10.0.0.1:5000"),
            ("job", "yace"),
        ];
        let with = |own: &[(&'static str, &'static str)]| [own, &exporter].concat();
        let cpu = ("__name__", "aws_ec2_cpuutilization_average");
        check_entity(&with(&[cpu, ("dimension_InstanceId", "i-1")]), Some("i-1"));
        let connections = ("__name__", "aws_rds_database_connections_average");
        check_entity(
            &with(&[connections, ("dimension_DBInstanceIdentifier", "orders")]),
            Some("orders"),
        );
        let ecs = [("dimension_ClusterName", "shop"), ("dimension_ServiceName", "cart")];
        check_entity(
            &with(&[&[("__name__", "aws_ecs_cpuutilization_average")][..], &ecs].concat()),
            Some("cart"),
        );
        // An alert about it.
        check_entity(
            &with(&[("alertname", "Busy"), ("dimension_InstanceId", "i-1")]),
            Some("i-1"),
        );
        // Somebody has said it.
        check_entity(
            &with(&[cpu, ("entity", "web"), ("dimension_InstanceId", "i-1")]),
            Some("web"),
        );
        // Nothing that names one thing, or not of CloudWatch.
        check_entity(&with(&[cpu, ("dimension_ImageId", "ami-1")]), Some("yace"));
        check_entity(
            &with(&[("__name__", "up"), ("dimension_InstanceId", "i-1")]),
            Some("yace"),
        );
        check_entity(&[("__name__", "up"), ("instance", "a:1")], Some("a:1"));
        check_entity(&[("__name__", "up"), ("dimension_InstanceId", "i-1")], None);
    }
}
