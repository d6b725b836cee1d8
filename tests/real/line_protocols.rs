//! StatsD and the Influx line protocol, each sent by a client of its own community.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::halo::Halo;
use tests::process;
use wire::series::{SeriesKind, SeriesSummary};

const WAIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statsd_client_sends_over_udp_and_tcp() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (udp, tcp) = (process::free_address()?, process::free_address()?);
    let config = folder.path().join("halo.toml");
    let host = "[host]\nenabled = false\n";
    fs::write(
        &config,
        format!("{host}[statsd]\nudp = \"{udp}\"\ntcp = \"{tcp}\"\nflush_secs = 1\n"),
    )?;
    let halo = Halo::serve_configured(&folder.path().join("data"), folder.path(), &config).await?;
    let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
    python(
        "import sys, statsd\n\
         for make, port, prefix in ((statsd.StatsClient, sys.argv[1], 'udp'), (statsd.TCPStatsClient, sys.argv[2], 'tcp')):\n\
         \x20   client = make('127.0.0.1', int(port), prefix=prefix)\n\
         \x20   client.incr('orders', 3)\n\
         \x20   client.gauge('queue', 7)\n\
         \x20   client.gauge('queue', -2, delta=True)\n\
         \x20   client.timing('checkout', 320)\n\
         \x20   client.set('users', 'ada')\n\
         \x20   client.close()\n",
        &[&port(&udp), &port(&tcp)],
    )?;
    for prefix in ["udp", "tcp"] {
        check(&halo, &format!("{prefix}_queue"), 5.0).await?;
        check(&halo, &format!("{prefix}_users"), 1.0).await?;
        check(&halo, &format!("{prefix}_checkout_ms"), 320.0).await?;
        // A chart shows the rate of a counter: what it is must be known.
        for metric in ["orders", "checkout_ms_count"] {
            let kind = last(&halo, &format!("{prefix}_{metric}")).await?.info.kind;
            ensure!(kind == SeriesKind::Counter, "{prefix}_{metric} is a {kind:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_influx_client_writes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let halo = Halo::serve(&folder.path().join("data"), folder.path()).await?;
    let port = halo.address.rsplit(':').next().unwrap_or_default();
    python(
        "import sys, time\n\
         from influxdb import InfluxDBClient\n\
         for gzip in (False, True):\n\
         \x20   client = InfluxDBClient('127.0.0.1', int(sys.argv[1]), database='any', gzip=gzip)\n\
         \x20   assert client.ping()\n\
         \x20   point = {'measurement': 'disk' if gzip else 'cpu', 'tags': {'host': 'web 1'},\n\
         \x20            'time': int(time.time() * 1000), 'fields': {'value': 1.5, 'cores': 4, 'up': True, 'note': 'a, b'}}\n\
         \x20   assert client.write_points([point], time_precision='ms')\n\
         try:\n\
         \x20   client.write_points(['ok value=2', 'bad'], protocol='line')\n\
         \x20   sys.exit('a bad line was taken')\n\
         except Exception as error:\n\
         \x20   assert 'partial write' in str(error) and 'line 2' in str(error), error\n",
        &[port],
    )?;
    for (metric, value) in [("cpu", 1.5), ("cpu_cores", 4.0), ("disk_up", 1.0), ("ok", 2.0)] {
        check(&halo, metric, value).await?;
    }
    let cpu = last(&halo, "cpu").await?;
    ensure!(cpu.info.entity.as_str() == "web 1", "{:?}", cpu.info);
    Ok(())
}

/// The series of this very name, once it is there.
async fn last(halo: &Halo, metric: &str) -> Result<SeriesSummary> {
    process::wait_for(metric, WAIT, || async move {
        let list = halo.series_list(metric).await?;
        Ok(list.into_iter().find(|series| series.info.metric == metric))
    })
    .await
    .with_context(|| halo.process.tail())
}

/// A sample of a series of this very name has this value.
async fn check(halo: &Halo, metric: &str, expected: f64) -> Result<()> {
    let what = format!("{metric} is {expected}");
    process::wait_for(&what, WAIT, || async move {
        for series in halo.series_list(metric).await? {
            let detail = halo.series(series.info.id).await?;
            let mut seen = detail.points.iter().filter_map(|point| point.value);
            if series.info.metric == metric && seen.any(|value| (value - expected).abs() < 1e-9) {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
    .await
    .with_context(|| halo.process.tail())
}

fn python(program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new("/usr/bin/python3")
        .args(["-c", program])
        .args(args)
        .output()?;
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
