//! Rules that the compiler cannot see: who may depend on whom, where time and IO are, what a file may hold.
//!
//! A rule is a sentence and a pure function over the tracked files; a finding prints the sentence, so nobody has to look
//! up why the build is red.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::shell;

mod boundary;
mod content;
mod placement;

/// A tracked file: its path from the root of the workspace, its size, and its text when it is text.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) size_bytes: u64,
    pub(crate) text: String,
    /// Compiled for tests alone: in a folder of tests, or declared under `#[cfg(test)]`.
    pub(crate) is_test: bool,
}

/// Where a rule is broken, and by what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path, with `:line` when one line is at fault.
    pub(crate) place: String,
    pub(crate) what: String,
}

/// One rule: its sentence, and the function that finds what breaks it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) sentence: &'static str,
    pub(crate) check: fn(&[Source]) -> Vec<Finding>,
}

/// Every rule, in the order in which they are reported.
const RULES: [&[Rule]; 3] = [boundary::RULES, placement::RULES, content::RULES];

/// Checks every rule over the tracked files.
///
/// # Errors
/// When any rule is broken, after printing each finding under the sentence of its rule.
pub(crate) fn run() -> Result<()> {
    let sources = tracked()?;
    let mut broken = 0;
    for rule in RULES.into_iter().flatten() {
        let mut findings = (rule.check)(&sources);
        findings.sort();
        println!(
            "tidy {} ... {}",
            rule.name,
            if findings.is_empty() { "ok" } else { "FAILED" }
        );
        if !findings.is_empty() {
            println!("  {}", rule.sentence);
        }
        for finding in &findings {
            println!("    {}: {}", finding.place, finding.what);
        }
        broken += usize::from(!findings.is_empty());
    }
    if broken > 0 {
        bail!(
            "{broken} of {} rules are broken",
            RULES.into_iter().map(<[Rule]>::len).sum::<usize>()
        );
    }
    Ok(())
}

/// How many rules there are: each counts as one check.
pub(crate) fn rule_count() -> usize {
    RULES.into_iter().map(<[Rule]>::len).sum()
}

/// The files git knows or would add: what a change brings counts before it is committed.
fn tracked() -> Result<Vec<Source>> {
    let listed =
        shell::read(shell::command("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))
            .context("could not list the files with git; run tidy inside a clone")?;
    let mut sources = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        let file = shell::root().join(path);
        // A tracked file that was deleted but not yet committed is gone already.
        let Ok(bytes) = fs::read(&file) else { continue };
        let size_bytes = bytes.len() as u64;
        sources.push(Source {
            path: path.to_owned(),
            size_bytes,
            text: String::from_utf8(bytes).unwrap_or_default(),
            is_test: false,
        });
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    mark_tests(&mut sources);
    Ok(sources)
}

/// Sets `is_test` where the path or the declaring module says so.
fn mark_tests(sources: &mut [Source]) {
    let mut declared = BTreeSet::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let folder = match source
            .path
            .strip_suffix("/lib.rs")
            .or_else(|| source.path.strip_suffix("/main.rs"))
        {
            Some(folder) => folder,
            None => source.path.trim_end_matches(".rs"),
        };
        let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            if let Some(name) = pair[1].strip_suffix(';').and_then(|line| line.rsplit_once("mod ")) {
                declared.insert(format!("{folder}/{}", name.1));
            }
        }
    }
    for source in sources {
        let in_folder = ["/tests/", "/benches/"]
            .iter()
            .any(|folder| source.path.contains(folder));
        source.is_test = in_folder || declared.iter().any(|module| source.is_under(&[module]));
    }
}

impl Source {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the path lies under any of the folders, or is the file of that name.
    pub(crate) fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            self.path.strip_prefix(place).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || rest.starts_with(".rs") || place.ends_with('/')
            })
        })
    }

    /// The lines of shipped Rust with their numbers: comments and unit tests left out.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().take(self.shipped_lines()).enumerate();
        numbered
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line))
    }

    /// How many lines stand before the unit tests, which are the last thing in a file of Rust.
    pub(crate) fn shipped_lines(&self) -> usize {
        if self.is_test {
            return 0;
        }
        let lines: Vec<&str> = self.text.lines().collect();
        // `#[cfg(test)]` on anything but a block of tests ends nothing.
        let tests = lines
            .windows(2)
            .position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].contains('{'));
        tests.unwrap_or(lines.len())
    }

    /// A finding at one line of this file.
    pub(crate) fn at(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            place: format!("{}:{line}", self.path),
            what: what.into(),
        }
    }

    /// A finding about this file as a whole.
    pub(crate) fn whole(&self, what: impl Into<String>) -> Finding {
        Finding {
            place: self.path.clone(),
            what: what.into(),
        }
    }
}

/// The lines of shipped Rust that hold any of the patterns.
pub(crate) fn code_with(source: &Source, patterns: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in source.code_lines() {
        if let Some(pattern) = patterns.iter().find(|pattern| line.contains(**pattern)) {
            findings.push(source.at(number, format!("`{pattern}`")));
        }
    }
    findings
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            size_bytes: text.len() as u64,
            text: text.to_owned(),
            is_test: false,
        }
    }

    /// Asserts that a rule finds exactly `places` in a workspace of these files.
    #[track_caller]
    pub(crate) fn check(rules: &[Rule], name: &str, files: &[(&str, &str)], places: &[&str]) {
        let rule = rules
            .iter()
            .find(|rule| rule.name == name)
            .unwrap_or_else(|| panic!("no rule `{name}`"));
        let mut sources: Vec<Source> = files.iter().map(|(path, text)| source(path, text)).collect();
        mark_tests(&mut sources);
        let found: Vec<String> = (rule.check)(&sources)
            .into_iter()
            .map(|finding| finding.place)
            .collect();
        assert_eq!(found, places, "{name}");
    }

    #[test]
    fn comments_and_unit_tests_are_not_shipped_code() {
        let file = source(
            "engine/src/a.rs",
            "a\n// b\n  /// c\nd\n#[cfg(test)]\nmod tests { e }\n",
        );
        assert_eq!(file.code_lines().collect::<Vec<_>>(), [(1, "a"), (4, "d")]);
    }

    #[test]
    fn a_module_declared_for_tests_is_no_shipped_code() {
        let mut files = [
            source("engine/src/a.rs", "#[cfg(test)]\nmod golden;\nfn shipped() {}"),
            source("engine/src/a/golden.rs", "x"),
            source("engine/src/lib.rs", "#[cfg(test)]\nmod check;"),
            source("engine/src/check.rs", "x"),
        ];
        mark_tests(&mut files);
        assert_eq!(files.each_ref().map(|file| file.is_test), [false, true, false, true]);
        assert_eq!(files[0].code_lines().last(), Some((3, "fn shipped() {}")));
    }

    #[test]
    fn a_place_is_a_folder_or_a_file_of_that_name() {
        for (path, inside) in [
            ("engine/src/act.rs", true),
            ("engine/src/act/http.rs", true),
            ("engine/src/action.rs", false),
        ] {
            assert_eq!(source(path, "").is_under(&["engine/src/act"]), inside, "{path}");
        }
    }

    #[test]
    fn every_rule_has_a_name_and_a_sentence_of_its_own() {
        let names: BTreeSet<&str> = RULES.into_iter().flatten().map(|rule| rule.name).collect();
        assert_eq!(names.len(), rule_count());
        assert!(RULES.into_iter().flatten().all(|rule| rule.sentence.ends_with('.')));
    }
}
