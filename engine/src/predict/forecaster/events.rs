//! What is known beforehand: holidays, sales, batches, maintenance.

use wire::Timestamp;

/// Values within an event that its effect is made of, at least.
const LEAST: usize = 3;
/// Of the distances from the effect, the share that lies within its spread.
const WITHIN: f64 = 0.8;

/// A span in which something unusual is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub from: Timestamp,
    /// Not part of it.
    pub until: Timestamp,
    /// Events of one kind do the same to a series.
    pub kind: u32,
}

/// What an event adds, in the scale that the series is forecast in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Effect {
    pub(super) shift: f64,
    /// What it adds to the uncertainty, either way.
    pub(super) spread: f64,
}

/// The events of one series, and what each kind has done to it so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    /// In order of their start.
    events: Vec<Event>,
    /// Kinds that have happened.
    known: Vec<(u32, Effect)>,
    /// Deviations from what was expected, by kind.
    seen: Vec<(u32, Vec<f64>)>,
}

impl Effects {
    pub(super) fn new(events: &[Event]) -> Self {
        let mut events = events.to_vec();
        events.sort_by_key(|event| (event.from, event.until, event.kind));
        Self {
            events,
            ..Self::default()
        }
    }

    /// The event that `at` lies in.
    fn event(&self, at: i64) -> Option<&Event> {
        self.events
            .iter()
            .take_while(|event| event.from.as_millis() <= at)
            .find(|event| at < event.until.as_millis())
    }

    /// What is added at an instant within an event; nothing while none of its kind has happened. `None` outside of events.
    pub(super) fn at(&self, at: i64) -> Option<Effect> {
        let event = self.event(at)?;
        let known = self.known.iter().find(|(kind, _)| *kind == event.kind);
        Some(known.map_or(Effect::default(), |(_, effect)| *effect))
    }

    /// Takes in how far a value within an event was from what would have been expected without it. `false` outside of events.
    pub(super) fn take(&mut self, at: i64, deviation: impl FnOnce() -> f64) -> bool {
        let Some(kind) = self.event(at).map(|event| event.kind) else {
            return false;
        };
        match self.seen.iter_mut().find(|(seen, _)| *seen == kind) {
            Some((_, deviations)) => deviations.push(deviation()),
            None => self.seen.push((kind, vec![deviation()])),
        }
        true
    }

    /// Makes effects of what was taken in: the median, and how far from it most were.
    pub(super) fn learn(&mut self) {
        for (kind, mut deviations) in std::mem::take(&mut self.seen) {
            if deviations.len() < LEAST {
                continue;
            }
            let n = deviations.len();
            deviations.sort_by(f64::total_cmp);
            let shift = deviations[n / 2];
            let mut apart: Vec<f64> = deviations.iter().map(|deviation| (deviation - shift).abs()).collect();
            apart.sort_by(f64::total_cmp);
            let spread = apart[((WITHIN * n as f64) as usize).min(n - 1)];
            self.known.push((kind, Effect { shift, spread }));
        }
    }
}
