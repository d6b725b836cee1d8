//! A program of the Python standard library writes its log and rotates it; `halo` follows, is killed, and has every line once.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tests::halo::Halo;
use tests::process;
use wire::query::{Query, Reply};
use wire::signal::{LogRecord, SignalFilter};

const WAIT: Duration = Duration::from_secs(60);

/// Writes the lines from one number to another, and begins another file after some hundreds.
const PROGRAM: &str = "import logging, logging.handlers, sys, time\n\
    handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=20000, backupCount=99)\n\
    format = logging.Formatter('%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s', '%Y-%m-%dT%H:%M:%S')\n\
    format.converter = time.gmtime\n\
    handler.setFormatter(format)\n\
    log = logging.getLogger()\n\
    log.addHandler(handler)\n\
    log.setLevel('INFO')\n\
    for n in range(int(sys.argv[2]), int(sys.argv[3])):\n\
    \x20   log.log(logging.ERROR if n % 100 == 0 else logging.INFO, 'order %d is paid', n)\n";

async fn lines(halo: &Halo) -> Result<Vec<LogRecord>> {
    let mut all = Vec::new();
    let mut filter = SignalFilter {
        service: Some("shop".to_owned()),
        limit: Some(1000),
        ..SignalFilter::default()
    };
    loop {
        let Reply::Logs(found) = halo.query(&Query::Logs(filter.clone())).await? else {
            bail!("lines were asked for")
        };
        all.extend(found.records);
        if found.next.is_none() {
            return Ok(all);
        }
        filter.page = found.next;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotating_log_is_followed_through_kill_9() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (log, data) = (folder.path().join("shop.log"), folder.path().join("data"));
    let config = folder.path().join("halo.toml");
    fs::write(
        &config,
        format!(
            "[host]\nenabled = false\n[[logs.file]]\nname = \"shop\"\npaths = [\"{}*\"]\nread_from = \"beginning\"\n",
            log.display()
        ),
    )?;
    let write = |from: usize, to: usize| -> Result<()> {
        let mut python = Command::new("/usr/bin/python3");
        python
            .args(["-c", PROGRAM])
            .arg(&log)
            .args([from.to_string(), to.to_string()]);
        ensure!(python.status()?.success(), "the program failed");
        Ok(())
    };
    let mut written = 0;
    for kill in 0..4 {
        let mut halo = Halo::serve_configured(&data, folder.path(), &config).await?;
        write(written, written + 1500)?;
        written += 1500;
        if kill < 3 {
            // Wherever it is with them: some lines are kept, and perhaps not how far it has read.
            process::wait_for("some lines", WAIT, || async {
                Ok((lines(&halo).await?.len() > written - 1400).then_some(()))
            })
            .await?;
            write(written, written + 700)?;
            written += 700;
            halo.process.kill()?;
            continue;
        }
        let found = process::wait_for("all lines", WAIT, || async {
            let found = lines(&halo).await?;
            Ok((found.len() >= written).then_some(found))
        })
        .await?;
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for line in &found {
            *times
                .entry(line.text.split_once(' ').map_or("", |(_, text)| text))
                .or_default() += 1;
        }
        for n in 0..written {
            let level = if n % 100 == 0 { "ERROR" } else { "INFO" };
            let count = times.get(format!("{level} order {n} is paid").as_str());
            ensure!(count == Some(&1), "line {n}: {count:?}");
        }
        let severe = found.iter().filter(|line| line.severity == 17).count();
        ensure!(
            found.len() == written && severe == written / 100,
            "{} lines, {severe} errors",
            found.len()
        );
    }
    Ok(())
}
