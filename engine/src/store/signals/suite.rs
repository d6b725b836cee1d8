//! One suite for every store of logs and spans.

use super::sqlite::SqliteSignals;
use super::*;
use wire::signal::{SpanKind, SpanStatus};

fn log(at: i64, service: &str, text: &str) -> Signal<LogRecord> {
    Signal {
        digest: xxhash_rust::xxh3::xxh3_64(format!("{at}{service}{text}").as_bytes()),
        record: LogRecord {
            at: Timestamp(at),
            service: service.to_owned(),
            severity: if text.contains("refused") { 17 } else { 9 },
            text: text.to_owned(),
            attributes: vec![("pod".to_owned(), "a\"b".to_owned())],
            trace_id: if at % 2 == 0 { "aa".to_owned() } else { String::new() },
            span_id: String::new(),
        },
    }
}

fn span(at: i64, name: &str, status: SpanStatus) -> Signal<SpanRecord> {
    Signal {
        // High digests survive the trip through signed integers.
        digest: u64::MAX - at.cast_unsigned(),
        record: SpanRecord {
            at: Timestamp(at),
            duration_us: 1500,
            service: "cart".to_owned(),
            name: name.to_owned(),
            kind: SpanKind::Server,
            status,
            message: "card 50% refused".to_owned(),
            attributes: Vec::new(),
            trace_id: "aa".to_owned(),
            span_id: format!("{at:016x}"),
            parent_id: String::new(),
        },
    }
}

async fn passes(store: &dyn SignalStore) {
    let logs = |logs: Vec<Signal<LogRecord>>| Signals {
        logs,
        ..Signals::default()
    };
    let all = SignalFilter::default;
    let texts = async |filter: SignalFilter| {
        let page = store.logs(&filter).await.unwrap();
        page.records.into_iter().map(|log| log.text).collect::<Vec<_>>()
    };
    assert_eq!(
        store.logs(&all()).await.unwrap(),
        Page::default(),
        "a new store is empty"
    );

    let first = logs(vec![
        log(10, "cart", "card refused"),
        log(12, "pay", "50% done"),
        log(11, "cart", "ok"),
    ]);
    let spans = Signals {
        spans: vec![
            span(10, "POST /pay", SpanStatus::Error),
            span(11, "GET /", SpanStatus::Ok),
        ],
        ..Signals::default()
    };
    assert_eq!(store.keep(&[&first, &spans]).await.unwrap(), [0, 0]);
    assert_eq!(
        store.keep(&[&first, &spans]).await.unwrap(),
        [3, 2],
        "what is sent twice is kept once"
    );

    assert_eq!(texts(all()).await, ["50% done", "ok", "card refused"]);
    let kept = store.logs(&all()).await.unwrap();
    assert_eq!(kept.records[2], first.logs[0].record);
    let spans_kept = store.spans(&all()).await.unwrap().records;
    assert_eq!(
        spans_kept,
        [spans.spans[1].record.clone(), spans.spans[0].record.clone()]
    );

    let search = |words: &str| SignalFilter {
        search: words.to_owned(),
        ..all()
    };
    assert_eq!(texts(search("REFUSED card")).await, ["card refused"]);
    assert_eq!(texts(search("50%")).await, ["50% done"]);
    assert_eq!(
        texts(search("5_%")).await,
        Vec::<String>::new(),
        "nothing is a wildcard"
    );
    let service = Some("cart".to_owned());
    assert_eq!(texts(SignalFilter { service, ..all() }).await, ["ok", "card refused"]);
    let trace_id = Some("AA".to_owned());
    assert_eq!(
        texts(SignalFilter { trace_id, ..all() }).await,
        ["50% done", "card refused"]
    );
    let range = SignalFilter {
        from: Some(Timestamp(11)),
        to: Some(Timestamp(11)),
        ..all()
    };
    assert_eq!(texts(range).await, ["ok"]);
    let errors = SignalFilter {
        min_severity: Some(17),
        ..all()
    };
    assert_eq!(texts(errors.clone()).await, ["card refused"]);
    assert_eq!(store.spans(&errors).await.unwrap().records[0].name, "POST /pay");
    assert_eq!(store.spans(&search("50% pay")).await.unwrap().records.len(), 1);

    let mut filter = SignalFilter {
        limit: Some(2),
        ..all()
    };
    let page = store.logs(&filter).await.unwrap();
    assert_eq!(page.records.len(), 2);
    filter.page = page.next;
    let page = store.logs(&filter).await.unwrap();
    assert_eq!(
        (page.records[0].text.as_str(), page.records.len(), page.next),
        ("card refused", 1, None)
    );
    filter.page = Some("7".to_owned());
    assert!(matches!(store.logs(&filter).await, Err(crate::Error::Input { .. })));

    let keep = |age_ms, bytes| Retention {
        logs: Keep { age_ms, bytes },
        spans: Keep { age_ms, bytes },
    };
    assert_eq!(store.trim(&keep(100, 1 << 20), Timestamp(100)).await.unwrap(), 0);
    assert_eq!(store.trim(&keep(100, 1 << 20), Timestamp(111)).await.unwrap(), 2);
    assert_eq!(texts(all()).await, ["50% done", "ok"]);
    let many: Vec<_> = (0..2000).map(|i| log(1000 + i, "cart", &format!("line {i}"))).collect();
    store.keep(&[&logs(many)]).await.unwrap();
    let weight = weight_of_log(&log(1000, "cart", "line 1000")) as u64;
    assert!(store.trim(&keep(10_000, 1000 * weight), Timestamp(3000)).await.unwrap() > 1000);
    let left = texts(SignalFilter {
        limit: Some(1000),
        ..all()
    });
    let left = left.await;
    assert!((850..=1000).contains(&left.len()), "{}", left.len());
    assert_eq!(left[0], "line 1999", "the oldest went");
}

#[tokio::test]
async fn sqlite_in_memory() {
    passes(&SqliteSignals::in_memory().await.unwrap()).await;
}

#[tokio::test]
async fn sqlite_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("signals.db");
    passes(&SqliteSignals::open(&path).await.unwrap()).await;
    let again = SqliteSignals::open(&path).await.unwrap();
    assert!(!again.logs(&SignalFilter::default()).await.unwrap().records.is_empty());
}
