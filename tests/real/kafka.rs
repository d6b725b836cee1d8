//! A broker of Kafka and `kcat` as a client of its own: what is in the topics is here, once, whatever happens to Halo meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use engine::clock::{Clock as _, SystemClock};
use prost::Message as _;
use serde_json::{Value, json};
use tests::halo::{Halo, TimeSeries, WriteRequest};
use tests::process::{self, Process};
use wire::Timestamp;
use wire::query::{Query, Reply};
use wire::signal::SignalFilter;

const WAIT: Duration = Duration::from_secs(60);

/// One broker that is its own controller.
struct Broker {
    process: Process,
    address: String,
    folder: PathBuf,
    jars: PathBuf,
}

impl Broker {
    /// `None` where there is none, which is said.
    #[expect(clippy::print_stdout, reason = "who reads the output shall see what was not run")]
    async fn start(folder: &Path) -> Result<Option<Self>> {
        let Some(jars) = std::env::var_os("HALO_KAFKA_JARS").map(PathBuf::from) else {
            println!("skipped: no broker of Kafka: see the output of the step `setup`");
            return Ok(None);
        };
        let folder = folder.join("kafka");
        fs::create_dir_all(&folder)?;
        let (address, controller) = (process::free_address()?, process::free_address()?);
        let config = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@{controller}\n\
             listeners=PLAINTEXT://{address},CONTROLLER://{controller}\nadvertised.listeners=PLAINTEXT://{address}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
             num.partitions=3\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n",
            folder.join("data").display()
        );
        fs::write(folder.join("server.properties"), config)?;
        let mut format = java(&jars);
        let output = format
            .args([
                "kafka.tools.StorageTool",
                "format",
                "-t",
                "bG9jYWwta2Fma2EtdGVzdA",
                "-c",
            ])
            .arg(folder.join("server.properties"))
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let broker = Self {
            process: Self::launch(&jars, &folder)?,
            address,
            folder,
            jars,
        };
        broker.wait_until_ready().await?;
        Ok(Some(broker))
    }

    fn launch(jars: &Path, folder: &Path) -> Result<Process> {
        let mut command = java(jars);
        command.arg("kafka.Kafka").arg(folder.join("server.properties"));
        Process::start("kafka", &mut command, folder)
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let ready = process::wait_for("the broker answers", WAIT, || async {
            let mut list = Command::new("kcat");
            list.args(["-L", "-m", "2", "-b", &self.address])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            Ok(list.status()?.success().then_some(()))
        });
        ready.await.with_context(|| self.process.tail())
    }

    /// As after a power cut.
    async fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = Self::launch(&self.jars, &self.folder)?;
        self.wait_until_ready().await
    }

    /// Sends each as one message, to the partitions in turn or to the one named.
    fn send(&self, topic: &str, messages: &[Vec<u8>], partition: Option<usize>) -> Result<()> {
        let place = self.folder.join("messages");
        fs::create_dir_all(&place)?;
        let paths: Vec<_> = (0..messages.len())
            .map(|number| place.join(number.to_string()))
            .collect();
        for (path, message) in paths.iter().zip(messages) {
            fs::write(path, message)?;
        }
        let partition = partition.map_or_else(|| "-1".to_owned(), |number| number.to_string());
        let mut produce = Command::new("kcat");
        produce
            .args(["-P", "-b", &self.address, "-t", topic, "-p", &partition])
            .args(&paths);
        let output = produce.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

fn java(jars: &Path) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(jars.join("*"));
    java
}

fn config(folder: &Path, broker: &str, sections: &[(&str, &str, &str)]) -> Result<PathBuf> {
    let mut text = "[host]\nenabled = false\n".to_owned();
    for (name, topic, rest) in sections {
        text.push_str(&format!(
            "[[kafka]]\nname = \"{name}\"\nbrokers = [\"{broker}\"]\ntopics = [\"{topic}\"]\n\
             initial_offset = \"earliest\"\nsession_timeout_secs = 6\n{rest}\n"
        ));
    }
    let path = folder.join("halo.toml");
    fs::write(&path, text)?;
    Ok(path)
}

