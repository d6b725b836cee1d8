//! The table of results in the README, of the figures that have a goal and of others of the same measure: a reader sees what a random
//! score reaches. No figure without the command, the commit and the machine that gave it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use super::{Figure, quantity};
use crate::peers::Peer;
use crate::shell;

const BEGIN: &str = "<!-- results: written by `cargo xtask bench --readme` -->";
const END: &str = "<!-- end of results -->";

/// Replaces the table between the two marks.
///
/// # Errors
/// If the README cannot be read or written, or a mark is missing.
pub(super) fn write(figures: &[Figure], peers: &[Peer]) -> Result<()> {
    let path = shell::root().join("README.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let text = with_table(&text, &table(figures, peers, &origin(!peers.is_empty())))?;
    fs::write(&path, text).with_context(|| path.display().to_string())
}

fn with_table(readme: &str, table: &str) -> Result<String> {
    let (before, rest) = readme
        .split_once(BEGIN)
        .with_context(|| format!("README.md lacks the line {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("README.md lacks the line {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

/// What a figure measures, without of what: `SMD, random: VUS-PR` is a VUS-PR.
fn measure(figure: &Figure) -> Option<&str> {
    figure.figure.split_once(": ").map(|(_, measure)| measure)
}

fn table(figures: &[Figure], peers: &[Peer], origin: &str) -> String {
    let mut text = String::from("| figure | value | goal | beside |\n|---|---:|---:|---|\n");
    let measures: BTreeSet<&str> = figures
        .iter()
        .filter(|figure| figure.goal.is_some())
        .filter_map(measure)
        .collect();
    let shown = |figure: &&Figure| figure.goal.is_some() || measure(figure).is_some_and(|of| measures.contains(of));
    for each in figures.iter().filter(shown) {
        let goal = each.goal.map(|goal| format!("{} {}", quantity(goal), each.unit));
        let peer = each
            .peer
            .as_ref()
            .zip(each.peer_value)
            .map(|(peer, value)| format!("{peer}: {} {}", quantity(value), each.unit));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} {} | {} | {} |",
            each.figure,
            quantity(each.value),
            each.unit,
            goal.unwrap_or_default(),
            peer.unwrap_or_default()
        );
    }
    if !peers.is_empty() {
        text.push_str("\nPeers on the same machine, one core each:\n\n| figure | value | peer |\n|---|---:|---|\n");
    }
    for Peer {
        peer,
        figure,
        value,
        unit,
    } in peers
    {
        let _ = writeln!(text, "| `{figure}` | {} {unit} | {peer} |", quantity(*value));
    }
    let _ = writeln!(text, "\n{origin}");
    text
}

/// Command, commit and machine.
fn origin(with_peers: bool) -> String {
    let git = |args: &[&str]| shell::read(shell::command("git").args(args)).unwrap_or_default();
    let mut commit = git(&["rev-parse", "--short", "HEAD"]).trim().to_owned();
    // The README itself is about to change; anything else that differs makes it another program.
    if !git(&["status", "--porcelain", "--", ".", ":!README.md"])
        .trim()
        .is_empty()
    {
        commit.push_str(" with changes");
    }
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let peers = if with_peers { " --peers" } else { "" };
    format!(
        "Measured by `cargo xtask bench --readme{peers}` (which prints the rest, too) at commit {commit} on {cores} cores of {model}."
    )
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, Figure, Peer, table, with_table};

    #[test]
    fn the_table_replaces_the_one_before_and_nothing_else() {
        let figures = [Figure {
            figure: "http.samples".to_owned(),
            value: 123_456.7,
            unit: "samples/s".to_owned(),
            higher_is_better: true,
            peer: None,
            peer_value: None,
            ratio: None,
            goal: Some(300_000.0),
        }];
        let table = table(&figures, &[], "here");
        assert!(
            table.contains("| `http.samples` | 123457 samples/s | 300000 samples/s |  |"),
            "{table}"
        );
        let readme = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let once = with_table(&readme, &table).unwrap();
        assert!(once.starts_with("a\n") && once.ends_with("\nb\n") && !once.contains("old"));
        assert_eq!(with_table(&once, &table).unwrap(), once);
        assert!(with_table("no marks", &table).is_err());
    }

    #[test]
    fn a_measure_with_a_goal_is_shown_of_all_who_have_it() {
        let figure = |name: &str, goal| Figure {
            figure: name.to_owned(),
            value: 0.25,
            unit: "share".to_owned(),
            higher_is_better: true,
            peer: None,
            peer_value: None,
            ratio: None,
            goal,
        };
        let figures = [
            figure("SMD, halo: VUS-PR", Some(0.5)),
            figure("SMD, random: VUS-PR", None),
            figure("SMD, random: AUC-PR", None),
        ];
        let text = table(&figures, &[], "here");
        assert!(
            text.contains("SMD, random: VUS-PR") && !text.contains("AUC-PR"),
            "{text}"
        );
    }

    #[test]
    fn peers_have_a_table_of_their_own_where_they_were_measured() {
        let peer = Peer {
            peer: "other 1.0".to_owned(),
            figure: "batch STL".to_owned(),
            value: 1000.4,
            unit: "ms".to_owned(),
        };
        assert!(!table(&[], &[], "here").contains("Peers"));
        let text = table(&[], &[peer], "here");
        assert!(text.contains("| `batch STL` | 1000 ms | other 1.0 |"), "{text}");
    }
}
