//! Clients that are slow, and clients that are many.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use prost::Message as _;
use reqwest::StatusCode;
use tests::halo::{Halo, WriteRequest};
use tests::ledger::{Ledger, batch};
use tests::process::wait_for;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::{row, send, start_ms, stop_and_audit, times};

/// The head of a request to write `length` bytes.
fn head(halo: &Halo, length: usize) -> String {
    format!(
        "POST /api/v1/write HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-protobuf\r\ncontent-encoding: snappy\r\n\
         content-length: {length}\r\n\r\n",
        halo.address
    )
}

/// The status of the next answer.
async fn status(stream: &mut TcpStream) -> Result<u16> {
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !answer.windows(4).any(|w| w == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await?;
        anyhow::ensure!(read > 0, "the connection was closed without an answer");
        answer.extend_from_slice(&buffer[..read]);
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text.split_whitespace().nth(1).context("a status line")?;
    Ok(status.parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hold_nobody_up() -> Result<()> {
    let slow = times(150, 2000);
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let config = folder.path().join("halo.toml");
    std::fs::write(&config, "[limits]\nread_timeout_secs = 3\n")?;
    let halo = Halo::serve_configured(&data, folder.path(), &config).await?;
    let mut streams = Vec::new();
    for _ in 0..slow {
        let mut stream = TcpStream::connect(&halo.address).await?;
        // More of them than requests that are worked on at once, and none comes to its end.
        stream.write_all(head(&halo, 5000).as_bytes()).await?;
        stream.write_all(&[0; 10]).await?;
        streams.push(stream);
    }
    let mut ledger = Ledger::default();
    let mut at_ms = start_ms();
    for _ in 0..times(20, 300) {
        at_ms += 1000;
        let request = batch("beside_slow", 20, at_ms);
        let (status, text) = halo.write(&request).await?;
        assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
        ledger.record(&request);
    }
    for stream in &mut streams {
        let told = tokio::time::timeout(Duration::from_secs(30), status(stream)).await;
        assert_eq!(told.context("a slow one is told in time")??, 503);
    }
    let counted = halo.metrics().await?;
    let line = format!("halo_source_rejected_total{{source=\"http\",reason=\"too_slow\"}} {slow}");
    wait_for("the slow ones are counted", Duration::from_secs(10), || async {
        Ok(halo.metrics().await?.contains(&line).then_some(()))
    })
    .await
    .with_context(|| counted)?;
    let audit = stop_and_audit(halo, &data, &ledger).await?;
    row("slow clients beside a quick one", slow, audit);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_are_served() -> Result<()> {
    let wanted = times(300, 10_000);
    raise_descriptors()?;
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let halo = Arc::new(Halo::serve(&data, folder.path()).await?);
    let mut streams = Vec::new();
    for _ in 0..wanted {
        streams.push(TcpStream::connect(&halo.address).await.context("one more connection")?);
    }
    // All of them are open; now each sends a sample of its own.
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let at_ms = start_ms();
    let mut clients = tokio::task::JoinSet::new();
    for (index, mut stream) in streams.into_iter().enumerate() {
        let (halo, ledger) = (Arc::clone(&halo), Arc::clone(&ledger));
        clients.spawn(async move {
            let request = batch(
                &format!("client_{}", index % 500),
                1,
                at_ms + (index / 500) as i64 * 1000,
            );
            let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?;
            let mut bytes = head(&halo, body.len()).into_bytes();
            bytes.extend_from_slice(&body);
            // Told to come later, it does, on the same connection.
            for _ in 0..300 {
                stream.write_all(&bytes).await?;
                match status(&mut stream).await? {
                    204 => {
                        ledger.lock().await.record(&request);
                        return Ok(stream);
                    }
                    503 => tokio::time::sleep(Duration::from_millis(200)).await,
                    status => anyhow::bail!("{status}"),
                }
            }
            anyhow::bail!("never acknowledged")
        });
    }
    let mut open = Vec::new();
    while let Some(done) = clients.join_next().await {
        open.push(done??);
    }
    assert_eq!(open.len(), wanted);
    // With all of them open somebody else is served, too.
    let last: WriteRequest = batch("one_more", 1, at_ms);
    let mut ledger = ledger.lock().await.clone();
    send(&halo, &last, &mut ledger).await?;
    drop(open);
    let halo = Arc::into_inner(halo).context("every client is done")?;
    let audit = stop_and_audit(halo, &data, &ledger).await?;
    row("connections at the same time", wanted, audit);
    Ok(())
}

/// Lets this process have as many descriptors as the system gives.
fn raise_descriptors() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}