fn remote_write(request: &WriteRequest) -> Result<Vec<u8>> {
    Ok(snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?)
}

const SERIES: usize = 20;

/// A message of a second: every series has one sample.
fn second(start_ms: i64, number: usize) -> Result<Vec<u8>> {
    let at_ms = start_ms + number as i64 * 1000;
    let series = (0..SERIES)
        .map(|index| TimeSeries::gauge(&format!("kafka_gauge_{index:02}"), "k:1", &[(at_ms, number as f64)]));
    remote_write(&WriteRequest {
        timeseries: series.collect(),
        metadata: Vec::new(),
    })
}

/// The value of a line of `/metrics`.
async fn metric(halo: &Halo, name: &str) -> Result<f64> {
    let text = reqwest::get(halo.url("/metrics")).await?.text().await?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.unwrap_or("0").parse()?)
}

async fn reaches(halo: &Halo, name: &str, expected: f64) -> Result<()> {
    let what = format!("{name} is {expected}");
    let wait = process::wait_for(&what, WAIT, || async move {
        let value = metric(halo, name).await?;
        ensure!(value >= expected, "it is {value}");
        Ok(Some(()))
    });
    wait.await.with_context(|| halo.process.tail())
}

/// Every series has every second from the first to the last, once.
async fn check_all_there_once(halo: &Halo, start_ms: i64, seconds: usize) -> Result<()> {
    process::wait_for("every sample is there", WAIT, || async move {
        let list = halo.series_list("kafka_gauge").await?;
        ensure!(list.len() == SERIES, "{} series", list.len());
        for series in list {
            let query = Query::Series {
                id: series.info.id,
                from: Some(Timestamp(start_ms - 60_000)),
                to: Some(Timestamp(start_ms + 3_600_000)),
                max_points: Some(100_000),
            };
            let Reply::Series(detail) = halo.query(&query).await? else {
                anyhow::bail!("not a series")
            };
            let found: Vec<_> = detail
                .points
                .iter()
                .filter_map(|point| Some((point.at.as_millis(), point.value?)))
                .collect();
            ensure!(
                found.len() == seconds,
                "{} has {} samples",
                series.info.metric,
                found.len()
            );
            for (number, (at, value)) in found.iter().enumerate() {
                ensure!(
                    *at == start_ms + number as i64 * 1000,
                    "a sample at {at} is none that was sent"
                );
                ensure!((value - number as f64).abs() < 1e-9, "{value} at {at}");
            }
        }
        Ok(Some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_a_topic_is_lost_or_counted_twice_when_halo_or_the_broker_is_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(mut broker) = Broker::start(folder.path()).await? else {
        return Ok(());
    };
    let data = folder.path().join("data");
    let start_ms = SystemClock.now().as_millis() / 1000 * 1000 - 900_000;
    let messages = (0..600)
        .map(|number| second(start_ms, number))
        .collect::<Result<Vec<_>>>()?;
    let config = config(
        folder.path(),
        &broker.address,
        &[("prom", "prom", "encoding = \"prometheus_remote_write\"")],
    )?;

    let taken = "halo_kafka_messages_total{source=\"prom\",topic=\"prom\"}";
    // Hardly begun, in the middle, and with nearly everything read but perhaps not told to the broker. What comes new each time is
    // more than what is waited for: how much of the rest is read again is chance.
    for (messages, kill_after) in messages.chunks(150).zip([1.0, 60.0, 100.0, 140.0]) {
        // One partition: its order is that of the seconds.
        broker.send("prom", messages, Some(0))?;
        let mut halo = Halo::serve_configured(&data, folder.path(), &config).await?;
        reaches(&halo, taken, kill_after).await?;
        halo.process.kill().context("could not kill halo")?;
    }
    let halo = Halo::serve_configured(&data, folder.path(), &config).await?;
    check_all_there_once(&halo, start_ms, 600).await?;

    // The broker goes away and comes back: reading goes on by itself.
    broker.restart().await?;
    let more = (600..650)
        .map(|number| second(start_ms, number))
        .collect::<Result<Vec<_>>>()?;
    broker.send("prom", &more, Some(0))?;
    check_all_there_once(&halo, start_ms, 650).await?;

    // What is behind is shown: on /metrics, and in the line about the source.
    let lag = process::wait_for("nothing is behind", WAIT, || async {
        let text = reqwest::get(halo.url("/metrics")).await?.text().await?;
        let line = "halo_kafka_lag{source=\"prom\",topic=\"prom\",partition=\"0\"} 0";
        ensure!(text.lines().any(|found| found == line), "{text}");
        let Reply::Snapshot(snapshot) = halo.query(&Query::Snapshot).await? else {
            anyhow::bail!("not a snapshot")
        };
        let source = snapshot.status.sources.iter().find(|source| source.name == "prom");
        let note = source.map(|source| source.note.clone()).unwrap_or_default();
        ensure!(note == "group halo: prom: 3 partitions, 0 messages behind", "{note}");
        Ok(Some(()))
    });
    lag.await
}

fn otlp_gauge(name: &str, at_ms: i64, value: f64) -> Value {
    let point = json!({"timeUnixNano": format!("{at_ms}000000"), "asDouble": value});
    let service = json!({"key": "service.name", "value": {"stringValue": "cart"}});
    json!({"resourceMetrics": [{
        "resource": {"attributes": [service]},
        "scopeMetrics": [{"metrics": [{"name": name, "gauge": {"dataPoints": [point]}}]}]
    }]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_encoding_is_read_and_what_makes_no_sense_stops_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(broker) = Broker::start(folder.path()).await? else {
        return Ok(());
    };
    let now_ms = SystemClock.now().as_millis();
    let bytes = |value: &Value| value.to_string().into_bytes();
    let metrics = [
        b"no JSON".to_vec(),
        bytes(&otlp_gauge("kafka_first", now_ms, 1.0)),
        bytes(&json!({"resourceMetrics": 1})),
        bytes(&otlp_gauge("kafka_second", now_ms, 2.0)),
    ];
    broker.send("otlp_metrics", &metrics, Some(1))?;
    let line = json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]},
        "scopeLogs": [{"logRecords": [
            {"timeUnixNano": format!("{now_ms}000000"), "severityNumber": 17, "body": {"stringValue": "card refused"}}
        ]}]
    }]});
    broker.send("otlp_logs", &[bytes(&line)], None)?;
    broker.send("plain", &[b"out of stock".to_vec(), b"out of stock".to_vec()], Some(0))?;
    let config = config(
        folder.path(),
        &broker.address,
        &[
            ("k-metrics", "otlp_metrics", "encoding = \"otlp_json\""),
            ("k-logs", "otlp_logs", "encoding = \"otlp_json\"\ngroup_id = \"logs\""),
            ("k-text", "plain", "encoding = \"text\"\ngroup_id = \"text\""),
        ],
    )?;
    let halo = Halo::serve_configured(&folder.path().join("data"), folder.path(), &config).await?;
    for (name, value) in [("kafka_first", 1.0), ("kafka_second", 2.0)] {
        let arrives = process::wait_for(name, WAIT, || async {
            let list = halo.series_list(name).await?;
            let last = list.first().and_then(|series| series.last_value);
            Ok(last.filter(|last| (last - value).abs() < 1e-9))
        });
        arrives.await.with_context(|| halo.process.tail())?;
    }
    reaches(
        &halo,
        "halo_source_rejected_total{source=\"k-metrics\",reason=\"malformed\"}",
        2.0,
    )
    .await?;
    let texts = async |service: &str| {
        let filter = SignalFilter {
            service: Some(service.to_owned()),
            ..SignalFilter::default()
        };
        match halo.query(&Query::Logs(filter)).await? {
            Reply::Logs(page) => Ok(page.records.into_iter().map(|record| record.text).collect::<Vec<_>>()),
            other => anyhow::bail!("asked for logs, got {other:?}"),
        }
    };
    for (service, expected) in [
        ("cart", vec!["card refused"]),
        ("plain", vec!["out of stock", "out of stock"]),
    ] {
        process::wait_for(service, WAIT, || async {
            let found = texts(service).await?;
            ensure!(found == expected, "{found:?}");
            Ok(Some(()))
        })
        .await
        .with_context(|| halo.process.tail())?;
    }
    Ok(())
}
