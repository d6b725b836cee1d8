//! `halo doctor`: is this machine ready, and if not, what to do.

use crate::auth::tokens::TokenFile;
use crate::http::console;
use clap::Args;
use engine::detect::device::Accelerator;
use engine::store::models::ModelStore;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `halo doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Data directory to check
    #[arg(long, env = "HALO_DATA_DIR", default_value = "halo-data")]
    data_dir: PathBuf,
    /// Address to check
    #[arg(long, default_value = "127.0.0.1:7700")]
    listen: SocketAddr,
}

/// Prints one line a check; exit code 1 if one failed.
pub(super) fn run(args: DoctorArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let checks = [
        (
            "version",
            Ok(format!("halo {}, wire {}", env!("CARGO_PKG_VERSION"), wire::VERSION)),
        ),
        ("data directory", writable(&args.data_dir)),
        ("address", free(args.listen)),
        (
            "tokens",
            TokenFile::open(&args.data_dir)
                .map(|t| t.entries().len().to_string())
                .map_err(|e| e.to_string()),
        ),
        ("models", models(&args.data_dir)),
        ("compute", Ok(Accelerator::choose().1)),
        ("console", console::built().map(str::to_owned).map_err(str::to_owned)),
    ];
    let mut failed = false;
    for (name, outcome) in checks {
        let (mark, text) = match outcome {
            Ok(text) => ("ok  ", text),
            Err(text) => {
                failed = true;
                ("FAIL", text)
            }
        };
        writeln!(out, "{mark} {name}: {text}")?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn models(data_dir: &Path) -> Result<String, String> {
    let current = ModelStore::new(data_dir).load_current().map_err(|e| e.to_string())?;
    if let Some(refused) = current.refused {
        return Err(format!(
            "{refused}; the bundled ones would be used, `halo models use` chooses others"
        ));
    }
    let each = current.models.describe();
    let names: Vec<String> = each.iter().map(|m| format!("{} {}", m.name, m.version)).collect();
    Ok(format!("whole: {}", names.join(", ")))
}

fn writable(dir: &Path) -> Result<String, String> {
    let probe = dir.join(".doctor");
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&probe, b"probe"))
        .and_then(|()| std::fs::remove_file(&probe))
        .map(|()| format!("writable: {}", dir.display()))
        .map_err(|error| format!("not writable: {error}: {}", dir.display()))
}

fn free(listen: SocketAddr) -> Result<String, String> {
    TcpListener::bind(listen)
        .map(|_| format!("free: {listen}"))
        .map_err(|error| {
            format!("cannot be listened on: {error}; is Halo running already? choose another with --listen: {listen}")
        })
}
