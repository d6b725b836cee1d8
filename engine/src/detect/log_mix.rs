//! What the lines of logs say of an entity: whether it still writes what it used to write.
//!
//! Not how many lines there are is judged (that follows the traffic), but their mix, by tests of counts against the entity's own past:
//!
//! - **Shares**: of all lines of the entity, how many have this pattern. A pattern is a template (`features::Templates`), or the
//!   words that several templates begin with: a place in the code. A pattern never seen before is one whose share was zero.
//! - **Invariants**: two patterns that come together for every request, in a ratio that hardly varies (Lou et al., *Mining
//!   Invariants from Console Logs for System Problem Detection*, USENIX ATC 2010). Half of the second missing is seen after a few
//!   requests, long before its share of all lines tells.
//!
//! The statistic is the log-likelihood ratio of two samples (Dunning 1993), divided by the dispersion that the counts have shown:
//! lines come in bursts, and a share that follows what users buy must not alert. An invariant's dispersion is far below that of
//! independent counts, which is what makes it sharp. As many patterns as an entity has are as many chances to be wrong, so what
//! is needed rises with their number.
//!
//! Memory is bounded: at most [`MAX_ENTITIES`] entities of [`MAX_PATTERNS`] patterns; what comes then is counted among all lines only.

mod counts;
mod past;

use counts::Cell;
use past::{PAIRED, Past};
use std::collections::{BTreeMap, VecDeque};
use wire::{EntityId, Timestamp};

/// What is counted of lines: a template, or the words that templates begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    Template(u32),
    Head(u32),
}

/// Entities whose lines are judged, at most.
pub const MAX_ENTITIES: usize = 10_000;
/// Patterns that are told apart of one entity, at most.
pub const MAX_PATTERNS: usize = 256;

/// The shortest time that is judged; a step of the metrics if that is longer.
const LEAST_WINDOW_MS: i64 = 60_000;
/// A window is counted in so many cells, and so many windows are judged together.
const CELLS: i64 = 6;
const WINDOWS: i64 = 3;
/// From here on a finding is evidence, and an anomaly: in units of a chi-squared statistic with one degree of freedom, twice the
/// logarithm of the number of tests taken off. 20 happens once in 130,000 judgements.
const EVIDENCE: f64 = 9.0;
const ANOMALY: f64 = 20.0;
/// What has been watched for less than a day has not shown what a day brings.
const YOUNG: f64 = 3.0;
const DAY_MS: i64 = 86_400_000;
/// More lines that tell of errors are likelier to mean something.
const ERRORS: f64 = 4.0;
/// What has been so for this long is what is usual now.
const USUAL_AFTER_MS: i64 = 3_600_000;

/// How the lines of an entity differ from what they were.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub entity: EntityId,
    pub pattern: Pattern,
    /// Of an invariant, the pattern that the share is measured against; of a share, `None`: against all lines.
    pub beside: Option<Pattern>,
    /// Share of the lines, 0..=1, and what it was in the past.
    pub share: f64,
    pub usual: f64,
    /// Twice the logarithm of how much likelier this is with another share than with the usual one, > 0.
    pub weight: f64,
    /// 0..1; 0.7 and more is an anomaly where what is usual is trusted.
    pub score: f32,
    pub anomaly: bool,
    /// More lines than usual that tell of errors, or what always follows does not: something fails.
    pub fails: bool,
    /// How well the past is known, 0..1.
    pub confidence: f32,
}

/// The lines of all entities, counted.
#[derive(Debug)]
pub struct LogMix {
    cell_ms: i64,
    trusted_after_ms: i64,
    entities: BTreeMap<EntityId, OfEntity>,
    /// Lines of entities beyond [`MAX_ENTITIES`].
    left_out: u64,
}

#[derive(Debug, Default)]
struct OfEntity {
    places: BTreeMap<Pattern, usize>,
    /// By place, and whether lines of it tell of errors.
    patterns: Vec<(Pattern, bool)>,
    /// The places of the templates that take part in invariants, ascending.
    paired: Vec<usize>,
    /// Oldest first, ascending by number; what is older than a window is in `past` already.
    cells: VecDeque<Cell>,
    past: Past,
    first: Option<Timestamp>,
    /// Since when it has been anomalous without a break, and when last.
    odd: Option<(Timestamp, Timestamp)>,
}

