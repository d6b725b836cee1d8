//! Playbooks: what can be done about a kind of trouble, as reviewed YAML.

use crate::error::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use wire::proposal::Risk;
use wire::series::MetricClass;
use wire::topology::EntityKind;

/// One playbook, checked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    pub name: String,
    /// Sentence with `{target}`.
    pub title: String,
    /// Team that answers for it.
    pub owner: String,
    pub risk: Risk,
    pub trigger: Trigger,
    pub steps: Vec<Step>,
    /// What should get better; shown before anybody agrees.
    pub expected_effect: String,
    /// How it is undone, as a sentence.
    pub inverse: String,
    /// The triggering metrics must be back in their band within this time, in the lane's own time.
    pub verify_within_secs: u64,
    /// Not proposed again for the same target for this long after it ran.
    pub cooldown_secs: u64,
    /// A proposal that nobody decides expires after this long.
    pub expires_secs: u64,
}

/// When a playbook fits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    pub on: TriggerKind,
    /// Classes of the metric that points at the target; empty: any.
    #[serde(default)]
    pub classes: Vec<MetricClass>,
    /// Kinds of target it can be done to; empty: any.
    #[serde(default)]
    pub kinds: Vec<EntityKind>,
    /// Only if the target was changed shortly before, or only if it was not.
    #[serde(default)]
    pub after_deploy: Option<bool>,
    #[serde(default)]
    pub min_confidence: f32,
}

/// What a playbook reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    Incident,
    Prediction,
}

/// One step: an HTTP request to the configured base address.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub summary: String,
    /// Path below the base address, starting with `/`.
    pub path: String,
    /// Fields of the JSON body; values may name `{target}`, `{incident}`, `{metric}` and `{deploy}`.
    pub body: BTreeMap<String, String>,
}

/// Words that may stand in braces.
const VARIABLES: &[&str] = &["target", "incident", "metric", "deploy"];

impl Playbook {
    /// The playbooks that come with Halo, in the order they are tried.
    ///
    /// # Errors
    /// None in practice: they are compiled in and tested.
    pub fn bundled() -> Result<Vec<Self>> {
        [
            (
                "rollback-change.yaml",
                include_str!("../../../assets/playbooks/rollback-change.yaml"),
            ),
            (
                "restart-service.yaml",
                include_str!("../../../assets/playbooks/restart-service.yaml"),
            ),
            (
                "scale-out.yaml",
                include_str!("../../../assets/playbooks/scale-out.yaml"),
            ),
        ]
        .into_iter()
        .map(|(file, text)| Self::parse(file, text))
        .collect()
    }

    /// Reads and checks a playbook.
    ///
    /// # Errors
    /// [`Error::Playbook`] with the line of the first mistake in the YAML, or every field that makes no sense.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let fail = |message: String| Error::Playbook {
            file: file.to_owned(),
            message,
        };
        let playbook: Self = serde_yaml_ng::from_str(text).map_err(|e| fail(e.to_string()))?;
        let problems = playbook.problems();
        if problems.is_empty() {
            Ok(playbook)
        } else {
            Err(fail(problems.join("; ")))
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (field, text) in [
            ("name", &self.name),
            ("title", &self.title),
            ("owner", &self.owner),
            ("inverse", &self.inverse),
            ("expected_effect", &self.expected_effect),
        ] {
            if text.trim().is_empty() {
                problems.push(format!("{field}: must not be empty"));
            }
        }
        if self.steps.is_empty() {
            problems.push("steps: there must be at least one".to_owned());
        }
        for (index, step) in self.steps.iter().enumerate() {
            if !step.path.starts_with('/') {
                problems.push(format!("steps[{index}].path: must start with /, got {:?}", step.path));
            }
            for text in step.body.values().chain([&step.summary]) {
                problems.extend(
                    unknown_variables(text).map(|v| format!("steps[{index}]: {{{v}}} is not one of {VARIABLES:?}")),
                );
            }
        }
        if !(0.0..=1.0).contains(&self.trigger.min_confidence) {
            problems.push(format!(
                "trigger.min_confidence: must be 0 to 1, got {}",
                self.trigger.min_confidence
            ));
        }
        if self.verify_within_secs == 0 || self.expires_secs == 0 {
            problems.push("verify_within_secs, expires_secs: must be above 0".to_owned());
        }
        problems
    }
}

fn unknown_variables(text: &str) -> impl Iterator<Item = &str> {
    text.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
        .filter(|name| !VARIABLES.contains(name))
}

/// Puts values into the braces.
pub(super) fn fill(text: &str, variables: &BTreeMap<&str, String>) -> String {
    // One pass: what a value brings with it is never read as a variable.
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        match after.split_once('}') {
            Some((name, behind)) if variables.contains_key(name) => {
                filled.push_str(&variables[name]);
                rest = behind;
            }
            _ => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_playbooks_are_sound() {
        let playbooks = Playbook::bundled().unwrap();
        assert_eq!(playbooks.len(), 3);
    }

    #[track_caller]
    fn check(change: impl FnOnce(String) -> String, words: &str) {
        let text = change(include_str!("../../../assets/playbooks/rollback-change.yaml").to_owned());
        let error = Playbook::parse("x.yaml", &text).unwrap_err().to_string();
        assert!(
            error.starts_with("playbook x.yaml: ") && error.contains(words),
            "{error}"
        );
    }

    #[test]
    fn mistakes_are_named() {
        check(|t| t.replace("risk: medium", "risk: huge"), "line");
        check(|t| t.replace("path: /", "path: "), "must start with /");
        check(|t| t.replace("{deploy}", "{version}"), "{version}");
        check(|t| t.replace("inverse:", "undo:"), "undo");
    }
}
