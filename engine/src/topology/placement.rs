//! What runs on what, in the labels of metrics: whoever runs on a host, in a zone or in a pod suffers with it.
//!
//! - kube-state-metrics: `kube_pod_info` and `kube_pod_owner` (workload, pod, node), `kube_node_labels` (zone, region),
//!   `kube_endpointslice_endpoints` (service, pod).
//! - Anything that says where it runs: `node` as Prometheus' Kubernetes discovery is usually relabelled, OpenTelemetry's
//!   `k8s.node.name`, `host.name`, `cloud.availability_zone`, `cloud.region`.

use super::Found;
use wire::series::SeriesInfo;
use wire::topology::{EdgeSource, EntityKind};

/// Labels for the machine that something runs on. `host` alone is as often who is called.
const NODES: [&str; 4] = ["node", "k8s_node_name", "kubernetes_node", "host_name"];
const ZONES: [&str; 3] = [
    "availability_zone",
    "cloud_availability_zone",
    "topology_kubernetes_io_zone",
];
const REGIONS: [&str; 2] = ["cloud_region", "topology_kubernetes_io_region"];

/// What Kubernetes appends to the name of a deployment for its replica sets and pods is made of these.
const HASH_LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The dependencies on places that a series tells of.
pub(super) fn placements_of(info: &SeriesInfo) -> Vec<Found> {
    let label = |name: &str| {
        let found = info.labels.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let first = |names: &[&str]| names.iter().find_map(|name| label(name));
    if info.metric.starts_with("kube_") {
        return kubernetes(&info.metric, label);
    }
    let node = first(&NODES);
    let (zone, region) = (first(&ZONES), first(&REGIONS));
    let entity = info.entity.as_str();
    let runs_on = |who: Option<&str>, on: Option<&str>, kind| Found::new(who?, on?, Some(kind), EdgeSource::Placement);
    let found = [
        runs_on(Some(entity), node, EntityKind::Host),
        runs_on(node.or(Some(entity)), zone, EntityKind::Zone),
        runs_on(zone, region, EntityKind::Region),
    ];
    found.into_iter().flatten().collect()
}

fn kubernetes<'a>(metric: &str, label: impl Fn(&str) -> Option<&'a str>) -> Vec<Found> {
    let is_on = |who: Option<&str>, on: Option<&str>, kind| Found::new(who?, on?, Some(kind), EdgeSource::Kubernetes);
    // A target of the same name stands before the object's own label, which is then `exported_`.
    let pod = || label("exported_pod").or_else(|| label("pod"));
    let node = || label("exported_node").or_else(|| label("node"));
    let found = match metric {
        "kube_pod_info" => {
            let owner = workload(label("created_by_kind"), label("created_by_name"));
            vec![
                is_on(pod(), node(), EntityKind::Host),
                is_on(owner, pod(), EntityKind::Pod),
            ]
        }
        "kube_pod_owner" => {
            let owner = workload(label("owner_kind"), label("owner_name"));
            vec![is_on(owner, pod(), EntityKind::Pod)]
        }
        "kube_node_labels" => {
            let zone = label("label_topology_kubernetes_io_zone");
            let region = label("label_topology_kubernetes_io_region");
            vec![
                is_on(node(), zone, EntityKind::Zone),
                is_on(zone, region, EntityKind::Region),
            ]
        }
        "kube_endpointslice_endpoints" if label("targetref_kind") == Some("Pod") => {
            let slice = label("endpointslice");
            vec![is_on(slice.map(unhashed), label("targetref_name"), EntityKind::Pod)]
        }
        _ => Vec::new(),
    };
    found.into_iter().flatten().collect()
}

/// What people call the owner of a pod.
fn workload<'a>(kind: Option<&str>, name: Option<&'a str>) -> Option<&'a str> {
    match kind? {
        // A deployment's replica set: the pods are the deployment's.
        "ReplicaSet" => name.map(unhashed),
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob" => name,
        // Static pods are the node's own.
        _ => None,
    }
}

/// A name without the hash that Kubernetes appended, if that is what its end is.
fn unhashed(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((base, hash)) if (4..=10).contains(&hash.len()) && hash.chars().all(|c| HASH_LETTERS.contains(c)) => base,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels};

    #[track_caller]
    fn check(metric: &str, labels: &[(&str, &str)], expected: &[(&str, &str, EntityKind)]) {
        let mut pairs = vec![("__name__".to_owned(), metric.to_owned())];
        pairs.extend(labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        let found = placements_of(&info_from_labels(&Labels::new(pairs)));
        let found: Vec<_> = found
            .iter()
            .map(|f| (f.edge.caller.as_str(), f.edge.callee.as_str(), f.kind))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(a, b, kind)| (*a, *b, Some(*kind))).collect();
        assert_eq!(found, expected, "{metric} {labels:?}");
    }

    #[test]
    fn kubernetes_says_what_a_workload_is_made_of_and_where_that_runs() {
        use EntityKind::{Host, Pod, Region, Zone};
        let pod = "web-5d7c8f4b9d-x2x7q";
        check(
            "kube_pod_info",
            &[
                ("namespace", "shop"),
                ("pod", pod),
                ("node", "n1"),
                ("created_by_kind", "ReplicaSet"),
                ("created_by_name", "web-5d7c8f4b9d"),
            ],
            &[(pod, "n1", Host), ("web", pod, Pod)],
        );
        check(
            "kube_pod_owner",
            &[("pod", "db-0"), ("owner_kind", "StatefulSet"), ("owner_name", "db")],
            &[("db", "db-0", Pod)],
        );
        check(
            "kube_pod_owner",
            &[("pod", "etcd-n1"), ("owner_kind", "Node"), ("owner_name", "n1")],
            &[],
        );
        check(
            "kube_node_labels",
            &[
                ("node", "n1"),
                ("label_topology_kubernetes_io_zone", "eu-1a"),
                ("label_topology_kubernetes_io_region", "eu-1"),
            ],
            &[("n1", "eu-1a", Zone), ("eu-1a", "eu-1", Region)],
        );
        check(
            "kube_endpointslice_endpoints",
            &[
                ("endpointslice", "checkout-x7k2p"),
                ("targetref_kind", "Pod"),
                ("targetref_name", pod),
            ],
            &[("checkout", pod, Pod)],
        );
    }

    #[test]
    fn whoever_says_where_it_runs_depends_on_it() {
        use EntityKind::{Host, Region, Zone};
        check(
            "container_cpu_usage_seconds_total",
            &[("pod", "web-1"), ("node", "n1")],
            &[("web-1", "n1", Host)],
        );
        check(
            "process_cpu_utilization",
            &[
                ("service_name", "cart"),
                ("host_name", "vm-7"),
                ("cloud_availability_zone", "eu-1a"),
                ("cloud_region", "eu-1"),
            ],
            &[
                ("cart", "vm-7", Host),
                ("vm-7", "eu-1a", Zone),
                ("eu-1a", "eu-1", Region),
            ],
        );
        // The host of a request is who is called, and a node's own metrics are no dependency.
        check(
            "nginx_requests_total",
            &[("service", "edge"), ("host", "shop.example")],
            &[],
        );
        check("node_load1", &[("node", "n1")], &[]);
    }

    #[test]
    fn only_a_hash_is_cut_off() {
        for (name, expected) in [
            ("web-5d7c8f4b9d", "web"),
            ("web-5d7c8", "web"),
            ("payment-api", "payment-api"),
            ("cart-v2", "cart-v2"),
            ("web", "web"),
        ] {
            assert_eq!(unhashed(name), expected);
        }
    }
}
