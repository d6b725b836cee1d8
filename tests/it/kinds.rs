//! Counters and histograms from the request to the chart: a Prometheus would send these bytes, and what is judged is rates and
//! quantiles, while the store holds every sample as it came.

use engine::clock::ManualClock;
use engine::config::Config;
use engine::detect::{Effort, Models};
use engine::pipeline::Engine;
use engine::store::Store;
use engine::store::sqlite::SqliteStore;
use prost::Message;
use server::auth::Auth;
use server::auth::tokens::TokenFile;
use server::backtest::{Input, Mode, Options, replay};
use server::http::{ServeConfig, Server};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use tests::halo::{Label, Metadata, Sample, TimeSeries, WriteRequest};
use wire::Timestamp;
use wire::query::{Query, Reply};
use wire::series::{Health, SeriesDetail, SeriesKind, SeriesSummary};

const STEP: i64 = 60_000;
const START: i64 = 1_700_000_000_000;
/// Scrapes in all; processes start over at one of them, and something is wrong with the last ones.
const SCRAPES: usize = 300;
const RESTART: usize = 200;
const ONSET: usize = 294;

const BOUNDS: [(&str, f64); 7] = [
    ("0.01", 0.01),
    ("0.05", 0.05),
    ("0.1", 0.1),
    ("0.25", 0.25),
    ("1.0", 1.0),
    ("5.0", 5.0),
    ("+Inf", f64::INFINITY),
];

/// A small generator of its own: the same numbers everywhere.
struct Chance(u64);

