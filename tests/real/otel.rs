//! The SDK of OpenTelemetry for Python, pointed at `halo` with nothing but an endpoint: metrics, logs and a trace over HTTP and
//! over gRPC, found again; Loki's push and JSON logs by a plain client.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::halo::Halo;
use tests::process::{self, Process};
use wire::query::{Query, Reply};
use wire::signal::{LogRecord, SignalFilter, SpanRecord, SpanStatus};
use wire::topology::{EdgeSource, EntityKind};

/// Sends by `protocol`; the id of the trace.
#[expect(clippy::print_stdout, reason = "who reads the output shall see what was not run")]
fn send(protocol: &str, endpoint: &str, service: &str) -> Result<Option<String>> {
    let Ok(python) = process::program("HALO_OTEL_PYTHON") else {
        println!("skipped: no SDK of OpenTelemetry: see the output of the step `setup`");
        return Ok(None);
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("real/otel/send.py");
    let mut command = Command::new(python);
    let output = command.arg(script).args([protocol, endpoint, service]).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "send.py ended with {}:\n{told}", output.status);
    // An exporter that fails logs it and goes on.
    ensure!(!told.contains("ERROR") && !told.contains("Failed"), "{told}");
    Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sdk_sends_over_http_is_found() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let halo = Halo::serve(&folder.path().join("data"), folder.path()).await?;
    let Some(trace) = send("http", &halo.url(""), "cart-http")? else {
        return Ok(());
    };
    check(&halo, "cart-http", &trace)
        .await
        .with_context(|| halo.process.tail())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sdk_sends_over_grpc_is_found() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let address = process::free_address()?;
    let listen = ["--otlp-grpc", &address];
    let halo = Halo::serve_with(&listen, &folder.path().join("data"), folder.path()).await?;
    let Some(trace) = send("grpc", &format!("http://{address}"), "cart-grpc")? else {
        return Ok(());
    };
    check(&halo, "cart-grpc", &trace)
        .await
        .with_context(|| halo.process.tail())
}

/// `deploy/agents/otel-collector.yaml`, where `HALO_OTELCOL` names a Collector.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_the_sample_collector_is_found() -> Result<()> {
    let Ok(collector) = process::program("HALO_OTELCOL") else {
        println!("skipped: HALO_OTELCOL names no OpenTelemetry Collector");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let halo = Halo::serve(&folder.path().join("data"), folder.path()).await?;
    let (grpc, http) = (process::free_address()?, process::free_address()?);
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/agents/otel-collector.yaml");
    let mut command = Command::new(collector);
    command
        .arg("--config")
        .arg(config)
        .envs([("COLLECTOR_GRPC", &grpc), ("COLLECTOR_HTTP", &http)])
        .env("HALO_ENDPOINT", halo.url(""));
    let process = Process::start("otelcol", &mut command, folder.path())?;
    process::wait_for("the Collector listens", Duration::from_secs(20), || async {
        Ok(tokio::net::TcpStream::connect(&http).await.is_ok().then_some(()))
    })
    .await?;
    for (protocol, endpoint) in [("grpc", grpc), ("http", http)] {
        let service = format!("cart-{protocol}");
        let Some(trace) = send(protocol, &format!("http://{endpoint}"), &service)? else {
            return Ok(());
        };
        // The Collector collects for a second.
        let arrived = process::wait_for("the trace arrives", Duration::from_secs(20), || async {
            let (logs, spans) = (logs(&halo, &trace).await?, spans(&halo, &trace).await?);
            Ok((!logs.is_empty() && !spans.is_empty()).then_some(()))
        });
        arrived.await.with_context(|| process.tail())?;
        check(&halo, &service, &trace).await.with_context(|| process.tail())?;
    }
    Ok(())
}

