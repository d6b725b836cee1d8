//! Models in a running engine: trained by the calendar and on command, taken back, kept over a restart.

use super::*;
use crate::context::calendar::Span;
use crate::context::{ContextConfig, Kind, Selector, Window};
use crate::learn::Weekly;
use crate::store::Change;
use crate::store::history::SealedChunk;
use crate::store::models::BUNDLED;
use wire::proposal::AuditEntry;

const MINUTE: i64 = 60_000;
/// Four days of five minutes, up to a Wednesday.
const SAMPLES: i64 = 4 * 288;
const WEDNESDAY: Timestamp = Timestamp(1_763_553_600_000);
const SUNDAY: Timestamp = Timestamp(WEDNESDAY.0 + 3 * 86_400_000 + 15 * 3_600_000);

/// A sample of a series with a tooth of seven samples, which the bundled models do not expect.
fn value(series: u64, i: i64) -> f64 {
    let noise = ((series.wrapping_mul(7919).wrapping_add(i as u64)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64
        / 16_777_216.0;
    100.0 + 10.0 * (i % 7) as f64 + 4.0 * noise
}

/// Four days of `series` series in the store of a data directory.
async fn fill(dir: &std::path::Path, series: u64) {
    let store = SqliteStore::open(&dir.join("halo.db")).await.unwrap();
    for n in 0..series {
        let metric = ["latency", "requests"][(n % 2) as usize];
        let info = info_from_labels(&Labels::of(&format!("host-{n}"), metric, None));
        let rows: Vec<_> = (0..SAMPLES)
            .map(|i| (WEDNESDAY - (SAMPLES - i) * 5 * MINUTE, value(n, i)))
            .collect();
        let chunks: Vec<_> = rows.chunks(500).map(|run| SealedChunk::new(info.id, run)).collect();
        let source = "test".to_owned();
        store.save(&[Change::Series { info, source }]).await.unwrap();
        store.seal(&chunks, None).await.unwrap();
    }
}

async fn start_at(config: &Config, now: Timestamp) -> (Arc<Engine>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(now));
    (Engine::start(config.clone(), clock.clone()).await.unwrap(), clock)
}

async fn audit(engine: &Arc<Engine>) -> Vec<AuditEntry> {
    match engine
        .handle(operator())
        .query(Query::Audit { limit: None })
        .await
        .unwrap()
    {
        Reply::Audit(entries) => entries,
        other => panic!("the audit was asked for: {other:?}"),
    }
}

/// Waits until the audit holds an entry with one of `actions`, and returns the newest of them. Looks whenever the state moves.
async fn audited(engine: &Arc<Engine>, actions: &[&str]) -> AuditEntry {
    let mut events = engine.handle(operator()).watch().await.unwrap();
    let wait = async {
        while events.next().await.is_some() {
            let newest_first = audit(engine).await;
            if let Some(entry) = newest_first.into_iter().find(|e| actions.contains(&e.action.as_str())) {
                return entry;
            }
        }
        panic!("the engine stopped first")
    };
    // Only so that a hang ends: training gives way to everything else that a machine does.
    tokio::time::timeout(std::time::Duration::from_secs(900), wait)
        .await
        .expect("it is audited")
}

fn version(engine: &Arc<Engine>) -> String {
    engine.models.current().name
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calendar_trains_promotes_and_a_person_takes_it_back() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 24).await;
    let mut config = Config::new(dir.path());
    config.train_weekly = Some(Weekly::default());
    config.training_steps = 40;
    let (engine, clock) = start_at(&config, WEDNESDAY).await;
    let bundled = engine.status().models;
    assert_eq!(version(&engine), BUNDLED);
    for now in [WEDNESDAY + MINUTE, SUNDAY - 1] {
        clock.set(now);
        follow(&engine, |s: &Snapshot| s.status.now == now).await;
    }
    assert!(
        audit(&engine).await.iter().all(|e| e.action != "train_models"),
        "it is not time"
    );
    clock.set(SUNDAY);
    let began = audited(&engine, &["train_models"]).await;
    assert_eq!((began.actor.as_str(), began.at), ("schedule", SUNDAY));
    let again = engine.handle(operator()).command(Command::TrainModels).await;
    assert_eq!(again.unwrap_err().kind, ErrorKind::Conflict);

    let done = audited(&engine, &["models_in_use", "models_kept", "models_failed"]).await;
    assert_eq!(done.action, "models_in_use", "{done:?}");
    assert!(done.detail.contains("promoted"), "{done:?}");
    assert_eq!(
        (done.subject.as_str(), version(&engine).as_str()),
        ("20251123-030000", "20251123-030000")
    );
    let is_new = |s: &Snapshot| s.status.models.iter().all(|m| m.version == "20251123-030000");
    follow(&engine, is_new).await;
    // Detection goes on with them.
    assert_eq!(engine.ingest("test", batch(0, 50)).await.unwrap().accepted, 50);

    // The next start begins with them; a restart on the same day trains nothing.
    engine.shutdown().await;
    let (engine, _clock) = start_at(&config, SUNDAY + 60 * MINUTE).await;
    assert_eq!(version(&engine), "20251123-030000");
    let eve = Identity {
        name: "eve".to_owned(),
        role: Role::Viewer,
    };
    let forbidden = engine.handle(eve).command(Command::RevertModels).await;
    assert_eq!(forbidden.unwrap_err().kind, ErrorKind::Forbidden);
    engine.handle(operator()).command(Command::RevertModels).await.unwrap();
    let is_back = |s: &Snapshot| s.status.models == bundled;
    follow(&engine, is_back).await;
    let entries = audit(&engine).await;
    assert_eq!(entries.iter().filter(|e| e.action == "train_models").count(), 1);
    assert!(
        entries
            .iter()
            .any(|e| e.action == "revert_models" && e.actor == "ada" && e.subject == "20251123-030000")
    );
    let nothing_left = engine.handle(operator()).command(Command::RevertModels).await;
    assert_eq!(nothing_left.unwrap_err().kind, ErrorKind::Invalid);
    engine.shutdown().await;
    let (engine, _clock) = start_at(&config, SUNDAY + 120 * MINUTE).await;
    assert_eq!(version(&engine), BUNDLED);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_history_changes_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 3).await;
    let (engine, _clock) = start_at(&Config::new(dir.path()), WEDNESDAY).await;
    engine.handle(operator()).command(Command::TrainModels).await.unwrap();
    let failed = audited(&engine, &["models_in_use", "models_kept", "models_failed"]).await;
    assert!(
        failed.action == "models_failed" && failed.detail.contains("3 usable series"),
        "{failed:?}"
    );
    assert!(version(&engine) == BUNDLED && !dir.path().join("models").exists());
    // Another order is taken again.
    engine.handle(operator()).command(Command::TrainModels).await.unwrap();
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_version_is_refused_and_the_bundled_models_run() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("models/mine")).unwrap();
    std::fs::write(dir.path().join("models/current"), "mine\n").unwrap();
    let (engine, _clock) = start_at(&Config::new(dir.path()), WEDNESDAY).await;
    let models = engine.status().models;
    assert!(
        models.len() == 3 && models.iter().all(|m| m.note.contains("refused")),
        "{models:?}"
    );
    engine.shutdown().await;
}

