//! Remote write over HTTP with everything on, beside a peer that is sent the same bytes by the same load generator.
//!
//! Each server is measured while the other waits, in turns: a run as fast as it takes it, and once everything has been seen often
//! enough for all detectors to work, [`RATE`] samples a second for the latency. A server is left alone after each run until it
//! rests, and what it works on then counts for that run: answers that put work off are not cheaper. Generator and servers share
//! this machine's cores, so what the generator used is a figure of its own.

mod side;

use super::load::SENDERS;
use super::payload::{SAMPLES_PER_REQUEST, Stream, Write};
use super::server::{Scratch, Server};
use super::speed::{is_ok, runtime};
use super::{Figure, Report};
use engine::clock::{Clock, SystemClock};
use engine::{Error, Result};
use side::{Side, Span};
use std::time::Duration;
use wire::Timestamp;

/// Samples a second at which latency is measured, and which are held for long.
const RATE: u64 = 50_000;
/// For latency.
const PACED: Duration = Duration::from_secs(10);
/// Between two samples of a series, on their own clock, as a Prometheus scrapes.
const STEP_MS: i64 = 15_000;
/// Samples of a series before anything counts: a baseline is trusted from then on, and every detector works.
const WARM_UP: usize = 120;
/// Of one run.
const SAMPLES_PER_RUN: usize = 2_000_000;
/// Samples in memory that wait to be sent.
const SAMPLES_AHEAD: usize = 2_000_000;

/// Arguments of `halo bench ingest`.
#[derive(Clone, Debug, clap::Args)]
pub struct IngestArgs {
    /// ingest: series that the samples are of [default: 50000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(4..=500_000))]
    series: Option<u32>,
    /// ingest: samples in a request at most [default: 2000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    request_samples: Option<u32>,
    /// ingest: hold 50,000 samples a second instead
    #[arg(long)]
    sustained: bool,
    /// ingest: seconds to hold them for [default: 600]
    #[arg(long, requires = "sustained", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    secs: Option<u32>,
    /// ingest: name of a server that is sent the same; it must be fresh
    #[arg(long, requires_all = ["peer_url", "peer_pid"], conflicts_with = "sustained")]
    peer: Option<String>,
    /// ingest: its address for remote write
    #[arg(long, requires = "peer", value_name = "URL")]
    peer_url: Option<String>,
    /// ingest: its process
    #[arg(long, requires = "peer", value_name = "PID")]
    peer_pid: Option<u32>,
}

impl IngestArgs {
    /// # Errors
    /// If anything was given that another figure would ignore.
    pub(super) fn must_be_absent(&self) -> Result<()> {
        let given = [
            ("--series", self.series.is_some()),
            ("--request-samples", self.request_samples.is_some()),
            ("--sustained", self.sustained),
            ("--peer", self.peer.is_some()),
        ];
        let given: Vec<String> = given
            .iter()
            .filter(|(_, given)| *given)
            .map(|(option, _)| format!("{option}: belongs to `halo bench ingest`"))
            .collect();
        if given.is_empty() {
            Ok(())
        } else {
            Err(Error::Config(given))
        }
    }

