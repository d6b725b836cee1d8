//! Dependencies that nobody declared are there once spans or metrics have shown them, and after a restart.

use super::*;
use crate::ingest::otlp::Encoding;
use crate::pipeline::engine::intake::Payload;
use wire::topology::{EdgeDetail, EdgeSource, EntityKind};

async fn edges(engine: &Arc<Engine>) -> Vec<EdgeDetail> {
    match engine.handle(operator()).query(Query::Edges).await.unwrap() {
        Reply::Edges(edges) => edges,
        other => panic!("{other:?}"),
    }
}

fn shown(edges: &[EdgeDetail]) -> Vec<String> {
    let line = |d: &EdgeDetail| format!("{} -> {} {:?}", d.edge.caller, d.edge.callee, d.sources);
    edges.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_spans_and_metrics_show_is_the_topology() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    // Spans are looked at before a share of the traces is kept.
    config.signals.limits.success_share = 0.0;
    let engine = start(config.clone()).await;
    let span = |id: &str, parent: &str, kind: u8, attributes: &str| {
        format!(
            r#"{{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"{id}","parentSpanId":"{parent}","name":"x","kind":{kind},
                "startTimeUnixNano":"1699999990000000000","endTimeUnixNano":"1699999991000000000","attributes":[{attributes}]}}"#
        )
    };
    let resource = |service: &str, spans: &[String]| {
        format!(
            r#"{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},
                "scopeSpans":[{{"spans":[{}]}}]}}"#,
            spans.join(",")
        )
    };
    let redis = r#"{"key":"db.system","value":{"stringValue":"redis"}},{"key":"peer.service","value":{"stringValue":"sessions"}}"#;
    let request = format!(
        r#"{{"resourceSpans":[{},{}]}}"#,
        resource("frontend", &[span("b7ad6b7169203331", "", 3, "")]),
        resource(
            "cart",
            &[
                span("b7ad6b7169203332", "b7ad6b7169203331", 2, ""),
                span("b7ad6b7169203333", "b7ad6b7169203332", 3, redis),
            ]
        )
    );
    let payload = Payload::OtlpSpans(Encoding::Json);
    let report = engine.take(payload, request.as_bytes()).await.unwrap();
    assert_eq!(report.accepted, 0, "none of the spans is kept");
    let labels = [("client", "cart"), ("server", "shipping")];
    let mut labels: Vec<_> = labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    labels.push(("__name__".to_owned(), "traces_service_graph_request_total".to_owned()));
    let metrics = IngestBatch {
        new_series: vec![info_from_labels(&Labels::new(labels))],
        ..IngestBatch::default()
    };
    engine.ingest("remote_write", metrics).await.unwrap();
    let declare = Command::DeclareEdge {
        edge: wire::topology::Edge {
            caller: "frontend".into(),
            callee: "cart".into(),
        },
    };
    engine.handle(operator()).command(declare).await.unwrap();
    let expected = [
        "cart -> sessions [Spans]",
        "cart -> shipping [ServiceGraph]",
        "frontend -> cart [Declared, Spans]",
    ];
    let found = edges(&engine).await;
    assert_eq!(shown(&found), expected);
    assert_eq!(found[0].kind, Some(EntityKind::Cache));
    engine.shutdown().await;

    let engine = start(config).await;
    let again = edges(&engine).await;
    assert_eq!(again, found);
    assert!(again[2].sources.contains(&EdgeSource::Declared));
    let Reply::Snapshot(snapshot) = engine.handle(operator()).query(Query::Snapshot).await.unwrap() else {
        panic!("no snapshot")
    };
    assert_eq!(snapshot.edges.len(), 3);
    let sessions = snapshot.entities.iter().find(|e| e.id.as_str() == "sessions").unwrap();
    assert_eq!(sessions.kind, EntityKind::Cache, "also what has no metrics is shown");
}
