//! Status as colour, shape and word together.

use crate::format;
use leptos::prelude::*;
use wire::incident::{IncidentState, Severity};
use wire::proposal::{ProposalState, Risk};
use wire::series::Health;
use wire::status::SourceState;

/// `p1` … `p4`: suffix of the severity classes and tokens.
pub(crate) fn severity_class(severity: Severity) -> &'static str {
    match severity {
        Severity::P1 => "p1",
        Severity::P2 => "p2",
        Severity::P3 => "p3",
        Severity::P4 => "p4",
    }
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::P1 => "Critical",
        Severity::P2 => "High",
        Severity::P3 => "Medium",
        Severity::P4 => "Low",
    }
}

/// The shape of a severity: octagon, triangle, diamond, circle.
#[component]
pub(crate) fn SeverityMark(severity: Severity) -> impl IntoView {
    let shape = match severity {
        Severity::P1 => "M5 1h6l4 4v6l-4 4H5l-4-4V5z",
        Severity::P2 => "M8 1.5 15.5 14.5H.5z",
        Severity::P3 => "M8 .8 15.2 8 8 15.2.8 8z",
        Severity::P4 => "M8 14.5A6.5 6.5 0 1 0 8 1.5a6.5 6.5 0 0 0 0 13z",
    };
    view! {
        <svg class=format!("mark mark--{}", severity_class(severity)) viewBox="0 0 16 16" aria-hidden="true">
            <path d=shape />
        </svg>
    }
}

/// Shape, code and word of a severity.
#[component]
pub(crate) fn SeverityBadge(severity: Severity) -> impl IntoView {
    view! {
        <span class=format!("badge badge--{}", severity_class(severity)) data-severity=severity_class(severity)>
            <SeverityMark severity />
            {severity_class(severity).to_uppercase()}
            <span class="badge__word">{severity_word(severity)}</span>
        </span>
    }
}

/// `ok`, `watch` …: suffix of the health classes and tokens.
pub(crate) fn health_class(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Ok => "ok",
        Health::Watch => "watch",
        Health::Anomalous => "anomalous",
        Health::Silent => "silent",
    }
}

/// The word for a health.
pub(crate) fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "Learning",
        Health::Ok => "Healthy",
        Health::Watch => "Watch",
        Health::Anomalous => "Anomalous",
        Health::Silent => "Silent",
    }
}

/// The shape of a health: tick in a disc, triangle, diamond, broken ring, ring.
#[component]
pub(crate) fn HealthMark(health: Health) -> impl IntoView {
    let class = format!("mark mark--{}", health_class(health));
    match health {
        Health::Ok => view! {
            <svg class=class viewBox="0 0 16 16" aria-hidden="true">
                <circle cx="8" cy="8" r="6.5" />
                <path class="mark__cut" d="M5 8.2 7.2 10.4 11 5.8" />
            </svg>
        }
        .into_any(),
        Health::Watch => view! {
            <svg class=class viewBox="0 0 16 16" aria-hidden="true"><path d="M8 1.5 15.5 14.5H.5z" /></svg>
        }
        .into_any(),
        Health::Anomalous => view! {
            <svg class=class viewBox="0 0 16 16" aria-hidden="true"><path d="M8 .8 15.2 8 8 15.2.8 8z" /></svg>
        }
        .into_any(),
        Health::Silent => view! {
            <svg class=format!("{class} mark--hollow") viewBox="0 0 16 16" aria-hidden="true">
                <circle cx="8" cy="8" r="5.5" stroke-dasharray="3 2.7" />
                <path d="M4 12 12 4" />
            </svg>
        }
        .into_any(),
        Health::Unknown => view! {
            <svg class=format!("{class} mark--hollow") viewBox="0 0 16 16" aria-hidden="true">
                <circle cx="8" cy="8" r="5.5" />
            </svg>
        }
        .into_any(),
    }
}

/// Shape and word of a health.
#[component]
pub(crate) fn HealthBadge(health: Health) -> impl IntoView {
    view! {
        <span class=format!("badge badge--{}", health_class(health)) data-health=health_class(health)>
            <HealthMark health />
            {health_word(health)}
        </span>
    }
}

/// Where an incident stands.
#[component]
pub(crate) fn IncidentStateBadge(state: IncidentState) -> impl IntoView {
    let (class, word) = match state {
        IncidentState::Open => ("open", "Open"),
        IncidentState::Acknowledged => ("acknowledged", "Acknowledged"),
        IncidentState::Mitigated => ("mitigated", "Mitigated"),
        IncidentState::Resolved => ("resolved", "Resolved"),
    };
    view! { <span class=format!("tag tag--{class}") data-state=class>{word}</span> }
}

/// How much harm a wrong action could do: one to three bars and a word.
#[component]
pub(crate) fn RiskBadge(risk: Risk) -> impl IntoView {
    let (class, word, bars) = match risk {
        Risk::Low => ("low", "Low risk", 1),
        Risk::Medium => ("medium", "Medium risk", 2),
        Risk::High => ("high", "High risk", 3),
    };
    view! {
        <span class=format!("risk risk--{class}")>
            <span class="risk__bars" aria-hidden="true">
                {(1..=3).map(|bar| view! { <i class:is-on=bar <= bars></i> }).collect_view()}
            </span>
            {word}
        </span>
    }
}

/// A probability as a short bar and its figure.
#[component]
pub(crate) fn Confidence(value: f32, #[prop(default = "confidence")] label: &'static str) -> impl IntoView {
    let value = f64::from(value.clamp(0.0, 1.0));
    view! {
        <span class="confidence">
            <span class="confidence__bar" aria-hidden="true">
                <i style:width=format!("{:.0}%", value * 100.0)></i>
            </span>
            <span class="num">{format::percent(value)}</span>
            <span class="confidence__label">{label}</span>
        </span>
    }
}

/// Class and word for the state of a source.
pub(crate) fn source_state(state: SourceState) -> (&'static str, &'static str) {
    match state {
        SourceState::Waiting => ("waiting", "Waiting"),
        SourceState::Live => ("live", "Live"),
        SourceState::Stale => ("stale", "Stale"),
        SourceState::Finished => ("finished", "Finished"),
    }
}

/// Class and word for the state of a proposal.
fn proposal_state(state: &ProposalState) -> (&'static str, &'static str) {
    match state {
        ProposalState::Pending => ("pending", "Waiting for you"),
        ProposalState::Denied => ("denied", "Denied by policy"),
        ProposalState::Approved { .. } => ("approved", "Approved"),
        ProposalState::Rejected { .. } => ("rejected", "Rejected"),
        ProposalState::Running { .. } => ("running", "Running"),
        ProposalState::Succeeded { .. } => ("succeeded", "Succeeded"),
        ProposalState::Failed { .. } => ("failed", "Failed"),
        ProposalState::Expired { .. } => ("expired", "Expired"),
    }
}

/// Where a proposal stands.
#[component]
pub(crate) fn ProposalStateBadge(state: ProposalState) -> impl IntoView {
    let (class, word) = proposal_state(&state);
    view! { <span class=format!("tag tag--{class}") data-testid="proposal-state" data-state=class>{word}</span> }
}
