//! Policies in Rego v1, evaluated in this process by `regorus`.
//!
//! A policy module of package `halo` may define `allow` (a boolean), `deny` (a set of messages) and `reasons` (a set of
//! messages that say why it is allowed). A proposal is allowed if `allow` is exactly `true` and `deny` is empty; anything
//! undefined, of another type, or failing means denied.

use crate::error::{Error, Result};
use regorus::{Engine, Value};
use serde::Serialize;
use wire::proposal::{PolicyDecision, Risk};
use wire::series::MetricClass;
use wire::status::Role;

/// What a policy can see, as `input`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyInput {
    /// `propose` when a proposal is made, `approve` when a person agrees to it.
    pub stage: &'static str,
    pub playbook: String,
    pub risk: Risk,
    pub target: String,
    /// Class of the metric that points at the target.
    pub class: MetricClass,
    /// Probability that the target is the cause, 0..1.
    pub confidence: f32,
    /// Severity of the incident, `P1` to `P4`; null for a prediction.
    pub severity: Option<String>,
    /// A change of the target shortly before: its version.
    pub deploy: Option<String>,
    pub kill_switch: bool,
    /// Actions on the same target in the last hour.
    pub actions_last_hour: u64,
    /// Seconds since the last sample of the target.
    pub data_age_secs: f64,
    /// Who approves; null while it is only proposed.
    pub role: Option<Role>,
}

/// Compiled policies.
#[derive(Clone, Debug)]
pub struct PolicyEngine {
    engine: Engine,
    hash: String,
}

impl PolicyEngine {
    /// The policies that come with Halo.
    ///
    /// # Errors
    /// None in practice: they are compiled in and tested.
    pub fn bundled() -> Result<Self> {
        Self::new(&[(
            "remediation.rego",
            include_str!("../../../assets/policies/remediation.rego"),
        )])
    }

    /// Compiles modules, given by name and text.
    ///
    /// # Errors
    /// [`Error::Policy`] with the file and place of the first mistake.
    pub fn new(modules: &[(&str, &str)]) -> Result<Self> {
        let mut engine = Engine::new();
        let mut hasher = blake3::Hasher::new();
        for (name, text) in modules {
            engine
                .add_policy((*name).to_owned(), (*text).to_owned())
                .map_err(|e| Error::Policy(format!("{e:#}")))?;
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        Ok(Self {
            engine,
            hash: hasher.finalize().to_hex()[..16].to_owned(),
        })
    }

    /// Asks the policies. Never fails: what cannot be evaluated is denied, and says so.
    pub fn evaluate(&self, input: &PolicyInput) -> PolicyDecision {
        // A clone shares the compiled policies; evaluation needs it mutable.
        let mut engine = self.engine.clone();
        let json = serde_json::to_string(input).expect("plain data always serializes");
        let denied = |reason: String| PolicyDecision {
            allowed: false,
            reasons: vec![reason],
            policy_hash: self.hash.clone(),
        };
        if let Err(error) = engine.set_input_json(&json) {
            return denied(format!("denied: the input cannot be read: {error:#}"));
        }
        let allow = match engine.eval_rule("data.halo.allow".to_owned()) {
            Ok(value) => value,
            Err(error) => return denied(format!("denied: the policy failed: {error:#}")),
        };
        let denials = match engine.eval_rule("data.halo.deny".to_owned()) {
            Ok(value) => messages(&value),
            Err(error) => return denied(format!("denied: the policy failed: {error:#}")),
        };
        let allowed = allow == Value::Bool(true) && denials.is_empty();
        let mut reasons = denials;
        if allowed {
            reasons = engine
                .eval_rule("data.halo.reasons".to_owned())
                .map(|v| messages(&v))
                .unwrap_or_default();
        } else if reasons.is_empty() {
            reasons.push("denied: no rule allows it".to_owned());
        }
        PolicyDecision {
            allowed,
            reasons,
            policy_hash: self.hash.clone(),
        }
    }
}

/// The strings of a set or array, sorted; nothing for anything else.
fn messages(value: &Value) -> Vec<String> {
    let mut found: Vec<String> = match value {
        Value::Set(set) => set
            .iter()
            .filter_map(|v| v.as_string().ok().map(|s| s.to_string()))
            .collect(),
        Value::Array(array) => array
            .iter()
            .filter_map(|v| v.as_string().ok().map(|s| s.to_string()))
            .collect(),
        _ => Vec::new(),
    };
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> PolicyInput {
        PolicyInput {
            stage: "propose",
            playbook: "rollback-change".to_owned(),
            risk: Risk::Medium,
            target: "web".to_owned(),
            class: MetricClass::Latency,
            confidence: 0.8,
            severity: Some("P1".to_owned()),
            deploy: Some("v2".to_owned()),
            kill_switch: false,
            actions_last_hour: 0,
            data_age_secs: 5.0,
            role: None,
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut PolicyInput), allowed: bool, words: &str) {
        let mut input = input();
        change(&mut input);
        let decision = PolicyEngine::bundled().unwrap().evaluate(&input);
        assert_eq!(decision.allowed, allowed, "{decision:?}");
        assert!(decision.reasons.iter().any(|r| r.contains(words)), "{decision:?}");
    }

    #[test]
    fn the_bundled_policy_decides() {
        check(|_| {}, true, "P1");
        check(|i| i.kill_switch = true, false, "kill switch");
        check(|i| i.actions_last_hour = 3, false, "last hour");
        check(|i| i.confidence = 0.2, false, "confidence");
        check(|i| i.data_age_secs = 1e5, false, "stale");
        check(|i| i.severity = Some("P4".to_owned()), false, "no rule allows");
        check(
            |i| {
                i.stage = "approve";
                i.role = Some(Role::Viewer)
            },
            false,
            "viewer",
        );
        check(
            |i| {
                i.stage = "approve";
                i.role = Some(Role::Operator);
                i.risk = Risk::High
            },
            false,
            "admin",
        );
        check(
            |i| {
                i.stage = "approve";
                i.role = Some(Role::Admin);
                i.risk = Risk::High
            },
            true,
            "P1",
        );
    }

    #[test]
    fn undefined_and_failing_policies_deny() {
        for text in [
            "package halo\nimport rego.v1\nother := true\n",
            "package halo\nimport rego.v1\nallow := \"yes\"\n",
            "package halo\nimport rego.v1\nallow if input.missing.field > 3\n",
            "package halo\nimport rego.v1\nallow := true\nallow := false\n",
        ] {
            let decision = PolicyEngine::new(&[("p.rego", text)]).unwrap().evaluate(&input());
            assert!(
                !decision.allowed && !decision.reasons.is_empty(),
                "{text}: {decision:?}"
            );
        }
        assert!(matches!(
            PolicyEngine::new(&[("p.rego", "package halo\nallow if {")]),
            Err(Error::Policy(_))
        ));
    }
}
