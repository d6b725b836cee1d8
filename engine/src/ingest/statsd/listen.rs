//! The sockets: datagrams over UDP, lines over TCP.

use super::StatsdConfig;
use crate::error::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// The largest datagram there is.
const DATAGRAM_BYTES: usize = 1 << 16;
/// Longest line over TCP.
const LINE_BYTES: usize = 16 << 10;
const MAX_CONNECTIONS: usize = 256;
/// Pieces of connections that may wait.
const QUEUE: usize = 256;

/// What came: whole lines, or how much was too long for one.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    Lines(Vec<u8>),
    TooLong,
    /// A connection over the limit.
    Refused,
}

/// Bound sockets. Dropping it ends them and their connections.
#[derive(Debug)]
pub struct Listener {
    udp: Option<UdpSocket>,
    buffer: Vec<u8>,
    tcp: Option<SocketAddr>,
    lines: mpsc::Receiver<Arrived>,
    _tasks: JoinSet<()>,
}

impl Listener {
    /// Binds what the configuration names.
    ///
    /// # Errors
    /// [`Error::Io`] with the address, most often because another program has it.
    pub async fn bind(config: &StatsdConfig) -> Result<Self> {
        let problem = |address: SocketAddr| move |e| Error::io("cannot listen for StatsD", address.to_string(), e);
        let udp = match config.udp {
            Some(address) => Some(UdpSocket::bind(address).await.map_err(problem(address))?),
            None => None,
        };
        let (sender, lines) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        let mut tcp = None;
        if let Some(address) = config.tcp {
            let listener = TcpListener::bind(address).await.map_err(problem(address))?;
            tcp = listener.local_addr().ok();
            tasks.spawn(accept(listener, sender));
        }
        Ok(Self {
            udp,
            buffer: vec![0; DATAGRAM_BYTES],
            tcp,
            lines,
            _tasks: tasks,
        })
    }

    /// The addresses in use, UDP first.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.udp.as_ref().and_then(|udp| udp.local_addr().ok()), self.tcp)
    }

    /// Waits for lines. Can be dropped at any point without loss.
    pub async fn next(&mut self) -> Arrived {
        loop {
            let Self {
                udp,
                buffer,
                lines,
                tcp,
                ..
            } = self;
            let datagram = async {
                match udp {
                    Some(udp) => udp.recv(buffer).await,
                    None => std::future::pending().await,
                }
            };
            let line = async {
                match tcp {
                    Some(_) => lines.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = datagram => match received {
                    Ok(bytes) => return Arrived::Lines(self.buffer[..bytes].to_vec()),
                    // On some systems an answer to something sent before; there is nothing to do about it.
                    Err(error) => tracing::debug!(%error, "a StatsD datagram could not be received"),
                },
                Some(arrived) = line => return arrived,
            }
        }
    }
}

async fn accept(listener: TcpListener, lines: mpsc::Sender<Arrived>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match (accepted, Arc::clone(&room).try_acquire_owned()) {
            (Ok((stream, _)), Ok(permit)) => {
                let lines = lines.clone();
                connections.spawn(async move {
                    read(stream, lines).await;
                    drop(permit);
                });
            }
            (Ok(_), Err(_)) => {
                if lines.send(Arrived::Refused).await.is_err() {
                    return;
                }
            }
            // Out of file descriptors, most likely: others must close first.
            (Err(error), _) => {
                tracing::warn!(%error, "a StatsD connection could not be accepted");
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Passes whole lines on until the connection ends. The queue holds a fast sender back.
async fn read(mut stream: TcpStream, lines: mpsc::Sender<Arrived>) {
    let mut pending = Vec::new();
    let mut skipping = false;
    loop {
        match stream.read_buf(&mut pending).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        for arrived in whole_lines(&mut pending, &mut skipping) {
            if lines.send(arrived).await.is_err() {
                return;
            }
        }
    }
    if !pending.is_empty() && !skipping {
        // The last line may lack its end. Nobody receives any more if this fails.
        let _ = lines.send(Arrived::Lines(pending)).await;
    }
}

/// Takes what ends with a line break out of `pending`; a line that grows too long is skipped up to its end.
fn whole_lines(pending: &mut Vec<u8>, skipping: &mut bool) -> Vec<Arrived> {
    let mut out = Vec::new();
    if *skipping {
        match pending.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                pending.drain(..=end);
                *skipping = false;
            }
            None => pending.clear(),
        }
    }
    if let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') {
        let rest = pending.split_off(end + 1);
        out.push(Arrived::Lines(std::mem::replace(pending, rest)));
    }
    if pending.len() > LINE_BYTES {
        pending.clear();
        *skipping = true;
        out.push(Arrived::TooLong);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_bounded() {
        let (mut pending, mut skipping) = (b"a:1|c\nb:".to_vec(), false);
        let lines = |text: &[u8]| Arrived::Lines(text.to_vec());
        assert_eq!(whole_lines(&mut pending, &mut skipping), [lines(b"a:1|c\n")]);
        pending.extend_from_slice(b"2|c\n");
        assert_eq!(whole_lines(&mut pending, &mut skipping), [lines(b"b:2|c\n")]);
        pending.resize(LINE_BYTES + 1, b'x');
        assert_eq!(whole_lines(&mut pending, &mut skipping), [Arrived::TooLong]);
        pending.extend_from_slice(b"xxx");
        assert_eq!(whole_lines(&mut pending, &mut skipping), []);
        pending.extend_from_slice(b"xxx\nc:3|c\n");
        assert_eq!(whole_lines(&mut pending, &mut skipping), [lines(b"c:3|c\n")]);
    }
}
