//! `halo backtest`, `halo forecast` and `halo bench`.

use crate::backtest::BacktestArgs;
use crate::bench::BenchArgs;
use crate::forecast::ForecastArgs;
use std::io::Write;
use std::process::ExitCode;

/// Runs the back-test and prints its summary; 2 and a message when it cannot, whatever the reason.
pub(super) fn run(args: &BacktestArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    finish(crate::backtest::run(args), out)
}

/// Forecasts and prints what was written; 2 and a message when it cannot, whatever the reason.
pub(super) fn forecast(args: &ForecastArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    finish(crate::forecast::run(args), out)
}

fn finish(summary: engine::Result<String>, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match summary {
        Ok(summary) => {
            out.write_all(summary.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            // Nothing is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "halo: {error}");
            Ok(ExitCode::from(2))
        }
    }
}

/// Measures and prints.
pub(super) fn bench(args: &BenchArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let report = crate::bench::run(args)?;
    if args.json {
        // Figures alone go to standard output: a program reads them.
        for note in &report.notes {
            let _ = writeln!(std::io::stderr(), "{note}");
        }
        out.write_all(report.json_lines().as_bytes())?;
    } else {
        out.write_all(report.table().as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
