//! The load generator: remote write to any server, as fast as it takes it or at a fixed rate.
//!
//! Each of [`SENDERS`] tasks sends its own series in order and waits for an answer before its next request, as the shards of a
//! Prometheus do. At a fixed rate a request has a time at which it is due, and one that its sender comes late to, because the
//! answer before was late, counts as sent when it was due: a server that stalls is charged with all that it kept waiting.

use super::payload::{Stream, Write};
use axum::body::Bytes;
use engine::{Error, Result};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Concurrent senders, as a Prometheus server has shards.
pub(super) const SENDERS: usize = 4;

/// Requests that are made ahead for each sender.
const AHEAD: usize = 8;

/// For the first requests to be made before the first is due.
const HEAD_START: Duration = Duration::from_millis(500);

/// Before a request that was put off is sent again.
const AGAIN: Duration = Duration::from_millis(5);

/// A server that takes remote write.
#[derive(Clone, Debug)]
pub(super) struct Target {
    client: reqwest::Client,
    url: String,
}

impl Target {
    /// `url` is the whole address, with its path.
    pub(super) fn new(client: reqwest::Client, url: String) -> Self {
        Self { client, url }
    }

    /// Delivers one request; when the server is overloaded (503) it waits and tries again, as Prometheus does. How often it
    /// was put off.
    ///
    /// # Errors
    /// If the server is gone, or refuses the request for good.
    pub(super) async fn deliver(&self, body: Bytes) -> Result<u64> {
        let mut put_off = 0;
        loop {
            let sent = self
                .client
                .post(&self.url)
                .header("content-type", "application/x-protobuf")
                .header("content-encoding", "snappy")
                .header("x-prometheus-remote-write-version", "0.1.0")
                .body(body.clone())
                .send()
                .await;
            let reply = sent.map_err(|error| Error::Unavailable(format!("remote write: {error}")))?;
            match reply.status().as_u16() {
                204 | 200 => return Ok(put_off),
                503 => {
                    put_off += 1;
                    sleep(AGAIN).await;
                }
                status => {
                    let text = reply.text().await.unwrap_or_default();
                    return Err(Error::Unavailable(format!(
                        "remote write was answered {status}: {text}"
                    )));
                }
            }
        }
    }
}

/// What became of requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answers {
    /// From sending to the answer that it is taken, being put off included.
    pub(super) latencies: Vec<Duration>,
    /// Samples whose answer came before the end.
    pub(super) samples: usize,
    /// Answers that asked to come again.
    pub(super) put_off: u64,
}

impl Answers {
    fn and(mut self, other: Self) -> Self {
        self.latencies.extend(other.latencies);
        self.samples += other.samples;
        self.put_off += other.put_off;
        self
    }

