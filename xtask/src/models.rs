//! `cargo xtask models`: trains the bundled weights again, by the command that their card names.

use anyhow::Result;

use crate::setup::{self, SetupArgs};
use crate::{demo, shell};

#[derive(Debug, clap::Args)]
pub(crate) struct ModelsArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Arguments for `halo train`, after `--`
    #[arg(last = true)]
    args: Vec<String>,
}

/// Trains into `models/`; the same code and seed give the same bytes.
pub(crate) fn run(args: &ModelsArgs) -> Result<()> {
    setup::ensure(setup::BUILD, args.setup)?;
    let halo = demo::build_halo(true)?;
    shell::run(shell::command(&halo).arg("train").args(&args.args))
}
