//! Dependencies in the labels of metrics.
//!
//! - `traces_service_graph_*` of the OpenTelemetry Collector's `servicegraph` connector and of Tempo: `client`, `server`,
//!   `connection_type`.
//! - Istio's `istio_*`: `source_workload`, `destination_service_name` (standard metrics).
//! - Linkerd's outbound `request_total` and `tcp_*`: `deployment` (or another workload) and `dst_deployment`, `dst_service`.
//! - Connections: Cilium's `hubble_*` with `source_workload` and `destination_workload` (or `_app`), and Envoy's
//!   `envoy_cluster_upstream_*` with `envoy_cluster_name`.
//! - What clients say by OpenTelemetry's conventions: `http_client_*`, `rpc_client_*`, `db_client_*`, `messaging_client_*` with the
//!   address or the destination that they call.

use super::Found;
use crate::series::SERVICE_GRAPH;
use wire::series::SeriesInfo;
use wire::topology::{EdgeSource, EntityKind};

/// Workloads of Kubernetes as Linkerd labels them, the usual one first.
const WORKLOADS: [&str; 6] = [
    "deployment",
    "statefulset",
    "daemonset",
    "job",
    "replicationcontroller",
    "service",
];

/// The dependency that a series tells of.
pub(super) fn edge_of(info: &SeriesInfo) -> Option<Found> {
    let label = |name: &str| {
        let found = info.labels.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let metric = info.metric.as_str();
    if metric.starts_with(SERVICE_GRAPH) {
        let kind = match label("connection_type") {
            Some("database") => Some(EntityKind::Database),
            Some("messaging_system") => Some(EntityKind::Queue),
            Some("virtual_node") => Some(EntityKind::External),
            _ => None,
        };
        return Found::new(label("client")?, label("server")?, kind, EdgeSource::ServiceGraph);
    }
    if metric.starts_with("istio_") {
        let callee = label("destination_service_name").or_else(|| label("destination_workload"))?;
        // What goes out of the mesh has one name for everything that Istio does not know.
        let is_named = !matches!(
            callee,
            "PassthroughCluster" | "BlackHoleCluster" | "InboundPassthroughClusterIpv4"
        );
        return is_named
            .then(|| Found::new(label("source_workload")?, callee, None, EdgeSource::Mesh))
            .flatten();
    }
    if label("direction") == Some("outbound") && ["request_", "response_", "tcp_"].iter().any(|p| metric.starts_with(p))
    {
        let caller = WORKLOADS.iter().find_map(|name| label(name))?;
        let callee = WORKLOADS.iter().find_map(|name| label(&format!("dst_{name}")))?;
        return Found::new(caller, callee, None, EdgeSource::Mesh);
    }
    if metric.starts_with("hubble_") {
        let end = |side: &str| {
            let names = ["workload", "app", "service"].map(|what| format!("{side}_{what}"));
            let named = names.iter().find_map(|name| label(name));
            named
                .or_else(|| label(side))
                .filter(|name| !name.starts_with("reserved:"))
        };
        return Found::new(end("source")?, end("destination")?, None, EdgeSource::Connections);
    }
    if metric.starts_with("envoy_cluster_upstream_") {
        let cluster = label("envoy_cluster_name")?;
        // Istio names a cluster `outbound|80||cart.shop.svc.cluster.local`.
        let callee = match cluster.rsplit_once('|') {
            Some((_, address)) => address.split_once('.').map_or(address, |(service, _)| service),
            None => cluster,
        };
        return Found::new(info.entity.as_str(), callee, None, EdgeSource::Connections);
    }
    let (kind, callee) = if metric.starts_with("db_client_") {
        let system = label("db_system_name").or_else(|| label("db_system"));
        let callee = label("server_address").or_else(|| label("pool_name")).or(system)?;
        (super::spans::kind_of_store(system.unwrap_or_default()), callee)
    } else if metric.starts_with("messaging_client_") || metric.starts_with("messaging_process_") {
        let callee = label("messaging_destination_name").or_else(|| label("messaging_system"))?;
        (EntityKind::Queue, callee)
    } else if metric.starts_with("http_client_") || metric.starts_with("rpc_client_") {
        (EntityKind::External, label("server_address")?)
    } else {
        return None;
    };
    // An address on the same machine says nothing of who is called.
    let is_here = matches!(callee, "localhost" | "127.0.0.1" | "::1" | "0.0.0.0");
    (!is_here)
        .then(|| Found::new(info.entity.as_str(), callee, Some(kind), EdgeSource::Client))
        .flatten()
}