    /// Milliseconds within which `share` of the requests were answered (nearest rank); NaN without requests.
    pub(super) fn latency_ms(&self, share: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        let found = sorted.get(rank.clamp(1, sorted.len().max(1)) - 1);
        found.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// Sends all of `writes` as fast as they are taken.
pub(super) async fn flood(target: &Target, writes: &[Write]) -> Result<Answers> {
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let own: Vec<Write> = writes.iter().skip(sender).step_by(SENDERS).cloned().collect();
        let target = target.clone();
        senders.spawn(async move {
            let mut answers = Answers::default();
            for write in own {
                let begun = Instant::now();
                answers.put_off += target.deliver(write.body).await?;
                answers.latencies.push(begun.elapsed());
                answers.samples += write.samples;
            }
            Ok(answers)
        });
    }
    join(senders).await
}

/// Sends what `stream` makes at `rate` samples a second for `span`; what is not taken by then is not sent any more.
pub(super) async fn hold(target: &Target, stream: Stream, rate: u64, span: Duration) -> Result<Answers> {
    let start = Instant::now() + HEAD_START;
    let (lanes, queues): (Vec<_>, Vec<_>) = (0..SENDERS).map(|_| mpsc::channel(AHEAD)).unzip();
    let maker = tokio::task::spawn_blocking(move || make(stream, rate, span, start, &lanes));
    let mut senders = JoinSet::new();
    for queue in queues {
        senders.spawn(keep_time(target.clone(), queue, start + span));
    }
    let answers = join(senders).await;
    maker
        .await
        .map_err(|error| Error::Unavailable(format!("the maker of requests stopped: {error}")))?;
    answers
}

/// A request that is to be sent at a time.
#[derive(Debug)]
struct Due {
    at: Instant,
    write: Write,
}

/// Makes requests until the span is full or nobody wants them any more.
fn make(mut stream: Stream, rate: u64, span: Duration, start: Instant, lanes: &[mpsc::Sender<Due>]) {
    let mut before = 0_u64;
    loop {
        for (write, lane) in stream.round().into_iter().zip(lanes.iter().cycle()) {
            let after = Duration::from_nanos(before * 1_000_000_000 / rate);
            if after >= span {
                return;
            }
            before += write.samples as u64;
            let at = start + after;
            if lane.blocking_send(Due { at, write }).is_err() {
                return;
            }
        }
    }
}

async fn keep_time(target: Target, mut queue: mpsc::Receiver<Due>, end: Instant) -> Result<Answers> {
    let mut answers = Answers::default();
    let mut free_since = Instant::now();
    while let Some(Due { at, write }) = queue.recv().await {
        if Instant::now() >= end {
            break;
        }
        sleep_until(at).await;
        // A timer wakes up to a millisecond late, which is not the server's doing; a late answer is.
        let begun = if free_since <= at { Instant::now() } else { at };
        answers.put_off += target.deliver(write.body).await?;
        free_since = Instant::now();
        answers.latencies.push(free_since - begun);
        if free_since <= end {
            answers.samples += write.samples;
        }
    }
    Ok(answers)
}

async fn join(mut senders: JoinSet<Result<Answers>>) -> Result<Answers> {
    let mut all = Answers::default();
    // The first error ends the others, whose tasks end with the set.
    while let Some(sender) = senders.join_next().await {
        let answers = sender.map_err(|error| Error::Unavailable(format!("a sender stopped: {error}")))??;
        all = all.and(answers);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Timestamp;

    fn of_millis(millis: impl IntoIterator<Item = u64>) -> Answers {
        Answers {
            latencies: millis.into_iter().map(Duration::from_millis).collect(),
            ..Answers::default()
        }
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        // numpy.percentile(x, q, method="inverted_cdf")
        let check = |answers: Answers, share: f64, expected_ms: f64| {
            let found = answers.latency_ms(share);
            assert!(
                (found - expected_ms).abs() < 1e-9,
                "{share}: {found}, not {expected_ms}"
            );
        };
        for (share, expected_ms) in [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)] {
            check(of_millis((1..=100).rev()), share, expected_ms);
        }
        check(of_millis([30, 10, 20]), 0.5, 20.0);
        check(of_millis([30, 10, 20]), 0.99, 30.0);
        assert!(of_millis([]).latency_ms(0.5).is_nan());
    }

    #[test]
    fn answers_of_several_senders_add_up() {
        let one = Answers {
            samples: 5,
            put_off: 1,
            ..of_millis([1])
        };
        let both = one.clone().and(Answers {
            samples: 7,
            ..of_millis([3])
        });
        assert_eq!((both.samples, both.put_off, both.latency_ms(1.0)), (12, 1, 3.0));
    }

    #[test]
    fn requests_are_due_at_the_rate_and_end_with_the_span() {
        let (lanes, mut queues): (Vec<_>, Vec<_>) = (0..SENDERS).map(|_| mpsc::channel(64)).unzip();
        let stream = Stream::new(1000, SENDERS, 100, Timestamp::from_secs(1_700_000_000), 15_000);
        let start = Instant::now();
        make(stream, 1000, Duration::from_secs(2), start, &lanes);
        drop(lanes);
        let mut due = Vec::new();
        for queue in &mut queues {
            while let Ok(one) = queue.try_recv() {
                due.push((one.at - start, one.write.samples));
            }
        }
        due.sort_unstable();
        assert_eq!(due.iter().map(|(_, samples)| samples).sum::<usize>(), 2000);
        let mut before = 0;
        for (after, samples) in due {
            assert_eq!(after, Duration::from_millis(before as u64));
            before += samples;
        }
    }
}
