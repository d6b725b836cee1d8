use super::*;
use crate::series::{Labels, info_from_labels};
use proptest::prelude::*;
use std::collections::BTreeSet;
use wire::Timestamp;
use wire::signal::{SpanKind, SpanRecord, SpanStatus};
use wire::topology::EdgeDetail;

fn series(text: &str) -> SeriesInfo {
    let (name, rest) = text.split_once('{').unwrap();
    let mut labels = vec![("__name__".to_owned(), name.to_owned())];
    for pair in rest.trim_end_matches('}').split(',') {
        let (name, value) = pair.split_once('=').unwrap();
        labels.push((name.trim().to_owned(), value.trim_matches('"').to_owned()));
    }
    info_from_labels(&Labels::new(labels))
}

/// As the documents of each show their metrics.
#[test]
fn metrics_tell_who_calls_whom() {
    let check = |text: &str, expected: Option<(&str, &str, Option<EntityKind>)>| {
        let found = series::edge_of(&series(text));
        let found = found
            .as_ref()
            .map(|f| (f.edge.caller.as_str(), f.edge.callee.as_str(), f.kind));
        assert_eq!(found, expected, "{text}");
    };
    check(
        r#"traces_service_graph_request_total{client="frontend",server="cart",connection_type=""}"#,
        Some(("frontend", "cart", None)),
    );
    check(
        r#"traces_service_graph_request_server_seconds_bucket{client="cart",server="pg",connection_type="database",le="0.1"}"#,
        Some(("cart", "pg", Some(EntityKind::Database))),
    );
    check(
        r#"istio_requests_total{source_workload="frontend-v1",destination_service_name="cart",destination_workload="cart-v2",response_code="200"}"#,
        Some(("frontend-v1", "cart", None)),
    );
    check(
        r#"istio_requests_total{source_workload="unknown",destination_service_name="cart"}"#,
        None,
    );
    check(
        r#"istio_requests_total{source_workload="cart",destination_service_name="PassthroughCluster"}"#,
        None,
    );
    check(
        r#"request_total{direction="outbound",deployment="web",dst_deployment="emoji",dst_namespace="emojivoto"}"#,
        Some(("web", "emoji", None)),
    );
    check(r#"request_total{direction="inbound",deployment="emoji"}"#, None);
    check(
        r#"db_client_operation_duration_seconds_count{service_name="cart",db_system_name="redis",server_address="cart-redis"}"#,
        Some(("cart", "cart-redis", Some(EntityKind::Cache))),
    );
    check(
        r#"messaging_client_sent_messages_total{service_name="cart",messaging_system="kafka",messaging_destination_name="orders"}"#,
        Some(("cart", "orders", Some(EntityKind::Queue))),
    );
    check(
        r#"http_client_request_duration_seconds_count{service_name="cart",server_address="api.stripe.com"}"#,
        Some(("cart", "api.stripe.com", Some(EntityKind::External))),
    );
    check(
        r#"http_client_request_duration_seconds_count{service_name="cart",server_address="localhost"}"#,
        None,
    );
    check(
        r#"http_requests_total{service="cart",client="frontend",server="x"}"#,
        None,
    );
    check(
        r#"hubble_flows_processed_total{source_workload="web",destination_workload="cart",verdict="FORWARDED"}"#,
        Some(("web", "cart", None)),
    );
    check(
        r#"hubble_drop_total{source="reserved:world",destination="shop/cart-1"}"#,
        None,
    );
    check(
        r#"envoy_cluster_upstream_cx_active{service="web",envoy_cluster_name="outbound|80||cart.shop.svc.cluster.local"}"#,
        Some(("web", "cart", None)),
    );
    check(
        r#"envoy_cluster_upstream_rq_total{service="edge",envoy_cluster_name="payments"}"#,
        Some(("edge", "payments", None)),
    );
}

#[test]
fn what_is_told_of_an_object_is_the_objects() {
    let entity = |text: &str| series(text).entity;
    let pod = r#"kube_pod_container_status_restarts_total{service="kube-state-metrics",pod="cart-1",container="app"}"#;
    assert_eq!(entity(pod).as_str(), "cart-1");
    let exported = r#"kube_pod_info{service="kube-state-metrics",pod="kube-state-metrics-0",exported_pod="cart-1"}"#;
    assert_eq!(entity(exported).as_str(), "cart-1");
    let job = r#"kube_job_status_failed{job="kube-state-metrics",job_name="backup"}"#;
    assert_eq!(entity(job).as_str(), "backup");
}

#[test]
fn what_a_service_graph_counts_is_about_who_is_called() {
    let info = series(r#"traces_service_graph_request_failed_total{client="frontend",server="cart",job="tempo"}"#);
    assert_eq!(info.entity.as_str(), "cart");
}

fn span(
    trace: u32,
    id: u32,
    parent: Option<u32>,
    service: &str,
    kind: SpanKind,
    attributes: &[(&str, &str)],
) -> SpanLink {
    let hex = |n: u32| format!("{n:016x}");
    SpanLink::new(&SpanRecord {
        at: Timestamp(1),
        duration_us: 1,
        service: service.to_owned(),
        name: "x".to_owned(),
        kind,
        status: SpanStatus::Unset,
        message: String::new(),
        attributes: attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        trace_id: hex(trace),
        span_id: hex(id),
        parent_id: parent.map(hex).unwrap_or_default(),
    })
}

fn names(found: &[Found]) -> BTreeSet<String> {
    found
        .iter()
        .map(|f| format!("{} -> {}", f.edge.caller, f.edge.callee))
        .collect()
}

/// A call of frontend to cart, which asks its cache, a database by its address, and a payment service that has no spans.
fn checkout(trace: u32) -> Vec<SpanLink> {
    use SpanKind::{Client, Consumer, Internal, Producer, Server};
    vec![
        span(trace, 1, None, "frontend", Server, &[]),
        span(trace, 2, Some(1), "frontend", Internal, &[]),
        span(
            trace,
            3,
            Some(2),
            "frontend",
            Client,
            &[("server.address", "cart.default.svc")],
        ),
        span(trace, 4, Some(3), "cart", Server, &[]),
        span(
            trace,
            5,
            Some(4),
            "cart",
            Client,
            &[("db.system", "redis"), ("peer.service", "cart-cache")],
        ),
        span(
            trace,
            6,
            Some(4),
            "cart",
            Client,
            &[("db.system.name", "postgresql"), ("server.address", "pg-1")],
        ),
        span(
            trace,
            7,
            Some(4),
            "cart",
            Client,
            &[("server.address", "api.stripe.com")],
        ),
        span(
            trace,
            8,
            Some(4),
            "cart",
            Producer,
            &[("messaging.system", "kafka"), ("messaging.destination.name", "orders")],
        ),
        span(
            trace,
            9,
            Some(8),
            "shipping",
            Consumer,
            &[("messaging.system", "kafka"), ("messaging.destination.name", "orders")],
        ),
    ]
}

const CHECKOUT: [&str; 6] = [
    "cart -> api.stripe.com",
    "cart -> cart-cache",
    "cart -> orders",
    "cart -> pg-1",
    "frontend -> cart",
    "shipping -> orders",
];

/// Feeds the spans, and lets two generations pass.
fn all_found(batches: &[Vec<SpanLink>]) -> Vec<Found> {
    let mut graph = SpanGraph::default();
    let mut found = Vec::new();
    for batch in batches {
        found.extend(graph.observe(batch, Timestamp(1)));
    }
    for turn in 1..4 {
        found.extend(graph.observe(&[], Timestamp(turn * 60_000)));
    }
    found
}

#[test]
fn spans_tell_who_calls_whom() {
    let found = all_found(&[checkout(1)]);
    assert_eq!(names(&found), CHECKOUT.map(str::to_owned).into());
    let kind = |name: &str| {
        found
            .iter()
            .find(|f| f.edge.callee.as_str() == name)
            .and_then(|f| f.kind)
    };
    assert_eq!(
        ["cart-cache", "pg-1", "api.stripe.com", "orders", "cart"].map(kind),
        [
            Some(EntityKind::Cache),
            Some(EntityKind::Database),
            Some(EntityKind::External),
            Some(EntityKind::Queue),
            None
        ]
    );
}

#[test]
fn calls_are_counted_and_told_now_and_then() {
    let mut graph = SpanGraph::default();
    let call = |trace| {
        vec![
            span(trace, 1, None, "a", SpanKind::Client, &[]),
            span(trace, 2, Some(1), "b", SpanKind::Server, &[]),
        ]
    };
    assert_eq!(
        graph.observe(&call(1), Timestamp(0)).len(),
        1,
        "what is new is told at once"
    );
    for trace in 2..8 {
        assert_eq!(graph.observe(&call(trace), Timestamp(i64::from(trace))), []);
    }
    let later = graph.observe(&call(8), Timestamp(20_000));
    assert_eq!(later[0].calls, 7);
}

#[test]
fn what_is_known_is_kept_and_what_nobody_sees_is_forgotten() {
    let found = |source, calls| Found {
        calls,
        ..Found::new("a", "b", Some(EntityKind::Database), source).unwrap()
    };
    let mut book = EdgeBook::default();
    let (is_new, keep) = book.see(found(EdgeSource::Spans, 1), Timestamp(5));
    assert!(is_new && keep.is_some());
    let (is_new, keep) = book.see(found(EdgeSource::Spans, 3), Timestamp(9));
    assert!(!is_new && keep.is_none(), "that it was seen again is kept now and then");
    let (_, keep) = book.see(found(EdgeSource::Mesh, 0), Timestamp(10));
    let detail = keep.unwrap();
    assert_eq!(detail.sources, [EdgeSource::Spans, EdgeSource::Mesh]);
    assert_eq!(
        (detail.calls, detail.first_seen, detail.last_seen),
        (4, Timestamp(5), Timestamp(10))
    );
    let month = 31 * 24 * 3600 * 1000;
    assert_eq!(
        EdgeBook::restore(vec![detail.clone()], Vec::new(), Timestamp(month))
            .edges()
            .count(),
        0
    );
    assert_eq!(
        EdgeBook::restore(vec![detail.clone()], Vec::new(), Timestamp(month / 2))
            .edges()
            .count(),
        1
    );
    let declared = EdgeDetail {
        sources: vec![EdgeSource::Declared],
        ..detail
    };
    assert_eq!(
        EdgeBook::restore(vec![declared], Vec::new(), Timestamp(month))
            .edges()
            .count(),
        1
    );
}

/// A series that is known is not new: what it tells is found at the start, as far as it is not over for long.
#[test]
fn what_known_series_tell_is_known_from_the_start() {
    let found = |callee: &str| Found::new("a", callee, None, EdgeSource::Mesh).unwrap();
    let day = 24 * 3600 * 1000;
    let now = Timestamp(100 * day);
    let heard = vec![(found("alive"), now - day), (found("gone"), now - 40 * day)];
    let book = EdgeBook::restore(Vec::new(), heard, now);
    let known: Vec<_> = book.edges().map(|d| (d.edge.callee.as_str(), d.last_seen)).collect();
    assert_eq!(known, [("alive", now - day)]);
}

#[test]
fn who_reports_by_itself_is_not_external() {
    let mut book = EdgeBook::default();
    for (callee, kind) in [("cart", EntityKind::External), ("pg", EntityKind::Database)] {
        let found = Found::new("web", callee, Some(kind), EdgeSource::Client).unwrap();
        book.see(found, Timestamp(1));
    }
    let kinds = |reports| ["cart", "pg"].map(|name| book.kind(&name.into(), reports));
    assert_eq!(kinds(true), [None, Some(EntityKind::Database)]);
    assert_eq!(kinds(false), [Some(EntityKind::External), Some(EntityKind::Database)]);
}

#[test]
fn names_that_explode_are_cut_off() {
    let mut book = EdgeBook::default();
    let mut new = 0;
    for n in 0..MAX_EDGES + 10 {
        let found = Found::new("a", &format!("b{n}"), None, EdgeSource::Spans).unwrap();
        new += usize::from(book.see(found, Timestamp(1)).0);
    }
    assert_eq!((new, book.edges().count()), (MAX_EDGES, MAX_EDGES));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In whatever order and in however many requests spans come, they tell the same.
    #[test]
    fn the_order_of_spans_does_not_matter(order in Just((0..27usize).collect::<Vec<_>>()).prop_shuffle(), cut in 1..27usize) {
        let all: Vec<SpanLink> = (1..4).flat_map(checkout).collect();
        let shuffled: Vec<SpanLink> = order.iter().map(|index| all[*index].clone()).collect();
        let batches: Vec<Vec<SpanLink>> = shuffled.chunks(cut).map(<[SpanLink]>::to_vec).collect();
        prop_assert_eq!(names(&all_found(&batches)), CHECKOUT.map(str::to_owned).into());
    }
}
