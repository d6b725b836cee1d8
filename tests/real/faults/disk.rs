//! A disk that is full, and one that is slow: real ones, as far as the system lets this user make them.
//!
//! The full disk is a small file system in memory, in a name space of this test's own. The slow one is any, under `strace`, which
//! makes every sync wait.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use reqwest::StatusCode;
use tests::halo::Halo;
use tests::ledger::{Ledger, batch};
use tests::process::{self, wait_for};
use wire::query::{Query, Reply};

use super::{row, send, skip, start_ms, stop_and_audit, times};

/// A file system of a few megabytes at a path that only its own name space sees; gone with its holder.
struct SmallDisk {
    holder: Child,
}

impl SmallDisk {
    /// `None`: the system does not let this user.
    async fn mount(at: &Path, megabytes: u32) -> Result<Option<Self>> {
        let script = format!(
            "mount -t tmpfs -o size={megabytes}m tmpfs {0} && touch {0}/mounted && exec cat",
            at.display()
        );
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let Ok(holder) = command.spawn() else { return Ok(None) };
        let mut disk = Self { holder };
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if disk.holder.try_wait()?.is_some() {
                return Ok(None);
            }
            let there = disk.run(&format!("test -e {}/mounted", at.display()));
            if there.is_ok() {
                return Ok(Some(disk));
            }
            if Instant::now() > deadline {
                bail!("the small disk does not come");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A command within the name space.
    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.holder.id().to_string(),
            "--user",
            "--mount",
            "--preserve-credentials",
        ]);
        command
    }

    fn run(&self, script: &str) -> Result<()> {
        let status = self
            .command()
            .args(["sh", "-c", script])
            .stderr(Stdio::null())
            .status()?;
        anyhow::ensure!(status.success(), "{script}: {status}");
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_acknowledging_and_nothing_else() -> Result<()> {
    const FAULT: &str = "disk full, and room again";
    let rounds = times(1, 20);
    let folder = tempfile::tempdir()?;
    let mount = folder.path().join("disk");
    std::fs::create_dir(&mount)?;
    let Some(disk) = SmallDisk::mount(&mount, 24).await? else {
        skip(FAULT, "no user name spaces (unshare) here");
        return Ok(());
    };
    // Without the reserve, so that the system itself says that there is no room.
    let config = folder.path().join("halo.toml");
    std::fs::write(&config, "[limits]\nmin_free_disk_mb = 0\n[host]\nenabled = false\n")?;
    let data = mount.join("data");
    let arguments = [
        "--otlp-grpc",
        "off",
        "--config",
        config.to_str().context("a path is text")?,
    ];
    let program = process::program("HALO_BIN")?;
    let mut within = disk.command();
    within.arg(program);
    let mut halo = Halo::run(within, &arguments, &data, folder.path())?;
    halo.wait_until_ready().await?;
    let mut ledger = Ledger::default();
    let mut at_ms = start_ms();
    for _ in 0..rounds {
        for _ in 0..5 {
            at_ms += 1000;
            send(&halo, &batch("full", 50, at_ms), &mut ledger).await?;
        }
        let ballast = mount.join("ballast");
        // It stops where the disk ends.
        let _ = disk.run(&format!("cat /dev/zero > {}", ballast.display()));
        let mut refused = 0;
        for _ in 0..2000 {
            at_ms += 1000;
            let request = batch("full", 50, at_ms);
            let (status, text) = halo.write(&request).await?;
            match status {
                // Room that files had beyond their end.
                StatusCode::NO_CONTENT => ledger.record(&request),
                StatusCode::SERVICE_UNAVAILABLE => refused += 1,
                other => bail!("{other}: {text}"),
            }
            if refused == 10 {
                break;
            }
        }
        assert_eq!(refused, 10, "a full disk acknowledges nothing");
        // Questions are answered, and the trouble is told.
        assert!(!halo.series_list("full").await?.is_empty());
        wait_for("the trouble is told", Duration::from_secs(20), || async {
            let Reply::Snapshot(snapshot) = halo.query(&Query::Snapshot).await? else {
                bail!("asked for a snapshot")
            };
            Ok(snapshot.status.protection.storage.refusing)
        })
        .await?;
        assert!(halo.metrics().await?.contains("reason=\"not_durable\""));
        disk.run(&format!("rm {}", ballast.display()))?;
        at_ms += 1000;
        // By itself: nobody but the sender does anything.
        send(&halo, &batch("full", 50, at_ms), &mut ledger).await?;
        wait_for("it is over", Duration::from_secs(20), || async {
            Ok(halo.metrics().await?.contains("halo_storage_refusing 0").then_some(()))
        })
        .await?;
    }
    halo.process.stop();
    let copy = folder.path().join("copy");
    disk.run(&format!("cp -r {} {}", data.display(), copy.display()))?;
    row(FAULT, rounds, ledger.audit(&copy).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_delays_and_loses_nothing() -> Result<()> {
    const FAULT: &str = "slow disk: every sync takes 200 ms longer";
    let rounds = times(4, 40);
    let folder = tempfile::tempdir()?;
    let probe = Command::new("strace")
        .args(["-D", "-qq", "-e", "trace=fdatasync", "true"])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        skip(FAULT, "strace is missing, or may not trace here");
        return Ok(());
    }
    let data = folder.path().join("data");
    let mut slow = Command::new("strace");
    slow.args([
        "-D",
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync,fsync",
    ])
    .args(["-e", "inject=fdatasync,fsync:delay_enter=200000"])
    .arg(process::program("HALO_BIN")?);
    let mut halo = Halo::run(slow, &["--otlp-grpc", "off"], &data, folder.path())?;
    halo.wait_until_ready().await?;
    let mut ledger = Ledger::default();
    let mut at_ms = start_ms();
    for round in 0..rounds {
        let requests: Vec<_> = (0..16)
            .map(|sender| batch(&format!("slow_{sender}"), 10, at_ms + round as i64 * 1000))
            .collect();
        let sent = futures::future::join_all(requests.iter().map(|request| halo.write(request)));
        // Whoever asks meanwhile is answered: questions wait for no sync.
        let (answers, asked) = tokio::join!(sent, halo.query(&Query::Snapshot));
        asked?;
        for (request, answer) in requests.iter().zip(answers) {
            let (status, text) = answer?;
            assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
            ledger.record(request);
        }
    }
    at_ms += rounds as i64 * 1000;
    send(&halo, &batch("slow_0", 10, at_ms), &mut ledger).await?;
    let audit = stop_and_audit(halo, &data, &ledger).await?;
    row(FAULT, rounds, audit);
    Ok(())
}
