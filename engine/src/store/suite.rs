//! One suite for every store.

use super::history::SealedChunk;
use super::log::Position;
use super::rollup::{Level, combined, rolled};
use super::sqlite::SqliteStore;
use super::{Change, Saved, Store};
use crate::notify::{Notice, Parcel, Told};
use crate::series::{Labels, info_from_labels};
use wire::alert::{Alert, AlertState, Pairs, Silence, SilenceState};
use wire::notify::{ChannelKind, Delivery, DeliveryState, Occasion};
use wire::proposal::AuditEntry;
use wire::topology::{ChangeKind, Deploy, Edge, EdgeDetail, EdgeSource, EntityKind};
use wire::{SeriesId, Timestamp};

async fn passes(store: &dyn Store) {
    assert_eq!(store.load().await.unwrap(), Saved::default(), "a new store is empty");

    let info = info_from_labels(&Labels::of("web", "latency", Some("p99")));
    let edge = EdgeDetail {
        edge: Edge {
            caller: "web".into(),
            callee: "db".into(),
        },
        kind: Some(EntityKind::Database),
        sources: vec![EdgeSource::Declared, EdgeSource::Spans],
        calls: 7,
        first_seen: Timestamp(1),
        last_seen: Timestamp(2),
    };
    let deploy = Deploy::new(Timestamp(5), "web", "v2");
    let annotation = Deploy {
        kind: ChangeKind::Annotation,
        source: "grafana_annotations".to_owned(),
        id: "7".to_owned(),
        tags: vec!["night".to_owned(), "a,b".to_owned()],
        until: Some(Timestamp(9)),
        ..Deploy::new(Timestamp(6), Deploy::EVERYTHING, "load test")
    };
    let alert = Alert {
        fingerprint: "00000000000000aa".to_owned(),
        labels: [("alertname".to_owned(), "Full".to_owned())].into(),
        annotations: Pairs::new(),
        starts_at: Timestamp(1),
        ends_at: Timestamp(2),
        updated_at: Timestamp(1),
        timeout: true,
        generator_url: String::new(),
        source: "test".to_owned(),
        entity: None,
        state: AlertState::Active,
        silenced_by: Vec::new(),
    };
    let silence = Silence {
        id: "a silence".to_owned(),
        matchers: Vec::new(),
        starts_at: Timestamp(1),
        ends_at: Timestamp(2),
        updated_at: Timestamp(1),
        created_by: "ada".to_owned(),
        comment: String::new(),
        state: SilenceState::Pending,
    };
    let notice = Notice::example(Timestamp(7));
    let told = Told::new(notice.clone(), Timestamp(8));
    let parcel = Parcel {
        delivery: Delivery {
            id: "NTF-000001".into(),
            channel: "ops".to_owned(),
            kind: ChannelKind::Email,
            occasion: Occasion::Opened,
            incident: Some(notice.incident.clone()),
            severity: notice.severity,
            created: Timestamp(8),
            tries: 2,
            problem: "time-out".to_owned(),
            state: DeliveryState::Waiting { next_try: Timestamp(9) },
        },
        notice,
    };
    let entry = |seq, text: &str| AuditEntry {
        seq,
        at: Timestamp(1),
        actor: "ada".to_owned(),
        action: text.to_owned(),
        subject: String::new(),
        detail: String::new(),
        hash: "h".to_owned(),
    };
    let changes = [
        Change::Series {
            info: info.clone(),
            source: "test".to_owned(),
        },
        Change::Edge(edge.clone()),
        Change::Edge(edge.clone()),
        Change::Deploy(deploy.clone()),
        Change::Deploy(annotation.clone()),
        Change::Alert(alert.clone()),
        Change::Silence(silence.clone()),
        Change::Told(Box::new(told.clone())),
        Change::Parcel(Box::new(parcel.clone())),
        Change::Audit(entry(1, "one")),
        Change::Setting {
            key: "kill_switch",
            value: "true".to_owned(),
        },
        Change::Setting {
            key: "kill_switch",
            value: "false".to_owned(),
        },
    ];
    store.save(&changes).await.unwrap();
    let saved = store.load().await.unwrap();
    assert_eq!(saved.series, [(info.clone(), "test".to_owned())]);
    assert_eq!(
        (saved.edges, saved.deploys, saved.audit),
        (vec![edge], vec![deploy, annotation], vec![entry(1, "one")])
    );
    assert_eq!((saved.alerts, saved.silences), (vec![alert], vec![silence]));
    assert_eq!((saved.told, saved.parcels), (vec![told], vec![parcel]));
    assert_eq!(saved.settings.get("kill_switch").map(String::as_str), Some("false"));

    // All or nothing, and the audit chain is not rewritten.
    let rewrite = [
        Change::Setting {
            key: "x",
            value: "1".to_owned(),
        },
        Change::Audit(entry(1, "other")),
    ];
    assert!(store.save(&rewrite).await.is_err());
    let saved = store.load().await.unwrap();
    assert!(!saved.settings.contains_key("x"));
    assert_eq!(saved.audit, [entry(1, "one")]);

    // High ids survive the trip through signed integers.
    let id = SeriesId(u64::MAX - 3);
    let chunk = |from: i64| SealedChunk::new(id, &[(Timestamp(from), 1.5), (Timestamp(from + 9), 2.5)]);
    store
        .seal(&[chunk(0), chunk(10), chunk(20)], Some(Position(77)))
        .await
        .unwrap();
    store.seal(&[chunk(20)], None).await.unwrap();
    assert_eq!(
        store.chunks(id, Timestamp(9), Timestamp(10)).await.unwrap(),
        [chunk(0), chunk(10)]
    );
    let saved = store.load().await.unwrap();
    assert_eq!(
        (saved.checkpoint, saved.sealed_until.get(&id)),
        (Position(77), Some(&Timestamp(29)))
    );
    for (since, oldest) in [(0, Some(0)), (10, Some(10)), (29, Some(20)), (30, None)] {
        let found = store.oldest(Timestamp(since)).await.unwrap();
        assert_eq!(found, oldest.map(Timestamp), "{since}");
    }
    assert_eq!(store.expire(Timestamp(15)).await.unwrap(), 1);
    assert_eq!(
        store.chunks(id, Timestamp(0), Timestamp(100)).await.unwrap(),
        [chunk(10), chunk(20)]
    );
    keeps_rollups_and_puts_together(store).await;
}

