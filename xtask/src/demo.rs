//! `cargo xtask demo`: from a clone to a console in the browser with one command.

use anyhow::Result;

use crate::setup::{self, SetupArgs};
use crate::{shell, web};

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// How many times faster than recorded the bundled fault is replayed
    #[arg(long)]
    speed: Option<f64>,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:7700")]
    listen: String,
    /// Where the data is kept; `halo-demo` when not given
    #[arg(long)]
    data_dir: Option<std::path::PathBuf>,
    /// Build with optimization: a longer first build, a faster engine
    #[arg(long)]
    release: bool,
}

/// Sets up what is missing, builds the console and the program, and runs it until Ctrl-C.
pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    setup::ensure(setup::BUILD, args.setup)?;
    web::run(&web::WebArgs { setup: args.setup })?;
    let halo = build_halo(args.release)?;

    let mut demo = shell::command(&halo);
    demo.args(["demo", "--listen", &args.listen]);
    if let Some(speed) = args.speed {
        demo.args(["--speed", &speed.to_string()]);
    }
    if let Some(dir) = &args.data_dir {
        demo.arg("--data-dir").arg(dir);
    }
    shell::run(&mut demo)
}

/// Builds the `halo` program with the console inside and returns its path.
pub(crate) fn build_halo(release: bool) -> Result<String> {
    let mut build = shell::cargo();
    build.args(["build", "--locked", "--package", "server", "--bin", "halo"]);
    if release {
        build.arg("--release");
    }
    shell::run(&mut build)?;
    Ok(shell::built("halo", release).to_string_lossy().into_owned())
}
