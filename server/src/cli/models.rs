//! `halo models`: which versions there are, and which one is in use.

use clap::{Args, Subcommand};
use engine::store::models::{BUNDLED, ModelStore, Version};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `halo models`.
#[derive(Debug, Args)]
pub(super) struct ModelsArgs {
    /// Data directory whose models are meant
    #[arg(long, env = "HALO_DATA_DIR", default_value = "halo-data", global = true)]
    data_dir: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show every version, the one in use with a star
    List,
    /// Put a version in use; `bundled` is the program's own
    Use { version: String },
    /// Go back to the version that training of the one in use began from
    Revert,
}

pub(super) fn run(args: ModelsArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let store = ModelStore::new(&args.data_dir);
    let version = match args.action {
        Action::List => {
            for version in store.list()? {
                writeln!(out, "{}", line(&version))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        Action::Use { version } => version,
        Action::Revert => store.before_current()?,
    };
    store.put_in_use(&version)?;
    writeln!(out, "{version} is in use; {TAKES_EFFECT}")?;
    Ok(ExitCode::SUCCESS)
}

/// What a person must know who changed files under a running server.
pub(super) const TAKES_EFFECT: &str = "a server that is running takes it at its next start";

fn line(version: &Version) -> String {
    let star = if version.is_current { '*' } else { ' ' };
    let mut text = format!("{star} {:<18}", version.name);
    match (&version.parent, &version.training) {
        (Some(parent), Some(t)) => {
            text += &format!(
                " after {parent}, on {} series and {} samples from {} to {}",
                t.series, t.samples, t.from, t.until
            );
        }
        _ if version.name == BUNDLED => text += " the program's own",
        _ => {}
    }
    if let Some(problem) = &version.problem {
        text += &format!("; cannot be used: {problem}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_in(dir: &std::path::Path, action: Action) -> anyhow::Result<String> {
        let mut out = Vec::new();
        let args = ModelsArgs {
            data_dir: dir.to_owned(),
            action,
        };
        run(args, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn versions_are_listed_chosen_and_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            run_in(dir.path(), Action::List).unwrap(),
            "* bundled            the program's own\n"
        );
        assert!(
            run_in(dir.path(), Action::Revert).is_err(),
            "there is nothing before the bundled ones"
        );
        let unknown = Action::Use {
            version: "20260101-000000".to_owned(),
        };
        assert!(
            run_in(dir.path(), unknown)
                .unwrap_err()
                .to_string()
                .contains("halo models list")
        );

        let files = [
            "manifest.toml",
            "forest.safetensors",
            "autoencoder.safetensors",
            "calibration.toml",
        ]
        .map(|name| {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../models")
                .join(name);
            (name.to_owned(), std::fs::read(path).unwrap())
        });
        ModelStore::new(dir.path()).write("mine", &files).unwrap();
        let mine = Action::Use {
            version: "mine".to_owned(),
        };
        assert!(run_in(dir.path(), mine).unwrap().starts_with("mine is in use"));
        assert!(run_in(dir.path(), Action::List).unwrap().contains("* mine"));
        assert!(
            run_in(dir.path(), Action::Revert)
                .unwrap()
                .starts_with("bundled is in use")
        );
    }
}