async fn keeps_rollups_and_puts_together(store: &dyn Store) {
    let (id, all) = (SeriesId(5), (Timestamp(0), Timestamp(i64::MAX)));
    let samples = |range: std::ops::Range<i64>| {
        range
            .map(|i| (Timestamp(i * 15_000), (i % 9) as f64))
            .collect::<Vec<_>>()
    };
    let chunks: Vec<_> = (0..9)
        .map(|n| SealedChunk::new(id, &samples(n * 50..(n + 1) * 50)))
        .collect();
    store.seal(&chunks, None).await.unwrap();
    let buckets = async |level| {
        let found = store.rollups(id, level, all.0, all.1).await.unwrap();
        let buckets = found.iter().flat_map(|chunk| chunk.buckets().unwrap());
        (found.len(), combined(buckets.collect::<Vec<_>>()))
    };
    for level in Level::ALL {
        assert_eq!(buckets(level).await, (9, rolled(level, &samples(0..450))));
    }
    let some = store
        .rollups(id, Level::Minute, Timestamp(0), Timestamp(749_999))
        .await
        .unwrap();
    assert_eq!(some.len(), 1);
    for (level, count) in [(None, 450), (Some(Level::Minute), 117), (Some(Level::Hour), 9 + 1)] {
        let extent = store.extent(id, level, all.0, all.1).await.unwrap();
        assert_eq!((extent.count, extent.first), (count, Some(Timestamp(0))), "{level:?}");
    }
    let none = store.extent(SeriesId(6), None, all.0, all.1).await.unwrap();
    assert_eq!((none.count, none.first), (0, None));
    assert_eq!(store.compact(10).await.unwrap(), 27);
    assert_eq!(store.compact(10).await.unwrap(), 0);
    let found = store.chunks(id, all.0, all.1).await.unwrap();
    assert_eq!((found.len(), found[0].samples().unwrap()), (1, samples(0..450)));
    for level in Level::ALL {
        assert_eq!(buckets(level).await, (1, rolled(level, &samples(0..450))));
    }
    let saved = store.load().await.unwrap();
    assert_eq!(saved.sealed_until.get(&id), Some(&Timestamp(449 * 15_000)));
    // What ends right then is still there.
    store
        .expire_rollups(Level::Minute, Timestamp(449 * 15_000))
        .await
        .unwrap();
    assert_eq!(buckets(Level::Minute).await.0, 1);
    assert_eq!(
        store.expire_rollups(Level::Minute, Timestamp(i64::MAX)).await.unwrap(),
        1
    );
    assert_eq!(buckets(Level::Minute).await.0, 0);
    assert_eq!(buckets(Level::Hour).await.0, 1);
}

#[tokio::test]
async fn sqlite_in_memory() {
    passes(&SqliteStore::in_memory().await.unwrap()).await;
}

#[tokio::test]
async fn sqlite_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("halo.db");
    passes(&SqliteStore::open(&path).await.unwrap()).await;
    let again = SqliteStore::open(&path).await.unwrap().load().await.unwrap();
    assert_eq!(again.audit.len(), 1, "a file outlives its connection");
    // The writer above is still there.
    let reader = SqliteStore::open_to_read(&path).await.unwrap();
    assert_eq!(reader.load().await.unwrap(), again);
    assert!(
        reader.save(&[]).await.is_ok() && reader.expire(Timestamp(0)).await.is_err(),
        "it only reads"
    );
    assert!(SqliteStore::open_to_read(&dir.path().join("none.db")).await.is_err());
}
