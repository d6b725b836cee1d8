//! `[[scrape]]`: a real node exporter, found through a list in a file, and gone again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::halo::Halo;
use tests::process::{self, Process};

/// The values of a query at this moment, by the label `instance`.
async fn ask(halo: &Halo, query: &str) -> Result<Vec<(String, f64)>> {
    let url = halo.url("/api/v1/query");
    let client = reqwest::Client::new();
    let answer: Value = client.post(url).form(&[("query", query)]).send().await?.json().await?;
    let result = answer["data"]["result"]
        .as_array()
        .with_context(|| answer.to_string())?;
    let one = |series: &Value| {
        let value = series["value"][1].as_str()?.parse().ok()?;
        Some((
            series["metric"]["instance"].as_str().unwrap_or_default().to_owned(),
            value,
        ))
    };
    Ok(result.iter().filter_map(one).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_exporter_is_scraped_until_it_is_gone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("targets.json");
    fs::write(&list, "[]")?;
    let config = folder.path().join("halo.toml");
    let text = format!(
        "[[scrape]]\njob = \"node\"\nfiles = [{list:?}]\ninterval_secs = 1\nlabels = {{ env = \"test\" }}\n\
         [host]\nenabled = false\n"
    );
    fs::write(&config, text)?;
    let halo = Halo::serve_configured(&folder.path().join("data"), folder.path(), &config).await?;
    let (address, mut exporter) = start_exporter(folder.path())?;
    fs::write(
        &list,
        format!("[{{\"targets\": [\"{address}\"], \"labels\": {{\"zone\": \"z\"}}}}]"),
    )?;
    let checked = check(&halo, &address).await;
    ensure!(checked.is_ok(), "{:#}\n{}", checked.unwrap_err(), halo.process.tail());

    exporter.stop();
    process::wait_for("the target is down", Duration::from_secs(30), || async {
        Ok((ask(&halo, "up").await? == [(address.clone(), 0.0)]).then_some(()))
    })
    .await?;
    // Marked as ended: nobody looks back for it.
    ensure!(ask(&halo, "node_load1").await?.is_empty());
    fs::write(&list, "[]")?;
    process::wait_for("the target is forgotten", Duration::from_secs(30), || async {
        Ok(ask(&halo, "up").await?.is_empty().then_some(()))
    })
    .await
}

async fn check(halo: &Halo, address: &str) -> Result<()> {
    process::wait_for("the exporter is scraped", Duration::from_secs(30), || async {
        let is_up = ask(halo, "up{job=\"node\",env=\"test\",zone=\"z\"} == 1").await?;
        Ok((is_up == [(address.to_owned(), 1.0)]).then_some(()))
    })
    .await?;
    let [(_, scraped)] = ask(halo, "scrape_samples_scraped").await?[..] else {
        anyhow::bail!("one target was scraped")
    };
    ensure!(scraped > 200.0, "{scraped} samples");
    let [(_, stored)] = ask(halo, "count({job=\"node\",__name__!~\"up|scrape_.*\"})").await?[..] else {
        anyhow::bail!("nothing is stored")
    };
    // A few are NaN, which is a gap.
    ensure!(stored > 0.9 * scraped, "{stored} of {scraped}");
    process::wait_for("a rate can be told", Duration::from_secs(30), || async {
        let idle = ask(halo, "sum by (instance) (rate(node_cpu_seconds_total[10s]))").await?;
        Ok(idle.first().is_some_and(|(_, rate)| *rate > 0.1).then_some(()))
    })
    .await
}

fn start_exporter(folder: &Path) -> Result<(String, Process)> {
    let address = process::free_address()?;
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address={address}"));
    Ok((address, Process::start("node-exporter", &mut command, folder)?))
}
