//! `cargo xtask faults`: everything that may go wrong around the server, often enough to believe, and a table of what it cost.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::setup::{self, SetupArgs};
use crate::{shell, test};

/// After this long the suite is killed.
const LIMIT: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Args)]
pub(crate) struct FaultsArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Only these: `kill`, `power`, `disk`, `connections`, `order`
    name: Option<String>,
    /// As few of each as among the ordinary checks
    #[arg(long)]
    short: bool,
}

/// Builds the program, lets every fault happen to it, and prints the table.
pub(crate) fn run(args: &FaultsArgs) -> Result<()> {
    setup::ensure(setup::BUILD, args.setup)?;
    let mut suite: Command = test::real_faults(args.name.as_deref())?;
    if !args.short {
        suite.env("HALO_FAULTS", "full");
    }
    let shell::Finished { status, output } = shell::run_bounded(&mut suite, LIMIT)?;
    println!("\n{}", table(&output));
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("a fault cost something, or could not be tried: {status}"),
        None => bail!("killed after {} s", LIMIT.as_secs()),
    }
}

/// The rows that the tests printed.
fn table(output: &str) -> String {
    let mut text = format!(
        "{:<50} {:>8} {:>14} {:>6} {:>8}\n",
        "fault", "cases", "acknowledged", "lost", "twice"
    );
    let rows = output.lines().filter_map(|line| line.split_once("fault | "));
    for (_, row) in rows {
        let fields: Vec<&str> = row.split(" | ").collect();
        match fields.as_slice() {
            [fault, cases, acknowledged, lost, twice] => {
                text.push_str(&format!(
                    "{fault:<50} {cases:>8} {acknowledged:>14} {lost:>6} {twice:>8}\n"
                ));
            }
            [fault, reason] => text.push_str(&format!("{fault:<50} {reason}\n")),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_among_other_lines() {
        let output =
            "test faults::kill ... fault | kill -9 | 200 | 5000 | 0 | 0\nok\nfault | slow disk | skipped: no strace\n";
        let table = table(output);
        let lines: Vec<_> = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .collect();
        assert_eq!(lines[1], ["kill", "-9", "200", "5000", "0", "0"]);
        assert_eq!(lines[2].join(" "), "slow disk skipped: no strace");
    }
}