impl LogMix {
    /// Nothing counted yet. `step_ms`: how often [`Self::judge`] will be asked. `trusted_after_ms`: for so long what an entity writes is
    /// not known well enough for more than errors to be an anomaly.
    pub fn new(step_ms: i64, trusted_after_ms: i64) -> Self {
        Self {
            trusted_after_ms,
            cell_ms: step_ms.max(LEAST_WINDOW_MS) / CELLS,
            entities: BTreeMap::new(),
            left_out: 0,
        }
    }

    /// The entities that have written lines.
    pub fn entities(&self) -> impl Iterator<Item = &EntityId> {
        self.entities.keys()
    }

    /// Counts a line of `entity`. Lines may come late or out of order by up to three windows; what is older is not counted.
    pub fn count(&mut self, entity: &EntityId, at: Timestamp, template: u32, head: Option<u32>, is_error: bool) {
        if !self.entities.contains_key(entity) {
            if self.entities.len() >= MAX_ENTITIES {
                self.left_out += 1;
                return;
            }
            self.entities.insert(entity.clone(), OfEntity::default());
        }
        let Some(own) = self.entities.get_mut(entity) else {
            return;
        };
        own.first = Some(own.first.map_or(at, |first| first.min(at)));
        let number = at.as_millis().div_euclid(self.cell_ms);
        let patterns = [Some(Pattern::Template(template)), head.map(Pattern::Head)];
        let places = patterns.map(|pattern| own.place(pattern?, is_error));
        let Some(cell) = own.cell(number) else {
            self.left_out += 1;
            return;
        };
        cell.lines += 1;
        for place in places.into_iter().flatten() {
            cell.add(place);
        }
    }

    /// Lines that were not counted: of too many entities, or too late.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Templates became one: what was counted of each counts for what `resolve` says it is now.
    pub fn merge(&mut self, resolve: impl Fn(u32) -> u32) {
        for own in self.entities.values_mut() {
            for from in 0..own.patterns.len() {
                let (Pattern::Template(id), is_error) = own.patterns[from] else {
                    continue;
                };
                let now = resolve(id);
                // Without room for the other it stays what it was.
                if now == id {
                    continue;
                }
                if let Some(into) = own.place(Pattern::Template(now), is_error).filter(|into| *into != from) {
                    own.past.merge(from, into, &own.paired);
                    for cell in &mut own.cells {
                        cell.move_count(from, into);
                    }
                }
            }
        }
    }

    /// What is strange at `now`, at most one finding an entity: the one that is least likely chance. Then the past grows by what
    /// was usual, of the entities that may learn now. Times must not go back.
    pub fn judge(&mut self, now: Timestamp, mut may_learn: impl FnMut(&EntityId) -> bool) -> Vec<Finding> {
        let cell_ms = self.cell_ms;
        let newest = now.as_millis().div_euclid(cell_ms);
        let mut found = Vec::new();
        for (entity, own) in &mut self.entities {
            let finding = own.judge(entity, now, newest, self.trusted_after_ms);
            let is_odd = finding.as_ref().is_some_and(|finding| finding.anomaly);
            own.odd = match (is_odd, own.odd) {
                (true, Some((since, _))) => Some((since, now)),
                (true, None) => Some((now, now)),
                // What was strange a moment ago and has too few lines now is not usual yet.
                (false, Some((since, last))) if now.millis_since(last) <= WINDOWS * CELLS * cell_ms => {
                    Some((since, last))
                }
                (false, _) => None,
            };
            let masked = own
                .odd
                .is_some_and(|(since, _)| now.millis_since(since) < USUAL_AFTER_MS);
            own.learn_until(newest - CELLS, masked || !may_learn(entity), cell_ms);
            found.extend(finding);
        }
        found
    }

    /// Takes everything counted so far for usual: history.
    pub fn learn(&mut self) {
        for own in self.entities.values_mut() {
            own.learn_until(i64::MAX, false, self.cell_ms);
        }
    }
}