    fn shape(&self) -> Shape {
        Shape {
            series: self.series.unwrap_or(50_000) as usize,
            request_samples: self.request_samples.map_or(SAMPLES_PER_REQUEST, |n| n as usize),
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
struct Shape {
    series: usize,
    request_samples: usize,
}

impl Shape {
    /// From so long ago that nothing of `samples` samples is ahead of `now`.
    fn stream(self, samples: usize, now: Timestamp) -> Stream {
        let at = |start| Stream::new(self.series, SENDERS, self.request_samples, start, STEP_MS);
        // Rounds are sent whole.
        let instants = samples.div_ceil(self.series) + 2 * at(now).instants();
        at(now + -(instants as i64 * STEP_MS))
    }

    fn warm_up(self) -> usize {
        WARM_UP * self.series
    }
}

/// Measures what `args` say, `runs` times where a median counts.
pub(super) fn figures(args: &IngestArgs, runs: usize) -> Result<Report> {
    let shape = args.shape();
    runtime()?.block_on(async {
        if args.sustained {
            let span = Duration::from_secs(args.secs.unwrap_or(600).into());
            return sustained(shape, span).await;
        }
        let peer = match (&args.peer, &args.peer_url, args.peer_pid) {
            (Some(name), Some(url), Some(pid)) => Some((name.as_str(), url.clone(), pid)),
            _ => None,
        };
        beside(shape, runs, peer).await
    })
}

/// As many rounds of `stream` as make `samples` samples.
fn some(stream: &mut Stream, samples: usize) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut made = 0;
    while made < samples {
        let round = stream.round();
        made += round.iter().map(|write| write.samples).sum::<usize>();
        writes.extend(round);
    }
    writes
}

/// Makes the series known and their baselines trusted, a bounded number of samples at a time.
async fn warm_up(stream: &mut Stream, shape: Shape, sides: &mut [Side]) -> Result<()> {
    let mut left = shape.warm_up();
    while left > 0 {
        let writes = some(stream, left.min(SAMPLES_AHEAD));
        left = left.saturating_sub(writes.iter().map(|write| write.samples).sum());
        for side in &mut *sides {
            side.flood(&writes).await?;
        }
    }
    Ok(())
}

/// A `halo serve` of our own that takes samples.
async fn halo(client: &reqwest::Client, scratch: &Scratch) -> Result<(Server, Side)> {
    let mut server = Server::spawn(&scratch.0)?;
    let ready = format!("{}/-/ready", server.url);
    server
        .wait_until(async || is_ok(client.get(&ready).send().await))
        .await?;
    let side = Side::new(client, format!("{}/api/v1/write", server.url), server.pid()).await?;
    Ok((server, side))
}

async fn beside(shape: Shape, runs: usize, peer: Option<(&str, String, u32)>) -> Result<Report> {
    let scratch = Scratch::new("ingest")?;
    let client = reqwest::Client::new();
    let (_server, side) = halo(&client, &scratch).await?;
    let mut sides = vec![side];
    let peer_name = peer.as_ref().map(|(name, ..)| *name);
    if let Some((_, url, pid)) = peer {
        sides.push(Side::new(&client, url, pid).await?);
    }
    let paced = (RATE * PACED.as_secs()) as usize;
    // A chunk of rounds may be a round longer than asked for, and there are as many chunks as this divides into.
    let slack = (runs + shape.warm_up() / SAMPLES_AHEAD + 2) * (shape.series + SENDERS * shape.request_samples);
    let samples = shape.warm_up() + runs * SAMPLES_PER_RUN + paced + slack;
    let mut stream = shape.stream(samples, SystemClock.now());
    warm_up(&mut stream, shape, &mut sides).await?;
    for _ in 0..runs {
        let writes = some(&mut stream, SAMPLES_PER_RUN);
        for side in &mut sides {
            let span = side.flood(&writes).await?;
            side.floods.push(span);
        }
    }
    for side in &mut sides {
        side.hold(stream.clone(), PACED).await?;
    }
    Ok(Report {
        figures: compare(shape.series, &sides, peer_name),
        notes: vec![explanation(peer_name)],
    })
}

/// Halo's figures of both ways of sending, those of the peer beside them.
fn compare(series: usize, sides: &[Side], peer: Option<&str>) -> Vec<Figure> {
    let beside = |what: &str, unit: &str, higher: bool, goal: Option<f64>, of: &dyn Fn(&Side) -> f64| {
        let mut figure = Figure::new(format!("ingest, {series} series: {what}"), of(&sides[0]), unit, higher);
        if let (Some(name), Some(side)) = (peer, sides.get(1)) {
            figure = figure.peer(name, of(side));
        }
        Figure { goal, ..figure }
    };
    let millis = |share: f64| move |side: &Side| side.paced.answers.latency_ms(share);
    let memory_goal = (series <= 50_000).then_some(200.0);
    let per_core = |side: &Side| side.median(Span::per_core);
    let mut figures = vec![
        beside("samples", "samples/s", true, None, &|s| s.median(Span::per_sec)),
        beside("samples per core", "samples/s/core", true, Some(2_500_000.0), &per_core),
    ];
    if let [halo, other] = sides {
        let what = format!("ingest, {series} series: samples per core, times the peer's");
        figures.push(Figure::new(what, per_core(halo) / per_core(other), "x", true).goal(5.0));
    }
    figures.extend([
        beside("cores used", "cores", false, None, &|s| s.median(Span::cores)),
        beside("cores the load generator used", "cores", false, None, &|s| {
            s.median(Span::generator_cores)
        }),
        beside("memory above idle", "MB", false, memory_goal, &Side::above_idle_mb),
        beside("sent 50,000 samples/s, taken", "samples/s", true, None, &|s| {
            s.paced.per_sec()
        }),
        beside(
            "sent 50,000 samples/s, p50 to the answer",
            "ms",
            false,
            None,
            &millis(0.5),
        ),
        beside(
            "sent 50,000 samples/s, p99 to the answer",
            "ms",
            false,
            Some(1.0),
            &millis(0.99),
        ),
        beside("sent 50,000 samples/s, cores used", "cores", false, None, &|s| {
            s.paced.cores()
        }),
        beside("put off (503)", "requests", false, None, &|s| {
            let floods = s.floods.iter().map(|span| span.answers.put_off);
            (floods.sum::<u64>() + s.paced.answers.put_off) as f64
        }),
    ]);
    figures
}

/// [`RATE`] for long, with all detectors.
async fn sustained(shape: Shape, span: Duration) -> Result<Report> {
    let scratch = Scratch::new("sustained")?;
    let client = reqwest::Client::new();
    let (_server, mut halo) = halo(&client, &scratch).await?;
    let secs = span.as_secs();
    let slack = (shape.warm_up() / SAMPLES_AHEAD + 2) * (shape.series + SENDERS * shape.request_samples);
    let samples = shape.warm_up() + (RATE * secs) as usize + slack;
    let mut stream = shape.stream(samples, SystemClock.now());
    warm_up(&mut stream, shape, std::slice::from_mut(&mut halo)).await?;
    halo.hold(stream, span).await?;
    let figure = |what: &str, value: f64, unit: &str, higher: bool| {
        let name = format!("sustained, {} series, {secs} s: {what}", shape.series);
        Figure::new(name, value, unit, higher)
    };
    let (held, put_off) = (&halo.paced, halo.paced.answers.put_off as f64);
    Ok(Report {
        figures: vec![
            figure("samples taken", held.per_sec(), "samples/s", true).goal(RATE as f64),
            figure("put off (503)", put_off, "requests", false).goal(0.0),
            figure("p50 to the answer", held.answers.latency_ms(0.5), "ms", false),
            figure("p99 to the answer", held.answers.latency_ms(0.99), "ms", false).goal(1.0),
            figure("cores used", held.cores(), "cores", false).goal(0.5),
            figure("memory above idle", halo.above_idle_mb(), "MB", false).goal(200.0),
            figure("cores the load generator used", held.generator_cores(), "cores", false),
        ],
        notes: vec![explanation(None)],
    })
}

/// What is between sending and the answer.
fn explanation(peer: Option<&str>) -> String {
    let mut text =
        "  ingest: latency is from a request's sending to its answer, which Halo gives once its samples are in the \
                    log on disk and judged"
            .to_owned();
    if let Some(peer) = peer {
        text.push_str(&format!("; {peer} answers once they are in memory, and judges nothing"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::load::{Answers, Target};
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        ingest: IngestArgs,
    }

    fn parse(words: &str) -> Result<IngestArgs, clap::Error> {
        let words = ["bench"].into_iter().chain(words.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.ingest)
    }

    #[test]
    fn a_peer_is_named_whole_and_nothing_is_ignored() {
        assert!(parse("--series 1000 --peer other --peer-url http://x --peer-pid 7").is_ok());
        for words in [
            "--peer other",
            "--peer-url http://x",
            "--peer other --peer-url http://x",
            "--secs 5",
            "--series 3",
            "--sustained --peer other --peer-url http://x --peer-pid 7",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
        assert!(parse("").unwrap().must_be_absent().is_ok());
        let problem = parse("--sustained --secs 5").unwrap().must_be_absent().unwrap_err();
        assert!(problem.to_string().contains("--sustained: belongs to"), "{problem}");
    }

    #[test]
    fn nothing_is_sent_ahead_of_the_clock() {
        let now = Timestamp::from_secs(1_700_000_000);
        for (series, request_samples) in [(1000, 2000), (50_000, 2000), (4, 1)] {
            let shape = Shape {
                series,
                request_samples,
            };
            let samples = 10 * series * shape.stream(0, now).instants() + 1;
            let mut stream = shape.stream(samples, now);
            let writes = some(&mut stream, samples);
            assert!(writes.iter().map(|write| write.samples).sum::<usize>() >= samples);
            let last = stream.next() + -STEP_MS;
            assert!(last <= now, "{series} series: {last} is after {now}");
        }
    }

    fn side(paced_ms: u64, cpu_secs: f64) -> Side {
        let span = Span {
            answers: Answers {
                latencies: vec![Duration::from_millis(paced_ms)],
                samples: 1000,
                put_off: 1,
            },
            secs: 2.0,
            cpu_secs,
            cpu_secs_to_rest: 2.0 * cpu_secs,
            generator_cpu_secs: 1.0,
        };
        Side {
            target: Target::new(reqwest::Client::new(), String::new()),
            pid: 0,
            idle_mb: 50.0,
            most_mb: 80.0,
            floods: vec![span.clone(), span.clone(), span.clone()],
            paced: span,
        }
    }

    #[test]
    fn figures_of_a_peer_stand_beside_ours() {
        let figures = compare(1000, &[side(3, 1.0), side(2, 4.0)], Some("other"));
        let find = |what: &str| {
            let name = format!("ingest, 1000 series: {what}");
            figures.iter().find(|figure| figure.figure == name).unwrap()
        };
        let values = |what: &str| (find(what).value, find(what).peer_value);
        assert_eq!(values("samples"), (500.0, Some(500.0)));
        assert_eq!(values("samples per core"), (500.0, Some(125.0)), "work put off counts");
        assert_eq!(values("samples per core, times the peer's"), (4.0, None));
        assert_eq!(values("cores used"), (0.5, Some(2.0)));
        assert_eq!(values("memory above idle"), (30.0, Some(30.0)));
        assert_eq!(values("sent 50,000 samples/s, p99 to the answer"), (3.0, Some(2.0)));
        assert_eq!(values("put off (503)"), (4.0, Some(4.0)));
        let alone = compare(1000, &[side(3, 1.0)], None);
        assert_eq!(alone.len() + 1, figures.len(), "all but the ratio");
        assert!(alone.iter().all(|figure| figure.peer.is_none()));
    }
}
