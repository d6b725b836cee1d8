//! `halo train --data-dir`: on the history of a data directory, kept as a version there if it is not worse.

use super::TrainArgs;
use crate::cli::models::TAKES_EFFECT;
use crate::cli::serve::read_config;
use engine::clock::{Clock as _, SystemClock};
use engine::detect::train::{HistoryConfig, Progress, train_on_history};
use engine::pipeline::read_history;
use engine::store::models::ModelStore;
use engine::store::sqlite::SqliteStore;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Trains and compares; only then, and only if it is not worse, anything is written. Exit code 0 either way.
pub(super) fn run(
    args: &TrainArgs,
    data_dir: &Path,
    progress: &mut (dyn FnMut(&Progress) -> bool + Send),
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let mut settings = read_config(args.config.as_deref())?;
    engine::ingest::calendar::load(&mut settings.context)?;
    let models = ModelStore::new(data_dir);
    let current = models.load_current()?;
    if let Some(refused) = &current.refused {
        // Told to a person; a closed standard error must not end the training.
        let _ = writeln!(std::io::stderr(), "{refused}; going on from the bundled models");
    }
    let now = SystemClock.now();
    let usual = HistoryConfig::new(ModelStore::name_at(now), current.name.clone());
    let config = HistoryConfig {
        seed: args.seed,
        steps: args.steps.unwrap_or(usual.steps),
        batch: args.batch,
        ..usual
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let history = runtime.block_on(async {
        let store = SqliteStore::open_to_read(&data_dir.join("halo.db")).await?;
        read_history(&store, &settings.context, now, config.seed, progress).await
    })?;
    let outcome = train_on_history(&config, &history, &current.models, progress)?;
    writeln!(out, "{}", outcome.report)?;
    if outcome.report.is_promoted() {
        models.write(&config.version, &outcome.files)?;
        models.put_in_use(&config.version)?;
        writeln!(
            out,
            "{} is in use, after {}; {TAKES_EFFECT}",
            config.version, current.name
        )?;
    } else {
        writeln!(out, "{} stays in use", current.name)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(dir: &Path) -> String {
        let args = TrainArgs {
            data_dir: Some(dir.to_owned()),
            config: None,
            out: "models".into(),
            seed: 7,
            series: 200,
            steps: Some(1),
            batch: 1,
        };
        let error = run(&args, dir, &mut |_| true, &mut Vec::new()).unwrap_err().to_string();
        assert!(!dir.join("models").exists(), "nothing is written");
        error
    }

    #[test]
    fn without_history_there_is_a_reason_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refused(dir.path()).contains("there is no history to read"));
        assert!(!dir.path().join("halo.db").exists(), "a wrong folder gets no database");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { SqliteStore::open(&dir.path().join("halo.db")).await.unwrap() });
        let refused = refused(dir.path());
        assert!(
            refused.contains("0 usable series") && refused.contains("20 series over 3 days"),
            "{refused}"
        );
    }
}