async fn check(halo: &Halo, service: &str, trace: &str) -> Result<()> {
    for instance in ["total", "increments"] {
        // What was sent last: 21.5 degrees, 3 jobs of 4, twice three observations.
        let arrives = async |metric: &str, le: Option<&str>, expected: f64| {
            let search = format!("{metric} {instance}");
            process::wait_for(&search, Duration::from_secs(30), || async {
                let list = halo.series_list(&search).await?;
                let found = list.iter().find(|series| {
                    let has_bound = |le: &str| series.info.labels.iter().any(|(n, v)| n == "le" && v == le);
                    let is_of = series.info.entity.as_str() == service;
                    is_of && series.info.metric == metric && le.is_none_or(has_bound)
                });
                let Some(found) = found else { return Ok(None) };
                let job = ("job".to_owned(), format!("real/{service}"));
                ensure!(found.info.labels.contains(&job), "{:?}", found.info);
                let value = found.last_value.context("no value")?;
                ensure!((value - expected).abs() < 1e-9, "{value} instead of {expected}");
                Ok(Some(()))
            })
            .await
        };
        arrives("room_temperature_celsius", None, 21.5).await?;
        arrives("jobs_open", None, 3.0).await?;
        arrives("coarse_duration_seconds_bucket", Some("1"), 4.0).await?;
        arrives("coarse_duration_seconds_bucket", Some("+Inf"), 6.0).await?;
        arrives("fine_duration_seconds_bucket", Some("+Inf"), 6.0).await?;
        arrives("coarse_duration_seconds_sum", None, 11.1).await?;
        // A counter is shown as its rate, which a few moments do not give: what is stored is tested with the decoder.
        let search = format!("http_requests_total {instance}");
        process::wait_for(&search, Duration::from_secs(30), || async {
            Ok((!halo.series_list(&search).await?.is_empty()).then_some(()))
        })
        .await?;
    }
    let called = [
        (service.to_owned(), format!("{service}-bank"), None),
        (
            format!("{service}-bank"),
            format!("{service}-cache"),
            Some(EntityKind::Cache),
        ),
    ];
    process::wait_for("who calls whom is known", Duration::from_secs(30), || async {
        let Reply::Edges(edges) = halo.query(&Query::Edges).await? else {
            anyhow::bail!("asked for dependencies")
        };
        let is_there = |(caller, callee, kind): &(String, String, Option<EntityKind>)| {
            edges.iter().any(|detail| {
                detail.edge.caller.as_str() == caller
                    && detail.edge.callee.as_str() == callee
                    && detail.kind == *kind
                    && detail.sources == [EdgeSource::Spans]
            })
        };
        Ok(called.iter().all(is_there).then_some(()))
    })
    .await?;
    let logs = logs(halo, trace).await?;
    ensure!(logs.len() == 1, "{logs:?}");
    let line = &logs[0];
    ensure!(
        line.text == "card refused by the bank" && line.severity == 17,
        "{line:?}"
    );
    ensure!(line.service == service, "{line:?}");
    let spans = spans(halo, trace).await?;
    ensure!(spans.len() == 1, "{spans:?}");
    let span = &spans[0];
    ensure!(span.name == "POST /pay" && span.status == SpanStatus::Error, "{span:?}");
    ensure!(span.message == "refused" && span.span_id == line.span_id, "{span:?}");

    let metrics = reqwest::get(halo.url("/metrics")).await?.text().await?;
    let refused = metrics
        .lines()
        .find(|line| line.starts_with("halo_source_rejected_total{source=\"otlp"));
    ensure!(refused.is_none(), "something was refused: {refused:?}");
    Ok(())
}

async fn logs(halo: &Halo, trace: &str) -> Result<Vec<LogRecord>> {
    match halo.query(&Query::Logs(of_trace(trace))).await? {
        Reply::Logs(page) => Ok(page.records),
        other => anyhow::bail!("asked for logs, got {other:?}"),
    }
}

async fn spans(halo: &Halo, trace: &str) -> Result<Vec<SpanRecord>> {
    match halo.query(&Query::Spans(of_trace(trace))).await? {
        Reply::Spans(page) => Ok(page.records),
        other => anyhow::bail!("asked for spans, got {other:?}"),
    }
}

fn of_trace(trace: &str) -> SignalFilter {
    SignalFilter {
        trace_id: Some(trace.to_owned()),
        ..SignalFilter::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_of_loki_and_lines_of_json_outlive_kill_9() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut halo = Halo::serve(&data, folder.path()).await?;
    let client = reqwest::Client::new();
    let post = async |halo: &Halo, path: &str, body: &Value| -> Result<StatusCode> {
        Ok(client.post(halo.url(path)).json(body).send().await?.status())
    };
    let nanos = format!(
        "{}000000",
        engine::clock::Clock::now(&engine::clock::SystemClock).as_millis()
    );
    let push = json!({"streams": [{"stream": {"app": "pay", "trace_id": "feed"}, "values": [[nanos, "from loki"]]}]});
    assert_eq!(post(&halo, "/loki/api/v1/push", &push).await?, StatusCode::NO_CONTENT);
    let lines = json!([{"log": "from fluent bit", "trace_id": "feed"}]);
    assert_eq!(post(&halo, "/api/logs/json", &lines).await?, StatusCode::NO_CONTENT);
    halo.process.kill().context("could not kill halo")?;
    let halo = Halo::serve(&data, folder.path()).await?;
    // Its sender did not hear the answer, say, and sends again: once is enough.
    assert_eq!(post(&halo, "/loki/api/v1/push", &push).await?, StatusCode::NO_CONTENT);
    let mut texts: Vec<_> = logs(&halo, "feed").await?.into_iter().map(|log| log.text).collect();
    texts.sort();
    assert_eq!(texts, ["from fluent bit", "from loki"]);
    Ok(())
}
