//! Halo as the Alertmanager of a real Prometheus, with the sample configuration that ships, and `amtool` on top of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::halo::Halo;
use tests::process::{self, Process};

const WAIT: Duration = Duration::from_secs(60);

/// Fires at once; the rule that ships needs a target to be down for a minute.
const RULE: &str = "\
groups:
- name: test
  interval: 1s
  rules:
  - {alert: DiskFull, expr: vector(1), labels: {severity: critical, instance: db-1}, annotations: {summary: full}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_alerts_halo_and_amtool_silences_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let halo = Halo::serve(&folder.path().join("data"), folder.path()).await?;
    let prometheus = start_prometheus(folder.path(), &halo.address)?;
    let amtool = |args: &[&str]| run_amtool(&halo, args);

    let fired = process::wait_for("the alert arrives", WAIT, || async {
        let found = amtool(&["alert", "query", "alertname=DiskFull", "-o", "json"])?;
        Ok(found.contains("\"DiskFull\"").then_some(found))
    })
    .await
    .with_context(|| format!("{}\n{}", prometheus.tail(), halo.process.tail()))?;
    let alerts: serde_json::Value = serde_json::from_str(&fired)?;
    assert_eq!(alerts[0]["labels"]["instance"], "db-1");
    assert_eq!(alerts[0]["annotations"]["summary"], "full");
    assert_eq!(alerts[0]["status"]["state"], "active");

    // The samples came by the same file.
    process::wait_for("samples arrive", WAIT, || async {
        Ok((!halo.series_list("prometheus_build_info").await?.is_empty()).then_some(()))
    })
    .await?;

    let id = amtool(&[
        "silence",
        "add",
        "--author=ada",
        "--comment=moving the disk",
        "instance=~db-.",
        "--duration=1h",
    ])?;
    let id = id.trim().to_owned();
    assert_eq!(id.len(), 36, "{id}");
    assert_eq!(amtool(&["silence", "query", "-q"])?.trim(), id);
    assert_eq!(
        amtool(&["alert", "query", "-o", "simple"])?.lines().count(),
        1,
        "the heading alone"
    );
    let silenced = amtool(&["alert", "query", "--silenced", "-o", "json"])?;
    assert!(silenced.contains(&id), "{silenced}");
    amtool(&["silence", "expire", &id])?;
    assert_eq!(amtool(&["silence", "query", "-q"])?.trim(), "");
    assert!(amtool(&["alert", "query", "-o", "simple"])?.contains("DiskFull"));

    amtool(&[
        "alert",
        "add",
        "alertname=ByHand",
        "service=cart",
        "--annotation=summary=by hand",
    ])?;
    assert!(amtool(&["alert", "query", "service=cart", "-o", "extended"])?.contains("by hand"));
    assert!(amtool(&["config", "show"])?.contains("receiver: halo"));

    // The counters are told once a second.
    let taken = "halo_source_events_total{source=\"alertmanager_api\"}";
    let metrics = process::wait_for("the alerts are counted", WAIT, || async {
        let text = reqwest::get(halo.url("/metrics")).await?.text().await?;
        Ok(text.contains(taken).then_some(text))
    })
    .await?;
    let refused = "halo_source_rejected_total{source=\"alertmanager_api\",reason=\"malformed\"}";
    assert!(!metrics.contains(refused), "{metrics}");
    Ok(())
}

fn run_amtool(halo: &Halo, args: &[&str]) -> Result<String> {
    let output = Command::new("amtool")
        .arg(format!("--alertmanager.url={}", halo.url("")))
        .args(args)
        .output()
        .context("amtool cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "amtool {args:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// The files that ship, with this test's addresses and a shorter interval.
fn start_prometheus(folder: &Path, halo: &str) -> Result<Process> {
    let address = process::free_address()?;
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/agents");
    let sample = fs::read_to_string(shipped.join("prometheus.yml"))?;
    for part in ["127.0.0.1:7700", "127.0.0.1:9090", "15s"] {
        ensure!(sample.contains(part), "the sample configuration has no {part} any more");
    }
    let config = sample
        .replace("127.0.0.1:7700", halo)
        .replace("127.0.0.1:9090", &address)
        .replace("15s", "1s");
    let place = folder.join("prometheus.yml");
    fs::write(&place, config)?;
    fs::create_dir(folder.join("rules"))?;
    fs::copy(shipped.join("rules/halo.yml"), folder.join("rules/halo.yml"))?;
    fs::write(folder.join("rules/test.yml"), RULE)?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", place.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg(format!("--web.listen-address={address}"))
        // What fired before Prometheus had found Halo is sent again after this, by default a minute.
        .arg("--rules.alert.resend-delay=1s");
    Process::start("prometheus", &mut command, folder)
}
