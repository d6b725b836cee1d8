//! The payloads have the shapes that each sender's documents show for it.

use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn one(outcome: Outcome) -> Deploy {
    match outcome {
        Ok(Decoded::Changes(mut changes)) if changes.len() == 1 => changes.remove(0),
        other => panic!("{other:?}"),
    }
}

/// entity, version, kind, milliseconds.
#[track_caller]
fn check(outcome: Outcome, entity: &str, version: &str, kind: ChangeKind, at: i64) -> Deploy {
    let change = one(outcome);
    let got = (
        change.entity.as_str(),
        change.version.as_str(),
        change.kind,
        change.at.as_millis(),
    );
    assert_eq!(got, (entity, version, kind, at));
    change
}

#[test]
fn grafana_annotations() {
    let change = check(
        grafana::decode(include_bytes!("fixtures/grafana.json"), NOW),
        "checkout",
        "Annotation Description",
        ChangeKind::Deploy,
        1_507_037_197_339,
    );
    assert_eq!(
        (change.until, change.note.as_str()),
        (Some(Timestamp(1_507_180_805_056)), "more of it")
    );
    assert_eq!(change.tags, ["deploy", "service:checkout", "outage"]);
    let plain = grafana::decode(br#"{"text":"load test","tags":["night"]}"#, NOW);
    check(
        plain,
        Deploy::EVERYTHING,
        "load test",
        ChangeKind::Annotation,
        NOW.as_millis(),
    );
    assert!(
        grafana::decode(br#"{"text":" "}"#, NOW)
            .unwrap_err()
            .contains("text: must not be empty")
    );
    assert!(
        grafana::decode(br#"{"tags":[]}"#, NOW)
            .unwrap_err()
            .contains("missing field `text`")
    );
}

#[test]
fn graphite_annotations() {
    let change = check(
        grafana::decode_graphite(include_bytes!("fixtures/graphite.json"), NOW),
        Deploy::EVERYTHING,
        "Event - deploy",
        ChangeKind::Deploy,
        1_467_844_481_000,
    );
    assert!(change.note.starts_with("deploy of master"));
    let old = grafana::decode_graphite(br#"{"what":"x","tags":"config service:cart"}"#, NOW);
    assert_eq!(
        check(old, "cart", "x", ChangeKind::Config, NOW.as_millis()).tags.len(),
        2
    );
}

#[test]
fn cdevents_structured_binary_and_in_batches() {
    let text = include_str!("fixtures/cdevents-structured.json");
    let at = 1_679_322_425_315;
    let decoded = cdevents::decode_structured(text.as_bytes(), NOW);
    let change = check(decoded, "mySubject123", "0b31b1c02ff4", ChangeKind::Deploy, at);
    assert_eq!(change.id, "/event/source/123#271069a8-fc18-44f1-b38f-9d70a1695819");
    assert_eq!(change.tags, ["environment:test123"]);
    let back = text
        .replace("service.upgraded", "service.rolledback")
        .replace("myapp@sha256%3A0b", "myapp@1.2.0-0b");
    let Ok(Decoded::Changes(two)) = cdevents::decode_structured(format!("[{text},{back}]").as_bytes(), NOW) else {
        panic!("a batch")
    };
    assert_eq!((two.len(), two[1].kind), (2, ChangeKind::Rollback));
    assert!(two[1].version.starts_with("1.2.0-0b31"));
    let attributes = cdevents::Attributes {
        specversion: "1.0".to_owned(),
        id: "1".to_owned(),
        source: "ci".to_owned(),
        kind: "dev.cdevents.service.removed.0.3.0".to_owned(),
        time: None,
    };
    let body = include_bytes!("fixtures/cdevents-body.json");
    check(
        cdevents::decode_binary(&attributes, body, NOW),
        "mySubject123",
        "removed",
        ChangeKind::Removal,
        at,
    );
    let other = cdevents::Attributes {
        kind: "dev.cdevents.pipelinerun.finished.0.2.0".to_owned(),
        ..attributes.clone()
    };
    assert!(matches!(
        cdevents::decode_binary(&other, b"", NOW),
        Ok(Decoded::Ignored(_))
    ));
    let nameless = cdevents::Attributes {
        id: String::new(),
        ..attributes
    };
    assert!(
        cdevents::decode_binary(&nameless, body, NOW)
            .unwrap_err()
            .starts_with("id:")
    );
}

#[test]
fn github_deployments() {
    let text = include_str!("fixtures/github-deployment_status.json");
    let status = |text: &str| github::decode("deployment_status", text.as_bytes(), NOW);
    let change = check(
        status(text),
        "Hello-World",
        "main@f95f852",
        ChangeKind::Deploy,
        1_557_933_653_000,
    );
    assert_eq!(
        (change.id.as_str(), change.note.as_str()),
        ("Codertocat/Hello-World#145988746", "Deployed")
    );
    // The two ends of one deployment are one change.
    assert!(one(status(&text.replace("\"success\"", "\"in_progress\""))).is_same_change(&change));
    assert!(matches!(
        status(&text.replace("\"success\"", "\"failure\"")),
        Ok(Decoded::Ignored(_))
    ));
    let requested = github::decode("deployment", include_bytes!("fixtures/github-deployment.json"), NOW);
    let note = check(
        requested,
        "checkout",
        "v1.2@f95f852",
        ChangeKind::Annotation,
        1_557_933_650_000,
    );
    assert!(!note.is_same_change(&change));
    assert!(matches!(github::decode("ping", b"{}", NOW), Ok(Decoded::Ignored(_))));
    assert!(github::decode("deployment", b"{}", NOW).is_err());
}

#[test]
fn gitlab_deployments() {
    let text = include_str!("fixtures/gitlab.json");
    let at = 1_619_639_400_000;
    let change = gitlab::decode(text.as_bytes(), NOW);
    let change = check(
        change,
        "test-deployment-webhooks",
        "1.0.0@279484c",
        ChangeKind::Deploy,
        at,
    );
    assert_eq!(
        (change.note.as_str(), change.tags[0].as_str()),
        ("Add new file", "environment:staging")
    );
    let utc = text.replace("21:50:00 +0200", "19:50:00 UTC");
    assert_eq!(one(gitlab::decode(utc.as_bytes(), NOW)).at, Timestamp(at));
    let failed = text.replace("\"success\"", "\"failed\"");
    assert!(matches!(
        gitlab::decode(failed.as_bytes(), NOW),
        Ok(Decoded::Ignored(_))
    ));
    assert!(matches!(
        gitlab::decode(br#"{"object_kind":"push"}"#, NOW),
        Ok(Decoded::Ignored(_))
    ));
    assert!(gitlab::decode(b"[]", NOW).is_err());
}

#[test]
fn argo_cd_notifications() {
    let text = include_str!("fixtures/argocd.json");
    let change = check(
        argocd::decode(text.as_bytes(), NOW),
        "guestbook",
        "HEAD@53e28ff",
        ChangeKind::Deploy,
        NOW.as_millis(),
    );
    assert!(one(argocd::decode(text.replace("Succeeded", "Running").as_bytes(), NOW)).is_same_change(&change));
    let failed = text.replace("Succeeded", "Failed");
    assert!(matches!(
        argocd::decode(failed.as_bytes(), NOW),
        Ok(Decoded::Ignored(_))
    ));
}

#[test]
fn pagerduty_change_events() {
    let text = include_str!("fixtures/pagerduty.json");
    let change = check(
        pagerduty::decode(text.as_bytes(), NOW),
        "acme-build-pipeline-tool-default-i-9999",
        "Build Success - Increase snapshot create timeout to 30 seconds",
        ChangeKind::Deploy,
        1_594_975_378_315,
    );
    assert!(change.note.ends_with("https://acme.pagerduty.dev/build/2") && !change.note.contains("samplekeyhere"));
    assert_eq!(pagerduty::routing_key(text.as_bytes()), "samplekeyhere");
    let named = text.replace(
        "\"build_state\": \"passed\"",
        "\"service\": \"cart\", \"version\": \"v7\", \"kind\": \"flag\"",
    );
    check(
        pagerduty::decode(named.as_bytes(), NOW),
        "cart",
        "v7",
        ChangeKind::Flag,
        1_594_975_378_315,
    );
}

#[test]
fn long_texts_are_cut_between_characters() {
    assert_eq!(cut("äöü", 3), "ä");
    assert_eq!(cut(" a ", 3), "a");
    let body = serde_json::json!({ "text": "ü".repeat(3000), "tags": vec!["t".repeat(400); 100] });
    let change = one(grafana::decode(&serde_json::to_vec(&body).unwrap(), NOW));
    assert_eq!(
        (change.version.len(), change.tags.len(), change.tags[0].len()),
        (1000, 64, 256)
    );
    let body = serde_json::json!({ "text": "x", "tags": [format!("service:{}", "s".repeat(240))] });
    assert!(grafana::decode(&serde_json::to_vec(&body).unwrap(), NOW).is_ok());
}

fn decode_all(body: &[u8]) {
    let _ = grafana::decode(body, NOW);
    let _ = grafana::decode_graphite(body, NOW);
    let _ = cdevents::decode_structured(body, NOW);
    let _ = github::decode("deployment_status", body, NOW);
    let _ = gitlab::decode(body, NOW);
    let _ = argocd::decode(body, NOW);
    let _ = pagerduty::decode(body, NOW);
    let _ = pagerduty::routing_key(body);
}

proptest! {
    #[test]
    fn no_bytes_crash_a_decoder(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decode_all(&bytes);
    }

    /// Nearly right is worse than noise: a fixture with some of its bytes replaced.
    #[test]
    fn no_damage_crashes_a_decoder(which in 0usize..7, places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let fixtures: [&[u8]; 7] = [
            include_bytes!("fixtures/grafana.json"),
            include_bytes!("fixtures/graphite.json"),
            include_bytes!("fixtures/cdevents-structured.json"),
            include_bytes!("fixtures/github-deployment_status.json"),
            include_bytes!("fixtures/gitlab.json"),
            include_bytes!("fixtures/argocd.json"),
            include_bytes!("fixtures/pagerduty.json"),
        ];
        let mut body = fixtures[which].to_vec();
        for (place, byte) in places {
            let at = place.index(body.len());
            body[at] = byte;
        }
        decode_all(&body);
    }
}
