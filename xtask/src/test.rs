//! `cargo xtask test`: every check, one after the other, here exactly as in CI. A step that fails does not hide the next;
//! a step that cannot run is named with its reason.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::setup::SetupArgs;

mod count;
mod step;

use count::Tally;
use step::Step;
pub(crate) use step::real_faults;

#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
    /// Only this step, and what it needs built
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// What a step left for the report.
#[derive(Debug)]
struct Line {
    name: &'static str,
    outcome: Outcome,
    tally: Tally,
    took: Duration,
}

/// Runs the steps and prints the report, whose last line counts the checks.
///
/// # Errors
/// When a check failed, or `--only` names no step.
pub(crate) fn run(args: &TestArgs) -> Result<()> {
    let steps = chosen(args.only.as_deref())?;
    let mut lines = Vec::new();
    let mut outcomes: BTreeMap<&str, Outcome> = BTreeMap::new();
    for step in steps {
        println!("\n== {}: {}", step.name, step.what);
        let started = Instant::now();
        let (outcome, tally) = match unmet(step, &outcomes) {
            Some(reason) => (Outcome::Skipped(reason), Tally::default()),
            None => (step.run)(args, step.limit),
        };
        let tally = tally.with_outcome(step.name, &outcome);
        outcomes.insert(step.name, outcome.clone());
        lines.push(Line {
            name: step.name,
            outcome,
            tally,
            took: started.elapsed(),
        });
    }
    report(&lines)
}

/// The steps to run: all, or one and those it comes after.
fn chosen(only: Option<&str>) -> Result<Vec<&'static Step>> {
    let Some(name) = only else {
        return Ok(step::STEPS.iter().collect());
    };
    let Some(wanted) = step::STEPS.iter().find(|step| step.name == name) else {
        let names: Vec<&str> = step::STEPS.iter().map(|step| step.name).collect();
        bail!("no step `{name}`; the steps are {}", names.join(", "));
    };
    Ok(step::STEPS
        .iter()
        .filter(|step| step.name == name || wanted.after.contains(&step.name))
        .collect())
}

/// Why a step cannot run: one that it needs did not pass.
fn unmet(step: &Step, outcomes: &BTreeMap<&str, Outcome>) -> Option<String> {
    step.after.iter().find_map(|name| match outcomes.get(name) {
        Some(Outcome::Failed(_)) => Some(format!("the step `{name}` failed")),
        Some(Outcome::Skipped(reason)) => Some(format!("the step `{name}` was skipped: {reason}")),
        Some(Outcome::Passed) | None => None,
    })
}

fn report(lines: &[Line]) -> Result<()> {
    println!("\n== Report");
    let mut total = Tally::default();
    for Line {
        name,
        outcome,
        tally,
        took,
    } in lines
    {
        let (word, reason) = match outcome {
            Outcome::Passed => ("pass", String::new()),
            Outcome::Failed(reason) => ("FAIL", format!("  {reason}")),
            Outcome::Skipped(reason) => ("skip", format!("  {reason}")),
        };
        println!("{word}  {name:<12} {:>7.1} s  {tally}{reason}", took.as_secs_f64());
        total.add(tally);
    }
    for (name, reason) in &total.skips {
        println!("skipped: {name}: {reason}");
    }
    println!();
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed,
        total.failed,
        total.skips.len()
    );
    if total.failed > 0 {
        bail!("{} checks failed", total.failed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_brings_what_it_comes_after() {
        let names = |only| {
            chosen(only)
                .map(|steps| steps.iter().map(|step| step.name).collect::<Vec<_>>())
                .unwrap()
        };
        assert_eq!(names(Some("fmt")), ["fmt"]);
        assert_eq!(names(Some("browser")), ["setup", "web", "build", "browser"]);
        assert_eq!(names(None).len(), step::STEPS.len());
        assert!(chosen(Some("nothing")).unwrap_err().to_string().contains("browser"));
    }

    #[test]
    fn a_step_needs_only_steps_before_it() {
        for (index, step) in step::STEPS.iter().enumerate() {
            for name in step.after {
                assert!(
                    step::STEPS[..index].iter().any(|earlier| earlier.name == *name),
                    "{} after {name}",
                    step.name
                );
            }
        }
    }

    #[test]
    fn what_failed_before_is_the_reason_to_skip() {
        let browser = step::STEPS.iter().find(|step| step.name == "browser").unwrap();
        let outcomes = BTreeMap::from([("build", Outcome::Failed("x".to_owned()))]);
        assert_eq!(unmet(browser, &outcomes).unwrap(), "the step `build` failed");
        assert_eq!(unmet(browser, &BTreeMap::from([("build", Outcome::Passed)])), None);
    }
}
