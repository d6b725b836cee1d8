//! Parts that pages are made of: one component, one file.

mod badge;
mod chrome;
mod dialog;
mod feedback;
mod icon;
mod incident_row;
mod kill_switch;
mod palette;
mod prediction_card;
mod sparkline;
mod stat;

pub(crate) use badge::{
    Confidence, HealthBadge, HealthMark, IncidentStateBadge, ProposalStateBadge, RiskBadge, SeverityBadge,
    SeverityMark, health_class, health_word, severity_class, source_state,
};
pub(crate) use chrome::{Chrome, Overlays};
pub(crate) use feedback::{Empty, Failed, Skeleton, Waiting};
pub(crate) use icon::{Icon, Logo, Symbol};
pub(crate) use incident_row::IncidentRow;
pub(crate) use kill_switch::KillSwitchState;
pub(crate) use prediction_card::PredictionCard;
pub(crate) use sparkline::Sparkline;
pub(crate) use stat::Stat;
