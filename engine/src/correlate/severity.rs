//! How bad an incident is: what users feel, not how far a number strayed.

use super::graph::CallGraph;
use super::kind::kind_of;
use std::collections::BTreeSet;
use wire::EntityId;
use wire::incident::{Member, Severity};
use wire::series::MetricClass;
use wire::topology::EntityKind;

/// A member with what the severity depends on.
#[derive(Debug)]
pub(super) struct Symptom<'a> {
    pub member: &'a Member,
    pub class: MetricClass,
}

/// Change relative to the expectation from which on errors and latency at the user's side are grave.
const GRAVE_ERRORS: f64 = 0.05;
const GRAVE_LATENCY: f64 = 1.0;

/// P1: errors and latency at the user's side, or grave errors there. P2: any errors there, grave latency, or errors where no
/// call graph tells who the user is. P3: other latency at the user's side; trouble inside on which the user's side depends.
/// P4: the rest.
pub(super) fn severity(graph: &CallGraph, symptoms: &[Symptom<'_>]) -> Severity {
    let entities: BTreeSet<&EntityId> = symptoms.iter().map(|s| &s.member.entity).collect();
    let facing = user_facing(graph, entities.iter().copied());
    let at_user = |class| {
        symptoms
            .iter()
            .filter(move |s| s.class == class)
            .filter(|s| facing.contains(&s.member.entity))
    };
    let errors = at_user(MetricClass::Errors).next().is_some();
    let latency = at_user(MetricClass::Latency).next().is_some();
    if errors && (latency || at_user(MetricClass::Errors).any(|s| change(s.member) >= GRAVE_ERRORS)) {
        return Severity::P1;
    }
    if errors || at_user(MetricClass::Latency).any(|s| change(s.member) >= GRAVE_LATENCY) {
        return Severity::P2;
    }
    if latency {
        return Severity::P3;
    }
    let any = |class| symptoms.iter().any(|s| s.class == class);
    let unmapped = !entities.iter().any(|e| graph.knows(e));
    if unmapped && any(MetricClass::Errors) {
        return Severity::P2;
    }
    let grave: BTreeSet<&EntityId> = symptoms
        .iter()
        .filter(|s| s.class != MetricClass::Traffic)
        .map(|s| &s.member.entity)
        .collect();
    let users_depend = || {
        grave
            .iter()
            .any(|e| graph.dependents(e).iter().any(|d| is_user_facing(graph, d)))
    };
    if any(MetricClass::Errors) || (unmapped && any(MetricClass::Latency)) || users_depend() {
        return Severity::P3;
    }
    Severity::P4
}

/// Those of `entities` that users meet directly.
pub(super) fn user_facing<'a>(
    graph: &CallGraph,
    entities: impl IntoIterator<Item = &'a EntityId>,
) -> BTreeSet<EntityId> {
    entities
        .into_iter()
        .filter(|e| is_user_facing(graph, e))
        .cloned()
        .collect()
}

/// Whether users meet this entity directly.
fn is_user_facing(graph: &CallGraph, entity: &EntityId) -> bool {
    graph.is_entry(entity) || kind_of(entity) == EntityKind::Client
}

/// Relative change from the expectation.
fn change(member: &Member) -> f64 {
    (member.observed - member.expected).abs() / member.expected.abs().max(1e-9)
}
