//! `halo token`: access for people, senders and walls.

use crate::auth::role_name;
use crate::auth::tokens::TokenFile;
use clap::{Args, Subcommand, ValueEnum};
use engine::clock::{Clock as _, SystemClock};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use wire::status::Role;

/// Arguments of `halo token`.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Data directory of the server the tokens are for
    #[arg(long, env = "HALO_DATA_DIR", default_value = "halo-data", global = true)]
    data_dir: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token and print it, once
    Create {
        /// Whose it is; recorded with every order given with it
        #[arg(long)]
        name: String,
        #[arg(long, value_enum)]
        role: RoleArg,
    },
    /// Show names, roles and dates
    List,
    /// Make a token worthless, at once
    Revoke {
        #[arg(long)]
        name: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArg {
    /// Sees everything, changes nothing; for walls
    Viewer,
    /// Decides, and writes samples and deploys
    Operator,
    Admin,
}

pub(super) fn run(args: TokenArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let tokens = TokenFile::open(&args.data_dir)?;
    match args.action {
        Action::Create { name, role } => {
            let role = match role {
                RoleArg::Viewer => Role::Viewer,
                RoleArg::Operator => Role::Operator,
                RoleArg::Admin => Role::Admin,
            };
            writeln!(out, "{}", tokens.create(&name, role, SystemClock.now())?)?;
        }
        Action::List => {
            for entry in tokens.entries() {
                let created = jiff::Timestamp::from_millisecond(entry.created.as_millis())?;
                writeln!(out, "{:<24} {:<9} {created:.0}", entry.name, role_name(entry.role))?;
            }
        }
        Action::Revoke { name } => {
            tokens.revoke(&name)?;
            writeln!(out, "revoked {name}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