impl Chance {
    /// 0..1
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// Labels of a series, and its value at every scrape.
type Sent = Vec<(Vec<(String, String)>, Vec<f64>)>;

fn labels(name: &str, service: &str, le: Option<&str>) -> Vec<(String, String)> {
    let mut pairs = vec![("__name__", name), ("job", "shop")];
    pairs.extend(le.map(|le| ("le", le)));
    pairs.push(("service", service));
    pairs.sort_unstable();
    pairs.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

/// Four services: one whose traffic jumps, one whose latency does, one with nothing wrong but its restart, and a gauge that is called a
/// total.
fn world() -> Sent {
    let mut chance = Chance(7);
    let mut sent: Sent = Vec::new();
    for (service, factor) in [("cart", 6.0), ("search", 1.0)] {
        let mut total = 5e6;
        let values = (0..SCRAPES).map(|scrape| {
            let mut grown = 2400.0 + 60.0 * chance.normal();
            if scrape == RESTART {
                // A part of the minute is lost with the process.
                (total, grown) = (0.0, grown * 0.4);
            }
            total += if scrape >= ONSET { grown * factor } else { grown }.round();
            total
        });
        sent.push((labels("http_requests_total", service, None), values.collect()));
    }
    let mut columns = vec![Vec::new(); BOUNDS.len() + 2];
    let (mut counts, mut sum) = ([0.0; BOUNDS.len()], 0.0);
    for scrape in 0..SCRAPES {
        if scrape == RESTART {
            (counts, sum) = ([0.0; BOUNDS.len()], 0.0);
        }
        for _ in 0..1500 {
            let slow = if scrape >= ONSET { 8.0 } else { 1.0 };
            let seconds = 0.06 * slow * (0.5 * chance.normal()).exp();
            sum += seconds;
            for (count, (_, bound)) in counts.iter_mut().zip(BOUNDS) {
                *count += f64::from(u8::from(seconds <= bound));
            }
        }
        let own = counts.into_iter().chain([sum, counts[BOUNDS.len() - 1]]);
        columns
            .iter_mut()
            .zip(own)
            .for_each(|(column, value)| column.push(value));
    }
    let names = BOUNDS
        .iter()
        .map(|(le, _)| ("rpc_duration_seconds_bucket", Some(*le)))
        .chain([("rpc_duration_seconds_sum", None), ("rpc_duration_seconds_count", None)]);
    for ((name, le), column) in names.zip(columns) {
        sent.push((labels(name, "pay", le), column));
    }
    let stock = (0..SCRAPES).map(|_| 1000.0 + 20.0 * chance.normal()).collect();
    sent.push((labels("stock_total", "store", None), stock));
    sent
}

fn at(scrape: usize) -> i64 {
    START + scrape as i64 * STEP
}

/// Scrapes `from..to` as requests of at most 3 series each: parts of a histogram arrive apart.
fn requests(sent: &Sent, from: usize, to: usize) -> Vec<Vec<u8>> {
    let series: Vec<TimeSeries> = sent
        .iter()
        .map(|(labels, values)| TimeSeries {
            labels: labels
                .iter()
                .map(|(name, value)| Label {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
            samples: (from..to)
                .map(|scrape| Sample {
                    value: values[scrape],
                    timestamp: at(scrape),
                })
                .collect(),
        })
        .collect();
    let requests = series.chunks(3).map(|timeseries| WriteRequest {
        timeseries: timeseries.to_vec(),
        metadata: Vec::new(),
    });
    requests.map(|request| packed(&request)).collect()
}

fn packed(request: &WriteRequest) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(&request.encode_to_vec())
        .unwrap()
}

/// An engine behind a socket.
struct Served {
    engine: Arc<Engine>,
    base: String,
    client: reqwest::Client,
}

impl Served {
    async fn start(folder: &Path, clock: &Arc<ManualClock>) -> Self {
        let mut config = Config::new(folder);
        // More shards than a family has any business with.
        config.shards = 5;
        let engine = Engine::start(config, Arc::clone(clock) as Arc<dyn engine::clock::Clock>)
            .await
            .unwrap();
        let listen = ([127, 0, 0, 1], 0).into();
        let auth = Auth::new(listen, false, TokenFile::open(folder).unwrap()).unwrap();
        let server = Server::bind(listen, ServeConfig::new(auth)).await.unwrap();
        let base = format!("http://{}", server.local_addr().unwrap());
        tokio::spawn(server.run(engine.clone(), std::future::pending()));
        Self {
            engine,
            base,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn write(&self, body: Vec<u8>) {
        let request = self.client.post(format!("{}/api/v1/write", self.base)).body(body);
        let response = request.header("content-encoding", "snappy").send().await.unwrap();
        assert_eq!(response.status(), 204, "{}", response.text().await.unwrap());
    }

    async fn query(&self, query: &Query) -> Reply {
        let request = self.client.post(format!("{}/api/query", self.base)).json(query);
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn list(&self, search: &str) -> Vec<SeriesSummary> {
        let query = Query::SeriesList {
            search: search.to_owned(),
            entity: None,
            limit: None,
        };
        match self.query(&query).await {
            Reply::SeriesList(list) => list,
            other => panic!("{other:?}"),
        }
    }

    async fn detail(&self, search: &str) -> SeriesDetail {
        let list = self.list(search).await;
        let [one] = &list[..] else {
            panic!("{search} is {:?}", list.iter().map(|s| &s.info).collect::<Vec<_>>())
        };
        let query = Query::Series {
            id: one.info.id,
            from: Some(Timestamp(at(0))),
            to: Some(Timestamp(at(SCRAPES))),
            max_points: Some(5000),
        };
        match self.query(&query).await {
            Reply::Series(detail) => detail,
            other => panic!("{other:?}"),
        }
    }
}

/// Scrapes with an anomaly.
fn anomalies(detail: &SeriesDetail) -> Vec<usize> {
    let strange = detail.points.iter().filter(|point| point.anomaly);
    strange.map(|point| ((point.at.0 - START) / STEP) as usize).collect()
}

#[track_caller]
fn found_on_time(detail: &SeriesDetail, what: &str) {
    let found = anomalies(detail);
    assert!(found.iter().all(|scrape| *scrape >= ONSET), "{what}: {found:?}");
    assert!(
        found.first().is_some_and(|scrape| *scrape <= ONSET + 1),
        "{what}: {found:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_and_histograms_are_judged_by_what_they_mean() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp(at(0))));
    let served = Served::start(folder.path(), &clock).await;
    let sent = world();
    served
        .write(packed(&WriteRequest {
            timeseries: Vec::new(),
            metadata: vec![Metadata {
                kind: 2,
                metric_family_name: "stock_total".to_owned(),
            }],
        }))
        .await;
    let until = SCRAPES - 2;
    for from in (0..until).step_by(2) {
        clock.set(Timestamp(at(from + 1)));
        for body in requests(&sent, from, from + 2) {
            served.write(body).await;
        }
    }

    let cart = served.detail("http_requests_total service=cart").await;
    assert_eq!(cart.summary.info.kind, SeriesKind::Counter);
    assert!(
        cart.summary
            .last_value
            .is_some_and(|rate| (200.0..280.0).contains(&rate)),
        "{:?}",
        cart.summary.last_value
    );
    let rates: Vec<f64> = cart.points.iter().filter_map(|point| point.value).collect();
    // The first sample and the one after the restart say nothing.
    assert_eq!(rates.len(), until - 2);
    assert!(
        rates[..ONSET - 2].iter().all(|rate| (30.0..50.0).contains(rate)),
        "{rates:?}"
    );
    assert!(
        cart.explanation
            .starts_with("rate of http_requests_total of cart was 2"),
        "{}",
        cart.explanation
    );
    assert!(cart.explanation.contains("/s, expected "), "{}", cart.explanation);
    found_on_time(&cart, "cart's traffic");
    let search = served.detail("http_requests_total service=search").await;
    assert!(
        anomalies(&search).is_empty(),
        "a restart is none: {}",
        search.explanation
    );

    for statistic in ["p50", "p95", "p99", "mean"] {
        let detail = served
            .detail(&format!("rpc_duration_seconds {statistic} service=pay"))
            .await;
        let info = &detail.summary.info;
        assert_eq!((info.entity.as_str(), info.kind), ("pay", SeriesKind::Derived));
        // The first request brought only a part of its buckets; a histogram that has started over is compared with zero.
        assert_eq!(detail.points.len(), until - 3, "{statistic}");
        found_on_time(&detail, statistic);
    }
    let count = served.detail("rpc_duration_seconds_count").await;
    assert_eq!(count.summary.info.kind, SeriesKind::Counter);
    assert!(anomalies(&count).is_empty());
    let buckets = served.list("rpc_duration_seconds_bucket").await;
    assert_eq!(buckets.len(), BOUNDS.len());
    let silent = |s: &SeriesSummary| s.info.kind == SeriesKind::Component && s.health == Health::Unknown;
    assert!(buckets.iter().all(silent));
    assert!(served.list("").await.iter().all(|s| s.info.kind.is_judged()));
    let stock = served.detail("stock_total").await;
    assert_eq!(stock.summary.info.kind, SeriesKind::Gauge);
    assert!(anomalies(&stock).is_empty());
    assert_eq!(stock.points.len(), until);

    // A crash: all there is now is the log. What was learnt and where counting stood comes back from raw samples.
    let again = Served::start(folder.path(), &clock).await;
    clock.set(Timestamp(at(SCRAPES)));
    for body in requests(&sent, until, SCRAPES) {
        again.write(body).await;
    }
    let p99 = again.detail("rpc_duration_seconds p99").await;
    assert_eq!(p99.points.len(), SCRAPES - 1, "no scrape is lost to the restart");
    let cart = again.detail("http_requests_total service=cart").await;
    assert_eq!(
        cart.points.iter().filter(|point| point.value.is_some()).count(),
        SCRAPES - 2
    );
    assert_eq!(again.detail("stock_total").await.summary.info.kind, SeriesKind::Gauge);
    again.engine.shutdown().await;

    // After a clean stop everything is in the store, what was derived too; the next scrape needs no new start.
    let last = Served::start(folder.path(), &clock).await;
    let p99 = last.detail("rpc_duration_seconds p99").await;
    assert_eq!(p99.points.len(), SCRAPES - 1);
    assert!(p99.seen as usize <= SCRAPES, "{} were learnt", p99.seen);
    last.engine.shutdown().await;

    // Every sample is in the store with the bits it came with.
    let store = SqliteStore::open(&folder.path().join("halo.db")).await.unwrap();
    let saved = store.load().await.unwrap();
    let known: BTreeMap<_, _> = saved.series.iter().map(|(info, _)| (info.id, info)).collect();
    for (labels, values) in &sent {
        let id = engine::series::Labels::new(labels.clone()).id();
        assert!(known.contains_key(&id), "{labels:?}");
        let mut kept = Vec::new();
        for chunk in store.chunks(id, Timestamp(0), Timestamp(i64::MAX)).await.unwrap() {
            kept.extend(chunk.samples().unwrap());
        }
        let expected = values
            .iter()
            .enumerate()
            .map(|(scrape, value)| (at(scrape), value.to_bits()));
        let kept = kept.iter().map(|(at, value)| (at.0, value.to_bits()));
        assert!(kept.eq(expected), "{labels:?}");
    }
}

/// The same through a file: a column that is called a total is judged by its rate, one that names a statistic is not.
#[test]
fn a_recorded_counter_is_back_tested_by_its_rate() {
    let folder = tempfile::tempdir().unwrap();
    let sent = world();
    let mut file = String::from("timestamp,cart|http_requests_total,search|http_requests_total,store|stock_total|last");
    let columns = [&sent[0].1, &sent[1].1, &sent[sent.len() - 1].1];
    for scrape in 0..SCRAPES {
        write!(file, "\n{}", at(scrape) / 1000).unwrap();
        for column in columns {
            write!(file, ",{}", column[scrape]).unwrap();
        }
    }
    std::fs::write(folder.path().join("metrics.csv"), file + "\n").unwrap();
    let input = Input::load(folder.path()).unwrap();
    let kinds: Vec<_> = input.frame.series.iter().map(|info| info.kind).collect();
    assert_eq!(kinds, [SeriesKind::Counter, SeriesKind::Counter, SeriesKind::Gauge]);
    let options = Options {
        train_rows: 180,
        mode: Mode::Online,
        effort: Effort::Full,
        detect: engine::detect::DetectConfig::default(),
    };
    let mut found = vec![Vec::new(); 3];
    replay(
        &input,
        &options,
        Arc::new(Models::bundled().unwrap()),
        &mut |at, row| {
            for (found, detection) in found.iter_mut().zip(row) {
                let detection = detection.expect("no sample is missing");
                assert!(detection.value.is_finite() && detection.score.is_finite());
                if detection.anomaly {
                    found.push(((at.0 - START) / STEP) as usize);
                }
            }
            Ok(())
        },
    )
    .unwrap();
    assert!(
        found[0]
            .first()
            .is_some_and(|scrape| (ONSET..=ONSET + 1).contains(scrape)),
        "{:?}",
        found[0]
    );
    assert!(found[1].is_empty() && found[2].is_empty(), "{found:?}");
}
