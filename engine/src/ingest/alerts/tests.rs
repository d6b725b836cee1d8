//! The payloads have the shapes that the documents of Prometheus, Alertmanager and Grafana show for them.

use super::webhook::FIRING_MS;
use super::*;
use proptest::prelude::*;

/// 2023-11-14T22:13:20Z.
const NOW: Timestamp = Timestamp(1_700_000_000_000);

#[test]
fn what_prometheus_posts_is_read_and_what_is_wrong_is_named() {
    let decoded = decode_posted(include_bytes!("fixtures/prometheus.json"), NOW).unwrap();
    let [down, bare] = decoded.alerts.as_slice() else {
        panic!("{decoded:?}")
    };
    assert_eq!(down.labels["severity"], "page");
    assert_eq!(
        (down.starts_at, down.ends_at),
        (Some(NOW - 299_866), Some(NOW + 240_134))
    );
    assert!(down.generator_url.starts_with("http://prom:9090/graph?g0.expr=up"));
    assert_eq!((bare.starts_at, bare.ends_at), (None, None));
    let examples: Vec<_> = decoded.rejections.iter().map(|r| r.example.as_str()).collect();
    assert_eq!(
        examples,
        ["alert 3: it has no labels", "alert 4: startsAt must be before endsAt"]
    );
    assert!(decode_posted(b"{}", NOW).unwrap_err().contains("list of alerts"));
}

#[test]
fn the_webhook_says_in_words_what_is_over() {
    let decoded = decode_webhook(include_bytes!("fixtures/alertmanager-webhook.json"), NOW).unwrap();
    let ends: Vec<_> = decoded.alerts.iter().map(|a| a.ends_at).collect();
    assert_eq!(ends, [Some(NOW + FIRING_MS), Some(NOW - 200_000)]);
    assert_eq!(
        (decoded.rejections[0].reason, decoded.rejections[0].samples),
        (RejectReason::OverLimit, 2)
    );
}

#[test]
fn what_grafana_adds_is_passed_over() {
    let decoded = decode_webhook(include_bytes!("fixtures/grafana-webhook.json"), NOW).unwrap();
    assert_eq!((decoded.alerts.len(), decoded.rejections.len()), (1, 0));
    assert_eq!(decoded.alerts[0].labels["service_name"], "checkout");
    assert_eq!(decoded.alerts[0].starts_at, Some(NOW - 260_000));
}

#[test]
fn sizes_have_limits() {
    let check = |alert: serde_json::Value, part: &str| {
        let body = serde_json::to_vec(&[alert]).unwrap();
        let decoded = decode_posted(&body, NOW).unwrap();
        assert!(decoded.rejections[0].example.contains(part), "{decoded:?}");
    };
    let many: BTreeMap<String, String> = (0..200).map(|i| (format!("l{i}"), "x".to_owned())).collect();
    check(serde_json::json!({ "labels": many }), "more than 128 labels");
    check(
        serde_json::json!({ "labels": {"a": "x".repeat(20_000)} }),
        "label a: more than 16384 bytes",
    );
    let long: BTreeMap<String, String> = (0..20).map(|i| (format!("l{i}"), "x".repeat(2000))).collect();
    check(
        serde_json::json!({ "labels": {"a": "x"}, "annotations": long }),
        "at most 32768 are taken",
    );
    check(
        serde_json::json!({ "labels": {"a": "x"}, "startsAt": "soon" }),
        "startsAt: \"soon\"",
    );
}

proptest! {
    #[test]
    fn no_bytes_crash_a_decoder(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode_posted(&bytes, NOW);
        let _ = decode_webhook(&bytes, NOW);
    }

    #[test]
    fn no_times_crash_a_decoder(starts in ".{0,40}", ends in "[0-9TZ:+. -]{0,40}") {
        let alert = serde_json::json!([{ "labels": {"a": "b"}, "startsAt": starts, "endsAt": ends }]);
        let decoded = decode_posted(&serde_json::to_vec(&alert).unwrap(), NOW).unwrap();
        prop_assert_eq!(decoded.alerts.len() + decoded.rejections.len(), 1);
    }
}
