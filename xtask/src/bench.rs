//! `cargo xtask bench`: what this machine measures. The engine's figures come from `halo bench`, those of ingestion with a peer
//! beside it; the console's own, its download and how soon it can be used, are measured here.

use std::fs;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::peers::{self, Peer};
use crate::setup::{self, SetupArgs};
use crate::{browser, demo, shell, web};

mod ingest;
mod readme;

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Only the figures of this name: `console`, or one that `halo bench` knows, as `ingest`
    name: Option<String>,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// Also write the table into README.md, with the commit and the machine; takes all figures
    #[arg(long, conflicts_with = "name")]
    readme: bool,
    /// Also measure the peers, as `cargo xtask peers` does, and show them beside the figures
    #[arg(long)]
    peers: bool,
    /// With `ingest`, or with everything: also hold 50,000 samples a second for ten minutes
    #[arg(long)]
    sustained: bool,
}

/// One measured figure, with the peer it stands beside when one was run in the same call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Figure {
    figure: String,
    value: f64,
    unit: String,
    higher_is_better: bool,
    peer: Option<String>,
    peer_value: Option<f64>,
    ratio: Option<f64>,
    goal: Option<f64>,
}

/// Builds with optimization, measures, prints.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let name = args.name.as_deref();
    if args.sustained && !matches!(name, None | Some("ingest")) {
        bail!("--sustained belongs to `ingest`; leave it out, or name that");
    }
    setup::ensure(setup::BUILD, args.setup)?;
    // Building is not measured, and its chatter must not mix with the figures on standard output.
    let console = matches!(name, None | Some("console"));
    // What is measured of the console is the console as it is now; the engine only needs one to be built with.
    if console || !web::dist_dir().join("index.html").exists() {
        web::run(&web::WebArgs { setup: args.setup })?;
    }
    let halo = demo::build_halo(true)?;
    let python = args.peers.then(|| peers::prepare(args.setup)).transpose()?;
    let mut figures = Vec::new();
    if !matches!(name, Some("console" | "ingest")) {
        figures.extend(engine_figures(&halo, name.map(str::to_owned).as_slice())?);
    }
    if matches!(name, None | Some("ingest")) {
        figures.extend(ingest::figures(&halo, args.setup, args.sustained)?);
    }
    if console {
        figures.extend(console_figures(&halo, args.setup)?);
    }
    let peers = python.map_or(Ok(Vec::new()), |python| peers::measure(&python))?;
    for figure in &mut figures {
        stand_beside(figure, &peers);
    }
    for figure in &figures {
        println!(
            "{}",
            if args.json {
                serde_json::to_string(figure)?
            } else {
                row(figure)
            }
        );
    }
    for peer in &peers {
        println!(
            "{}",
            if args.json {
                serde_json::to_string(peer)?
            } else {
                peer_row(peer)
            }
        );
    }
    if args.readme {
        readme::write(&figures, &peers)?;
    }
    Ok(())
}

fn engine_figures(halo: &str, args: &[String]) -> Result<Vec<Figure>> {
    let mut bench = shell::command(halo);
    bench.arg("bench").args(args).arg("--json").stderr(Stdio::inherit());
    let shown = shell::show(&bench);
    let output = bench.output().with_context(|| format!("could not start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}", output.status);
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(lines: &str) -> Result<Vec<Figure>> {
    let lines = lines.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("not a figure: {line}")))
        .collect()
}

fn console_figures(halo: &str, setup: SetupArgs) -> Result<Vec<Figure>> {
    let kilobytes = |bytes: u64| bytes as f64 / 1000.0;
    let module = fs::metadata(web::dist_dir().join("app_bg.wasm.gz"))?.len();
    let mut figures = vec![
        figure("console.wasm_gzip", kilobytes(module), "KB", None),
        figure(
            "console.first_load_gzip",
            kilobytes(web::first_load_bytes()?),
            "KB",
            Some(700.0),
        ),
    ];
    match browser::start_to_console_ms(halo, setup) {
        Ok(ms) => figures.push(figure("console.start_to_usable", ms, "ms", Some(2000.0))),
        Err(error) => eprintln!("console.start_to_usable was not measured: {error:#}"),
    }
    Ok(figures)
}