impl OfEntity {
    fn place(&mut self, pattern: Pattern, is_error: bool) -> Option<usize> {
        if let Some(place) = self.places.get(&pattern) {
            return Some(*place);
        }
        let place = self.patterns.len();
        (place < MAX_PATTERNS).then(|| {
            self.places.insert(pattern, place);
            self.patterns.push((pattern, is_error));
            if matches!(pattern, Pattern::Template(_)) && self.paired.len() < PAIRED {
                self.paired.push(place);
            }
            place
        })
    }

    /// The cell with a number, made if it may still be; the newest usually.
    fn cell(&mut self, number: i64) -> Option<&mut Cell> {
        let end = self.cells.partition_point(|cell| cell.number < number);
        let is_there = self.cells.get(end).is_some_and(|cell| cell.number == number);
        if !is_there {
            let newest = self.cells.back().map_or(number, |cell| cell.number);
            if number < newest - WINDOWS * CELLS {
                return None;
            }
            self.cells.insert(end, Cell::new(number));
        }
        self.cells.get_mut(end)
    }

    fn judge(&self, entity: &EntityId, now: Timestamp, newest: i64, trusted_after_ms: i64) -> Option<Finding> {
        let age = self.first.map_or(0, |first| now.millis_since(first));
        let young = if age < DAY_MS { YOUNG } else { 0.0 };
        let chances = 2.0 * (self.patterns.len().max(1) as f64).ln();
        let mut best: Option<(f64, Finding)> = None;
        for windows in [1, WINDOWS] {
            let mut seen = Cell::new(newest);
            for cell in self.cells.iter().rev() {
                if cell.number > newest {
                    continue;
                }
                if cell.number <= newest - windows * CELLS {
                    break;
                }
                seen.merge(cell);
            }
            for odd in self.past.odd(&seen, &self.paired) {
                let (pattern, is_error) = self.patterns[odd.place];
                let errors = is_error && odd.share > odd.usual;
                let sure = odd.statistic - chances - young + if errors { ERRORS } else { 0.0 };
                let anomaly = sure >= ANOMALY && (errors || age >= trusted_after_ms);
                let is_better = |(found, most): (bool, f64)| (anomaly, sure) > (found, most);
                if sure < EVIDENCE
                    || !best
                        .as_ref()
                        .is_none_or(|(most, found)| is_better((found.anomaly, *most)))
                {
                    continue;
                }
                let finding = Finding {
                    weight: odd.statistic,
                    entity: entity.clone(),
                    pattern,
                    beside: odd.beside.map(|place| self.patterns[place].0),
                    share: odd.share,
                    usual: odd.usual,
                    score: score(sure),
                    anomaly,
                    fails: errors || odd.beside.is_some(),
                    confidence: (age as f64 / DAY_MS as f64).sqrt().min(1.0) as f32,
                };
                best = Some((sure, finding));
            }
        }
        best.map(|(_, finding)| finding)
    }

    /// Lets all cells up to number `until` become the past, or be forgotten if they are `masked`; and keeps what is judged still.
    fn learn_until(&mut self, until: i64, masked: bool, cell_ms: i64) {
        for cell in &mut self.cells {
            if cell.number > until {
                break;
            }
            if !std::mem::replace(&mut cell.learnt, true) && !masked {
                self.past.learn(cell, &self.paired, DAY_MS / cell_ms);
            }
        }
        let kept = until.saturating_sub((WINDOWS - 1) * CELLS);
        while self.cells.front().is_some_and(|cell| cell.number <= kept) {
            self.cells.pop_front();
        }
    }
}

/// 0.5 where evidence begins, 0.7 where an anomaly does, 0.99 at twice that.
fn score(sure: f64) -> f32 {
    let score = if sure < ANOMALY {
        0.5 + 0.2 * (sure - EVIDENCE) / (ANOMALY - EVIDENCE)
    } else {
        0.7 + 0.29 * ((sure - ANOMALY) / ANOMALY).min(1.03)
    };
    score as f32
}

#[cfg(test)]
mod tests;
