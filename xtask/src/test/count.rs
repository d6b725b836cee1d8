//! How many checks passed, failed and were skipped, read from what the test programs print.

use std::fmt;

use super::Outcome;

/// Counts of single checks; a skipped one carries its name and the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skips: Vec<(String, String)>,
}

impl Tally {
    /// Counts of that many passed and failed checks.
    pub(crate) fn of(passed: usize, failed: usize) -> Self {
        Self {
            passed,
            failed,
            skips: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skips.extend(other.skips.iter().cloned());
    }

    /// Makes the counts say at least what the outcome says: a step without tests of its own is one check, and a step that
    /// failed without a failing test (it did not compile, it ran out of time) is one failure.
    pub(crate) fn with_outcome(mut self, step: &str, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Passed if self == Self::default() => self.passed = 1,
            Outcome::Failed(_) if self.failed == 0 => self.failed = 1,
            Outcome::Skipped(reason) => self.skips.push((step.to_owned(), reason.clone())),
            Outcome::Passed | Outcome::Failed(_) => {}
        }
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed,
            self.skips.len()
        )
    }
}

/// Counts from the output of `cargo test`: the `test result:` line of each program, and the names of ignored tests.
pub(crate) fn from_cargo(output: &str) -> Tally {
    let mut tally = Tally::default();
    for line in output.lines().map(str::trim) {
        if let Some(result) = line.strip_prefix("test result:") {
            tally.passed += number_before(result, " passed");
            tally.failed += number_before(result, " failed");
        } else if let Some((name, reason)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... ignored"))
        {
            let reason = reason.trim_start_matches([',', ' ']);
            let reason = if reason.is_empty() {
                "ignored without a reason"
            } else {
                reason
            };
            tally.skips.push((name.to_owned(), reason.to_owned()));
        }
    }
    tally
}

/// Moves tests that passed because they could not run to the skipped ones: those whose output (`--show-output`) has a line
/// `skipped: REASON`.
pub(crate) fn with_announced_skips(mut tally: Tally, output: &str) -> Tally {
    let mut test = "a test";
    for line in output.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"))
        {
            test = name;
        } else if let Some(reason) = line.strip_prefix("skipped: ") {
            tally.passed = tally.passed.saturating_sub(1);
            tally.skips.push((test.to_owned(), reason.to_owned()));
        }
    }
    tally
}

/// Counts from the TAP output of `node --test`: its closing comments, and the reasons of skipped tests.
pub(crate) fn from_tap(output: &str) -> Tally {
    let mut tally = Tally::default();
    for line in output.lines().map(str::trim) {
        let count = |name: &str| {
            line.strip_prefix(name)
                .and_then(|rest| rest.trim().parse::<usize>().ok())
        };
        if let Some(passed) = count("# pass ") {
            tally.passed += passed;
        } else if let Some(failed) = count("# fail ").or_else(|| count("# cancelled ")) {
            tally.failed += failed;
        } else if let Some((test, reason)) = line.split_once(" # SKIP") {
            let name = test.split_once(" - ").map_or(test, |(_, name)| name);
            tally.skips.push((name.to_owned(), reason.trim().to_owned()));
        }
    }
    tally
}

/// The number right before `word`, zero when there is none.
fn number_before(text: &str, word: &str) -> usize {
    let before = text
        .split(word)
        .next()
        .filter(|before| before.len() < text.len())
        .unwrap_or_default();
    before
        .rsplit([' ', ';'])
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_counts_are_summed_over_programs() {
        let output = "test a ... ok\ntest b ... ignored, needs a GPU\n\
                      test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
                      test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let tally = from_cargo(output);
        assert_eq!((tally.passed, tally.failed), (15, 2));
        assert_eq!(tally.skips, [("b".to_owned(), "needs a GPU".to_owned())]);
    }

    #[test]
    fn a_test_that_says_it_was_skipped_has_not_passed() {
        let output = "test a::b ... ok\n\nsuccesses:\n\n---- a::b stdout ----\nskipped: no CUDA device: CPU\n\n\
                      test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        let tally = with_announced_skips(from_cargo(output), output);
        assert_eq!((tally.passed, tally.failed), (1, 0));
        assert_eq!(tally.skips, [("a::b".to_owned(), "no CUDA device: CPU".to_owned())]);
    }

    #[test]
    fn tap_counts_come_from_the_closing_comments() {
        let output =
            "ok 1 - opens\nok 2 - wall # SKIP no display\n# tests 3\n# pass 1\n# fail 1\n# cancelled 0\n# skipped 1\n";
        let tally = from_tap(output);
        assert_eq!((tally.passed, tally.failed), (1, 1));
        assert_eq!(tally.skips, [("wall".to_owned(), "no display".to_owned())]);
    }

    #[test]
    fn an_outcome_counts_where_no_test_did() {
        let failed = Outcome::Failed("does not compile".to_owned());
        assert_eq!(Tally::default().with_outcome("fmt", &Outcome::Passed), Tally::of(1, 0));
        assert_eq!(Tally::of(7, 0).with_outcome("unit", &failed), Tally::of(7, 1));
        assert_eq!(Tally::of(7, 2).with_outcome("unit", &failed), Tally::of(7, 2));
        let skipped = Tally::default().with_outcome("desktop", &Outcome::Skipped("no display".to_owned()));
        assert_eq!(skipped.skips.len(), 1);
    }
}
