//! A real Prometheus from the distribution, scraping a real node exporter, pointed at `halo` with nothing but
//! `remote_write: url`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use tests::halo::Halo;
use tests::process::{self, Process};
use wire::query::{Query, Reply};
use wire::stream::Snapshot;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_writes_and_its_series_get_baselines() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let halo = Halo::serve(&folder.path().join("data"), folder.path()).await?;
    let (node, exporter) = start_node_exporter(folder.path())?;
    let (address, prometheus) = start_prometheus(folder.path(), &node, &halo.url("/api/v1/write"))?;

    let checked = check_series(&halo).await;
    assert!(
        checked.is_ok(),
        "{:#}\n{}\n{}\n{}",
        checked.unwrap_err(),
        prometheus.tail(),
        exporter.tail(),
        halo.process.tail()
    );

    // The sender's own account: nothing it sent was refused.
    let metrics = reqwest::get(format!("http://{address}/metrics")).await?.text().await?;
    for counter in [
        "prometheus_remote_storage_samples_failed_total",
        "prometheus_remote_storage_samples_dropped_total",
    ] {
        let count: f64 = metrics
            .lines()
            .filter(|line| line.starts_with(counter))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        assert!(count < 0.5, "{counter} is {count}\n{}", prometheus.tail());
    }
    Ok(())
}

async fn check_series(halo: &Halo) -> Result<()> {
    let load = process::wait_for("node_load1 arrives", Duration::from_secs(60), || async {
        Ok(halo
            .series_list("node_load1")
            .await?
            .into_iter()
            .find(|series| series.info.metric == "node_load1"))
    });
    let load = load.await?;
    anyhow::ensure!(
        load.info
            .labels
            .iter()
            .any(|(name, value)| name == "job" && value == "node")
            || load.info.entity.as_str().contains("node"),
        "the labels of {:?} are lost",
        load.info
    );

    // Every family of the exporter comes, not just the first.
    process::wait_for("a full scrape arrives", Duration::from_secs(60), || async {
        Ok((halo.series_list("node_").await?.len() > 200).then_some(()))
    })
    .await?;

    // One sample a second: an expected band with a confidence, while it still says how much it has learnt.
    let id = load.info.id;
    let detail = process::wait_for("node_load1 has a baseline", Duration::from_secs(120), || async move {
        let detail = halo.series(id).await?;
        let has_band = detail
            .points
            .iter()
            .any(|point| point.expected.is_some() && point.lower.is_some());
        Ok((has_band && detail.summary.confidence > 0.0).then_some(detail))
    });
    let detail = detail.await?;
    anyhow::ensure!(
        detail.seen > 0 && detail.needed > 0,
        "warm-up is not shown: {} of {}",
        detail.seen,
        detail.needed
    );
    anyhow::ensure!(
        detail.summary.info.step_ms == 1000,
        "a step of {} ms",
        detail.summary.info.step_ms
    );

    let Reply::Snapshot(Snapshot { .. }) = halo.query(&Query::Snapshot).await? else {
        anyhow::bail!("asked for a snapshot, got something else");
    };
    Ok(())
}

fn start_node_exporter(folder: &Path) -> Result<(String, Process)> {
    let address = process::free_address()?;
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address={address}"));
    Ok((address, Process::start("node-exporter", &mut command, folder)?))
}

fn start_prometheus(folder: &Path, node: &str, write_url: &str) -> Result<(String, Process)> {
    let address = process::free_address()?;
    let config = folder.join("prometheus.yml");
    fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs:\n- {{job_name: node, static_configs: [{{targets: ['{node}']}}]}}\n\
             remote_write:\n- url: {write_url}\n"
        ),
    )?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg(format!("--web.listen-address={address}"));
    Ok((address, Process::start("prometheus", &mut command, folder)?))
}

/// Prometheus 3 with `protobuf_message: io.prometheus.write.v2.Request`, scraping itself with native histograms. Without the
/// headers that say what was written it would count every request as failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "who reads the output shall see what was not run")]
async fn a_real_prometheus_writes_version_two() -> Result<()> {
    let Ok(program) = process::program("HALO_PROMETHEUS3") else {
        println!("skipped: HALO_PROMETHEUS3 names no Prometheus 3");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let halo = Halo::serve(&folder.path().join("data"), folder.path()).await?;
    let address = process::free_address()?;
    let config = folder.path().join("prometheus3.yml");
    fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s, scrape_native_histograms: true}}\n\
             scrape_configs:\n- {{job_name: self, static_configs: [{{targets: ['{address}']}}]}}\n\
             remote_write:\n- url: {}\n  protobuf_message: io.prometheus.write.v2.Request\n  \
             send_native_histograms: true\n  send_exemplars: true\n",
            halo.url("/api/v1/write")
        ),
    )?;
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb3").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--enable-feature=exemplar-storage,metadata-wal-records,created-timestamp-zero-ingestion");
    let prometheus = Process::start("prometheus3", &mut command, folder.path())?;
    let arrived = process::wait_for("native histograms arrive", Duration::from_secs(60), || async {
        let native = halo.series_list("prometheus_http_request_duration_seconds").await?;
        let is_bucket = |series: &&wire::series::SeriesSummary| series.info.metric.ends_with("_bucket");
        let derived = |series: &&wire::series::SeriesSummary| series.info.statistic.as_deref() == Some("p95");
        Ok((native.iter().any(|s| is_bucket(&s)) && native.iter().any(|s| derived(&s))).then_some(()))
    });
    let arrived = arrived.await;
    assert!(
        arrived.is_ok(),
        "{:#}\n{}\n{}",
        arrived.unwrap_err(),
        prometheus.tail(),
        halo.process.tail()
    );
    // Its own account, once it has sent enough to have one.
    let account = process::wait_for("the sender counts what it sent", Duration::from_secs(30), || async {
        let metrics = reqwest::get(format!("http://{address}/metrics")).await?.text().await?;
        let count = |name: &str| -> f64 {
            let lines = metrics.lines().filter(|line| line.starts_with(name));
            lines
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        let sent = [
            count("prometheus_remote_storage_samples_total"),
            count("prometheus_remote_storage_histograms_total"),
        ];
        let failed: f64 = ["samples", "histograms", "exemplars", "metadata"]
            .map(|kind| count(&format!("prometheus_remote_storage_{kind}_failed_total")))
            .iter()
            .sum();
        Ok((sent[0] > 1000.0 && sent[1] > 20.0).then_some(failed))
    });
    let failed = account.await?;
    assert!(failed < 0.5, "{failed} failed\n{}", prometheus.tail());
    Ok(())
}