/// A peer's own figure of the same name, measured here, takes the place of one measured elsewhere.
fn stand_beside(figure: &mut Figure, peers: &[Peer]) {
    if let Some(peer) = peers.iter().find(|peer| peer.figure == figure.figure) {
        figure.peer = Some(format!("{}, same machine", peer.peer));
        figure.peer_value = Some(peer.value);
        figure.ratio = Some(figure.value / peer.value);
    }
}

fn figure(name: &str, value: f64, unit: &str, goal: Option<f64>) -> Figure {
    Figure {
        figure: name.to_owned(),
        value,
        unit: unit.to_owned(),
        higher_is_better: false,
        peer: None,
        peer_value: None,
        ratio: None,
        goal,
    }
}

fn row(figure: &Figure) -> String {
    let Figure {
        figure,
        value,
        unit,
        peer,
        peer_value,
        ratio,
        goal,
        ..
    } = figure;
    let mut text = format!("{figure:<36} {:>14} {unit:<12}", quantity(*value));
    if let Some(goal) = goal {
        text.push_str(&format!(" goal {}", quantity(*goal)));
    }
    if let (Some(peer), Some(peer_value)) = (peer, peer_value) {
        text.push_str(&format!(" {peer} {}", quantity(*peer_value)));
    }
    if let Some(ratio) = ratio {
        text.push_str(&format!(" ratio {ratio:.2}"));
    }
    text
}

fn peer_row(peer: &Peer) -> String {
    let Peer {
        peer,
        figure,
        value,
        unit,
    } = peer;
    format!("{figure:<36} {:>14} {unit:<12} {peer}", quantity(*value))
}

/// Whole numbers from a hundred on, three figures below.
fn quantity(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_between_other_lines() {
        let text = "warming up\n{\"figure\":\"a\",\"value\":1.5,\"unit\":\"ns\",\"higher_is_better\":false,\"peer\":null,\
                    \"peer_value\":null,\"ratio\":null,\"goal\":null}\n";
        let figures = parse(text).unwrap();
        assert_eq!(figures, [figure("a", 1.5, "ns", None)]);
        assert!(parse("{\"figure\":1}").is_err());
    }

    #[test]
    fn a_peer_measured_here_takes_the_place_of_one_measured_elsewhere() {
        let peer = Peer {
            peer: "other 1.0".to_owned(),
            figure: "forest".to_owned(),
            value: 50.0,
            unit: "rows/s".to_owned(),
        };
        let mut forest = figure("forest", 100.0, "rows/s", None);
        forest.peer = Some("other, elsewhere".to_owned());
        let mut start = figure("start", 1.0, "ms", None);
        for figure in [&mut forest, &mut start] {
            stand_beside(figure, std::slice::from_ref(&peer));
        }
        assert_eq!(forest.peer.as_deref(), Some("other 1.0, same machine"));
        assert_eq!((forest.peer_value, forest.ratio), (Some(50.0), Some(2.0)));
        assert_eq!(start.peer, None);
        assert!(peer_row(&peer).contains("50.000 rows/s"), "{}", peer_row(&peer));
    }

    #[test]
    fn a_row_shows_the_goal_and_the_peer() {
        let mut sample = figure("ingest", 312_345.6, "samples/s", Some(300_000.0));
        sample.peer = Some("vmagent".to_owned());
        sample.peer_value = Some(99.5);
        let row = row(&sample);
        assert!(
            row.contains("312346 samples/s") && row.contains("goal 300000") && row.contains("vmagent 99.500"),
            "{row}"
        );
    }
}
