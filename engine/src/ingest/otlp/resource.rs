//! Who sends: a resource's attributes as the labels of all its series.
//!
//! As Prometheus has it: `service.namespace/service.name` is `job`, `service.instance.id` is `instance`, the rest is in
//! `target_info`. Besides, the attributes in [`PROMOTED`] become labels of every series, as Prometheus' own guide advises:
//! they say which thing a series is about, and without them two hosts that have no `service.name` would be one.

use super::name;
use super::value::{Malformed, attribute};
use crate::ingest::prometheus::reader::{Reader, Wire};

/// Attributes that become labels of every series of a resource.
const PROMOTED: [&str; 13] = [
    "service.name",
    "deployment.environment",
    "deployment.environment.name",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "host.name",
];

/// Label names and values.
pub(in crate::ingest) type Pairs = Vec<(String, String)>;

/// A resource as labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    /// `job` and `instance`: they replace attributes of these names.
    pub(super) identity: Pairs,
    pub(super) promoted: Pairs,
    /// What `target_info` holds beside the identity.
    pub(super) others: Pairs,
}

/// Every attribute of a resource, as sent.
pub(super) fn attributes(resource: &[u8]) -> Result<Pairs, Malformed> {
    let mut found = Vec::new();
    let mut reader = Reader::new(resource);
    while let Some((field, content)) = reader.next()? {
        if let (1, Wire::Bytes(pair)) = (field, content) {
            found.push(attribute(pair)?);
        }
    }
    Ok(found)
}

/// The resource among the fields of a `ResourceMetrics`, `ResourceLogs` or `ResourceSpans`, wherever it stands.
pub(in crate::ingest) fn attributes_within(body: &[u8]) -> Result<Pairs, Malformed> {
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        if let (1, Wire::Bytes(resource)) = (field, content) {
            return attributes(resource);
        }
    }
    Ok(Vec::new())
}

/// What else is said of the sender: everything but the name of its service.
pub(super) fn rest(attributes: &Pairs) -> Pairs {
    let others = attributes.iter().filter(|(name, _)| name != "service.name");
    others.cloned().collect()
}

/// What names the sender of logs and spans: the service, else the best there is.
pub(super) fn service(attributes: &Pairs) -> String {
    let named = |key: &&str| {
        let found = attributes.iter().find(|(name, value)| name == key && !value.is_empty());
        found.map(|(_, value)| value.clone())
    };
    let candidates = [
        "service.name",
        "k8s.deployment.name",
        "k8s.pod.name",
        "container.name",
        "host.name",
    ];
    candidates
        .iter()
        .find_map(named)
        .unwrap_or_else(|| "unknown".to_owned())
}

impl Target {
    pub(super) fn new(attributes: Pairs) -> Self {
        let mut target = Self::default();
        let of = |key: &str| {
            attributes
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value.as_str())
        };
        if let Some(service) = of("service.name") {
            let job = match of("service.namespace") {
                Some(namespace) if !namespace.is_empty() => format!("{namespace}/{service}"),
                _ => service.to_owned(),
            };
            target.identity.push(("job".to_owned(), job));
        }
        if let Some(instance) = of("service.instance.id") {
            target.identity.push(("instance".to_owned(), instance.to_owned()));
        }
        for (key, value) in attributes {
            let Some(label) = name::label(&key) else { continue };
            if PROMOTED.contains(&key.as_str()) {
                target.promoted.push((label.clone(), value.clone()));
            }
            if !["service.name", "service.namespace", "service.instance.id"].contains(&key.as_str()) {
                target.others.push((label, value));
            }
        }
        target
    }
}