#[tokio::test]
async fn history_is_read_without_what_must_not_teach() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 4).await;
    let store = SqliteStore::open_to_read(&dir.path().join("halo.db")).await.unwrap();
    let closed = Span {
        from: WEDNESDAY - 2000 * MINUTE,
        until: WEDNESDAY - 1500 * MINUTE,
    };
    let upkeep = Window {
        kind: Kind::Maintenance,
        ..Window::expected_once(
            "upkeep".to_owned(),
            Selector::of_entity("host-1"),
            closed,
            String::new(),
        )
    };
    let context = ContextConfig {
        windows: vec![upkeep],
        ..ContextConfig::default()
    };
    let read = async |seed| {
        read_history(&store, &context, WEDNESDAY, seed, &mut |_| true)
            .await
            .unwrap()
    };
    let history = read(1).await;
    assert_eq!((history.series.len(), history.until), (4, WEDNESDAY - 5 * MINUTE));
    for own in &history.series {
        let rows = || own.held_in.iter().chain(&own.held_back);
        let spared = rows().all(|row| !closed.contains(row.0));
        assert_eq!(spared, own.info.entity.as_str() == "host-1", "{}", own.info.entity);
        assert!(own.held_in.iter().all(|row| row.0 < history.split));
    }
    assert_eq!(read(1).await, history, "the seed decides what is read");
    let stopped = read_history(&store, &context, WEDNESDAY, 1, &mut |_| false).await;
    assert!(stopped.unwrap_err().to_string().contains("stopped"));
}

#[tokio::test]
async fn a_counter_teaches_by_its_rate_and_buckets_teach_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 4).await;
    let store = SqliteStore::open(&dir.path().join("halo.db")).await.unwrap();
    for metric in ["requests_total", "latency_bucket"] {
        let labels = [("__name__", metric), ("entity", "cart"), ("le", "0.1")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let info = info_from_labels(&Labels::new(labels.to_vec()));
        // 600 more every five minutes, and a restart half-way.
        let rows: Vec<_> = (0..SAMPLES)
            .map(|i| (WEDNESDAY - (SAMPLES - i) * 5 * MINUTE, (i % 576 * 600) as f64))
            .collect();
        let chunks: Vec<_> = rows.chunks(500).map(|run| SealedChunk::new(info.id, run)).collect();
        let source = "test".to_owned();
        store.save(&[Change::Series { info, source }]).await.unwrap();
        store.seal(&chunks, None).await.unwrap();
    }
    let history = read_history(&store, &ContextConfig::default(), WEDNESDAY, 1, &mut |_| true)
        .await
        .unwrap();
    let metrics: Vec<&str> = history.series.iter().map(|own| own.info.metric.as_str()).collect();
    assert!(!metrics.iter().any(|metric| metric.contains("bucket")), "{metrics:?}");
    let counter = &history.series[metrics.iter().position(|m| *m == "requests_total").unwrap()];
    let rows = counter.held_in.iter().chain(&counter.held_back);
    // At the restart nobody knows what was counted before it.
    let other: Vec<f64> = rows.map(|row| row.1).filter(|rate| (rate - 2.0).abs() > 1e-9).collect();
    assert!(counter.held_in.len() > 100 && other.len() <= 1, "{other:?}");
}
