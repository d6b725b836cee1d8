//! `halo train`: makes the bundled models again, or others of another seed; with `--data-dir`, trains on the user's history.

mod history;

use crate::bench::alerts_of_known_truth;
use clap::Args;
use engine::detect::train::{Progress, TrainConfig, train};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Arguments of `halo train`. Without `--data-dir` the defaults are those of the bundled models: see `models/manifest.toml`.
#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// Train on the last 30 days of this data directory, from the models in use there; used if they are not worse on what was
    /// held back
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "series"])]
    data_dir: Option<PathBuf>,
    /// Configuration file whose maintenance windows and expected events are left out of the history
    #[arg(long, value_name = "FILE", requires = "data_dir")]
    config: Option<PathBuf>,
    /// Folder to write to; files of the same names are replaced
    #[arg(long, value_name = "DIR", default_value = "models")]
    out: PathBuf,
    /// Seed of the data and of every random choice: the same one gives the same bytes
    #[arg(long, default_value_t = TrainConfig::default().seed)]
    seed: u64,
    /// Synthetic clean series to learn from, at least 50
    #[arg(long, default_value_t = TrainConfig::default().series)]
    series: usize,
    /// Gradient steps of the autoencoder: 300; on history at most, 200
    #[arg(long)]
    steps: Option<usize>,
    /// Windows in a gradient step
    #[arg(long, default_value_t = TrainConfig::default().batch)]
    batch: usize,
}

/// Trains, shows how far it is, and writes all files at the end or none.
pub(super) fn run(args: &TrainArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let stopped = stop_flag();
    let mut progress = |progress: &Progress| {
        show(progress);
        !stopped.load(Ordering::Relaxed)
    };
    if let Some(data_dir) = &args.data_dir {
        return history::run(args, data_dir, &mut progress, out);
    }
    let config = TrainConfig {
        seed: args.seed,
        series: args.series,
        steps: args.steps.unwrap_or(TrainConfig::default().steps),
        batch: args.batch,
    };
    std::fs::create_dir_all(&args.out)
        .map_err(|error| engine::Error::io("the folder cannot be made", &args.out, error))?;
    let trained = train(&config, &mut progress)?;
    let world = Progress {
        stage: "certainty",
        step: 0,
        of: 1,
        loss: None,
        held_back: None,
    };
    anyhow::ensure!(progress(&world), "stopped on request; nothing was changed");
    let alerts = alerts_of_known_truth(&Arc::new(trained.models()?))?;
    let trained = trained.with_alerts(&alerts)?;
    for (name, bytes) in &trained.files {
        let path = args.out.join(name);
        std::fs::write(&path, bytes).map_err(|error| engine::Error::io("cannot be written", &path, error))?;
        writeln!(out, "{}: {} bytes", path.display(), bytes.len())?;
    }
    writeln!(out, "held-back loss of the autoencoder: {:.4}", trained.held_back)?;
    Ok(ExitCode::SUCCESS)
}

fn show(progress: &Progress) {
    let loss = |name: &str, value: Option<f32>| value.map_or_else(String::new, |v| format!(", {name} {v:.4}"));
    // Progress is for people; a closed standard error must not end the training.
    let _ = writeln!(
        std::io::stderr(),
        "{} {} of {}{}{}",
        progress.stage,
        progress.step,
        progress.of,
        loss("loss", progress.loss),
        loss("held back", progress.held_back)
    );
}

/// Becomes true at the first Ctrl-C.
pub(super) fn stop_flag() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stopped);
    let watch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if runtime.is_ok_and(|runtime| runtime.block_on(tokio::signal::ctrl_c()).is_ok()) {
            flag.store(true, Ordering::Relaxed);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("halo-ctrl-c".to_owned()).spawn(watch) {
        tracing::warn!(%error, "Ctrl-C will end the program at once");
    }
    stopped
}
