//! What people know of one incident.

use super::Notice;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wire::incident::Severity;
use wire::notify::{Decision, Stage};
use wire::{IncidentId, Timestamp};

/// Decisions kept of an incident; the first ones stay, the middle goes.
const MAX_DECISIONS: usize = 100;

/// One that came back so often within [`FLAPPING_MS`] is over only after [`FLAPPING_WAIT_MS`] of quiet.
const FLAPPING: usize = 3;
const FLAPPING_MS: i64 = 3600 * 1000;
const FLAPPING_WAIT_MS: i64 = 30 * 60_000;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The newest picture.
    pub notice: Notice,
    /// Since when it is open, by the wall clock.
    pub since: Timestamp,
    /// Channels with an open notification.
    pub channels: BTreeMap<String, Open>,
    /// When the first of them was told, of this opening.
    pub first: Option<Timestamp>,
    /// The worst severity that anybody was told of this opening.
    pub worst: Option<Severity>,
    /// Steps of escalation that were taken.
    pub escalated: usize,
    /// Since when it is over.
    pub over_since: Option<Timestamp>,
    /// A person put it off, and nobody was told since.
    #[serde(default)]
    pub put_off: bool,
    /// When it came back.
    pub relapses: Vec<Timestamp>,
    /// Oldest first.
    pub decisions: Vec<Decision>,
}

/// What a channel was told last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub severity: Severity,
    pub last: Timestamp,
    pub acknowledged: bool,
}

impl Told {
    pub(crate) fn new(notice: Notice, now: Timestamp) -> Self {
        Self {
            put_off: notice.snoozed_until.is_some(),
            notice,
            since: now,
            channels: BTreeMap::new(),
            first: None,
            worst: None,
            escalated: 0,
            over_since: None,
            relapses: Vec::new(),
            decisions: Vec::new(),
        }
    }

    pub(super) fn incident(&self) -> &IncidentId {
        &self.notice.incident
    }

    /// What it is called in the store, where the incident itself has the id.
    pub fn key(&self) -> String {
        format!("told-{}", self.notice.incident)
    }

    /// Takes a newer picture.
    pub(super) fn update(&mut self, notice: Notice, now: Timestamp) {
        match (self.notice.is_open(), notice.is_open()) {
            (true, false) => self.over_since = Some(now),
            (false, true) => {
                self.over_since = None;
                self.relapses.retain(|at| now.millis_since(*at) <= FLAPPING_MS);
                self.relapses.push(now);
                // People who were not told yet that it is over need not be told that it is not.
                if self.channels.is_empty() {
                    self.since = now;
                    self.first = None;
                    self.worst = None;
                    self.escalated = 0;
                }
            }
            _ => {}
        }
        // Once for each time that a person says so: the end of it stays written there.
        if notice.snoozed_until != self.notice.snoozed_until {
            self.put_off |= notice.snoozed_until.is_some();
        }
        self.notice = notice;
    }

    /// So long it must be over before that is told.
    pub(super) fn resolve_wait_ms(&self, usual_ms: i64, now: Timestamp) -> i64 {
        // A person's word counts at once, and what went into another incident is told of there.
        if self.notice.actor.is_some() || self.notice.merged_into.is_some() {
            return 0;
        }
        let recent = self.relapses.iter().filter(|at| now.millis_since(**at) <= FLAPPING_MS);
        if recent.count() >= FLAPPING {
            usual_ms.max(FLAPPING_WAIT_MS)
        } else {
            usual_ms
        }
    }

    /// Writes down a decision, unless it is what its stage decided last. Returns whether it is news.
    pub(super) fn note(&mut self, at: Timestamp, stage: Stage, passed: bool, text: String) -> bool {
        let last = self.decisions.iter().rev().find(|decision| decision.stage == stage);
        if last.is_some_and(|last| last.passed == passed && last.text == text) {
            return false;
        }
        if self.decisions.len() >= MAX_DECISIONS {
            self.decisions.remove(MAX_DECISIONS / 2);
        }
        self.decisions.push(Decision {
            at,
            stage,
            passed,
            text,
        });
        true
    }
}
