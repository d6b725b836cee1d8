//! `cargo xtask desktop`: the same console in a window of its own, with the engine inside it and no server.

use anyhow::Result;

use crate::setup::{self, SetupArgs};
use crate::{shell, web};

#[derive(Debug, clap::Args)]
pub(crate) struct DesktopArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Build with optimization
    #[arg(long)]
    release: bool,
    /// Arguments for the window itself, after `--`
    #[arg(last = true)]
    args: Vec<String>,
}

/// Sets up what is missing, builds the console and the window, and opens it.
pub(crate) fn run(args: &DesktopArgs) -> Result<()> {
    setup::ensure(setup::BUILD, args.setup)?;
    setup::ensure(setup::DESKTOP, args.setup)?;
    web::run(&web::WebArgs { setup: args.setup })?;
    let mut build = shell::cargo();
    build.args(["build", "--locked", "--package", "desktop"]);
    if args.release {
        build.arg("--release");
    }
    shell::run(&mut build)?;
    let program = shell::built("halo-desktop", args.release);
    shell::run(shell::command(&program.to_string_lossy()).args(&args.args))
}
