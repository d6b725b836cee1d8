//! Alerts of other systems and changes, from the order to the incident and across restarts.

use super::*;
use wire::alert::{Matcher, PostedAlert, Silence, SilenceState};
use wire::topology::ChangeKind;

const NOW: i64 = 1_700_000_000_000;

/// Fires for five minutes already, and for an hour more.
fn firing(name: &str, instance: &str) -> PostedAlert {
    let labels = [("alertname", name), ("instance", instance), ("severity", "critical")];
    PostedAlert {
        labels: labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        starts_at: Some(Timestamp(NOW - 300_000)),
        ends_at: Some(Timestamp(NOW + 3_600_000)),
        ..PostedAlert::default()
    }
}

async fn send(engine: &Arc<Engine>, alerts: Vec<PostedAlert>) {
    let source = "alertmanager_api".to_owned();
    let command = Command::ReceiveAlerts { source, alerts };
    engine.handle(operator()).command(command).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_of_another_system_becomes_an_incident_and_a_silenced_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(Config::new(dir.path())).await;
    let silence = Silence {
        id: String::new(),
        matchers: vec![Matcher {
            name: "instance".to_owned(),
            value: "web-1".to_owned(),
            is_regex: false,
            is_equal: true,
        }],
        starts_at: Timestamp(NOW),
        ends_at: Timestamp(NOW + 3_600_000),
        updated_at: Timestamp(0),
        created_by: "ada".to_owned(),
        comment: "known".to_owned(),
        state: SilenceState::Active,
    };
    let command = Command::SetSilence { silence };
    assert!(matches!(
        engine.handle(operator()).command(command).await,
        Ok(Reply::Silence(_))
    ));
    send(&engine, vec![firing("Slow", "web-1")]).await;
    send(&engine, vec![firing("DiskFull", "db-1")]).await;
    let state = follow(&engine, |s| !s.incidents.is_empty()).await;
    let [incident] = state.incidents.as_slice() else {
        panic!("{:?}", state.incidents)
    };
    assert_eq!((incident.source.as_str(), incident.members), ("alertmanager_api", 1));
    let query = Query::Incident {
        id: incident.id.clone(),
    };
    let Reply::Incident(detail) = engine.handle(operator()).query(query).await.unwrap() else {
        panic!("an incident was asked for")
    };
    let member = &detail.members[0];
    assert_eq!((member.entity.as_str(), member.metric.as_str()), ("db-1", "DiskFull"));
    assert_eq!(member.onset, Timestamp(NOW - 300_000));
    assert!(member.voters.is_empty(), "no member of the ensemble voted");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_recorded_once_and_only_a_cause_is_a_suspect() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(Config::new(dir.path())).await;
    let of_ci = |at: i64| Deploy {
        source: "github".to_owned(),
        id: "shop#7".to_owned(),
        ..Deploy::new(Timestamp(NOW + at), "cart", "v2")
    };
    let note = Deploy {
        kind: ChangeKind::Annotation,
        tags: vec!["night".to_owned()],
        ..Deploy::new(Timestamp(NOW), Deploy::EVERYTHING, "load test")
    };
    let record = async |engine: &Arc<Engine>, deploy: Deploy| {
        let command = Command::RecordDeploy { deploy };
        match engine.handle(operator()).command(command).await.unwrap() {
            Reply::Done(text) => text,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(record(&engine, of_ci(0)).await, "deploy of cart v2 recorded");
    // Another phase of the same, a minute later.
    assert_eq!(
        record(&engine, of_ci(60_000)).await,
        "deploy of cart v2 is recorded already"
    );
    assert_eq!(
        record(&engine, note.clone()).await,
        "annotation of * load test recorded"
    );
    let changes = async |engine: &Arc<Engine>, tags: &[&str]| {
        let query = Query::Changes {
            from: Some(Timestamp(NOW)),
            to: None,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            any_tag: false,
            limit: None,
        };
        match engine.handle(operator()).query(query).await.unwrap() {
            Reply::Changes(changes) => changes,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(changes(&engine, &["night"]).await, std::slice::from_ref(&note));
    engine.shutdown().await;
    let engine = start(Config::new(dir.path())).await;
    assert_eq!(changes(&engine, &[]).await, [note, of_ci(0)]);
    assert_eq!(record(&engine, of_ci(0)).await, "deploy of cart v2 is recorded already");
    engine.shutdown().await;
}
