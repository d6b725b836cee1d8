//! Trains the bundled models and writes them to the folder given: `cargo run --release -p engine --example train -- models`.
//! `halo train` does the same.

use engine::detect::train::{TrainConfig, train};
use std::io::Write;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().ok_or("give the folder to write to")?);
    let mut config = TrainConfig::default();
    if let Some(steps) = args.next() {
        config.steps = steps.parse()?;
    }
    let trained = train(&config, &mut |p| {
        let _ = writeln!(std::io::stderr(), "{p:?}");
        true
    })?;
    for (name, bytes) in &trained.files {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
