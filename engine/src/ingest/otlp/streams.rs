//! What must be remembered between requests: totals of those who send increments, and since when the others count.
//!
//! - An increment is added to the total of its series, which is what is stored and judged. The total begins at 0 with the
//!   first increment seen, also after a restart of Halo, which for everything that follows is a counter that started over.
//! - A total whose start moved on has started over, also where it is already above the last value and nobody could tell; then a
//!   0 is put at the start. Prometheus calls that a zero sample for the created timestamp. All members of a histogram get
//!   theirs, as the engine compares whole scrapes.
//!
//! In two steps, so that what is refused can be sent again: [`Streams::plan`] says what the samples are, [`Streams::commit`] remembers
//! once they are durable. Increments of one series must be planned and committed in turn, for which callers hold a lock.
//!
//! Some 40 bytes a series; O(1) a sample.

use super::metrics::Metrics;
use crate::ingest::{IngestBatch, Refusals, RejectReason};
use crate::series::Sample;
use std::collections::{BTreeMap, HashMap};
use wire::{SeriesId, Timestamp};

/// When there is no room, series that were silent for so long are forgotten.
const IDLE_MS: i64 = 3600 * 1000;

/// The last that was heard of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stream {
    start: Timestamp,
    at: Timestamp,
    /// The total.
    value: f64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Streams {
    known: HashMap<SeriesId, Stream>,
    max: usize,
    /// When idle series were last looked for, as time is told by samples.
    swept: Timestamp,
}

/// What to remember once the samples of a request are durable.
#[derive(Clone, Debug, Default)]
pub struct Plan(BTreeMap<SeriesId, Stream>);

impl Streams {
    /// Remembers at most `max` series.
    pub fn new(max: usize) -> Self {
        Self {
            known: HashMap::new(),
            max,
            swept: Timestamp::default(),
        }
    }

    /// Makes samples of everything in a request.
    pub fn plan(&self, metrics: Metrics) -> (IngestBatch, Plan) {
        let Metrics {
            mut batch,
            deltas,
            started,
        } = metrics;
        let mut plan = Plan::default();
        let mut refused = Refusals::default();
        let mut refuse = |reason, series: SeriesId, problem: &str| {
            refused.add(reason, 1, || format!("series {series}: {problem}"));
        };
        let mut has_zeros = false;
        for found in started {
            let sample = found.sample;
            let before = plan.0.get(&sample.series).or_else(|| self.known.get(&sample.series));
            if let Some(before) = before
                && found.start > before.start
                && found.start > before.at
                && found.start < sample.at
            {
                has_zeros = true;
                batch.samples.push(Sample {
                    series: sample.series,
                    at: found.start,
                    value: 0.0,
                });
            }
            let is_news = before.is_none_or(|before| before.at < sample.at);
            if is_news && (before.is_some() || self.has_room(&plan)) {
                let stream = Stream {
                    start: found.start,
                    at: sample.at,
                    value: sample.value,
                };
                plan.0.insert(sample.series, stream);
            }
            batch.samples.push(sample);
        }
        for delta in deltas {
            let before = plan.0.get(&delta.series).or_else(|| self.known.get(&delta.series));
            let (start, total) = match before {
                Some(before) if delta.at == before.at => {
                    refuse(
                        RejectReason::Duplicate,
                        delta.series,
                        "this increment was counted before",
                    );
                    continue;
                }
                Some(before) if delta.at < before.at => {
                    refuse(
                        RejectReason::TooOld,
                        delta.series,
                        "the increment is older than the last one",
                    );
                    continue;
                }
                Some(before) => (before.start, before.value),
                None if self.has_room(&plan) => (delta.start, 0.0),
                None => {
                    let problem = "there is no room for the totals of more series that send increments";
                    refuse(RejectReason::TooManySeries, delta.series, problem);
                    continue;
                }
            };
            let value = total + delta.increase;
            if !value.is_finite() {
                refuse(
                    RejectReason::NotANumber,
                    delta.series,
                    "the total is no longer a number",
                );
                continue;
            }
            let stream = Stream {
                start,
                at: delta.at,
                value,
            };
            plan.0.insert(delta.series, stream);
            batch.samples.push(Sample {
                series: delta.series,
                at: delta.at,
                value,
            });
        }
        if has_zeros {
            // A 0 may lie between two points of the same series.
            batch.samples.sort_by_key(|sample| sample.at);
        }
        batch.rejections.extend(refused.into_rejections());
        (batch, plan)
    }

    /// Remembers what is durable now.
    pub fn commit(&mut self, plan: Plan) {
        let newest = plan.0.values().map(|stream| stream.at).max().unwrap_or_default();
        // All of them are looked at, so not at every request.
        if self.known.len() >= self.max && newest.millis_since(self.swept) > IDLE_MS / 4 {
            self.swept = newest;
            self.known.retain(|_, stream| newest.millis_since(stream.at) < IDLE_MS);
        }
        self.known.extend(plan.0);
    }

    fn has_room(&self, plan: &Plan) -> bool {
        self.known.len() + plan.0.len() < self.max
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::{Delta, Started};
    use super::*;

    const ID: SeriesId = SeriesId(7);

    fn totals(points: &[(i64, i64, f64)]) -> Metrics {
        let started = points.iter().map(|&(start, at, value)| Started {
            start: Timestamp(start),
            sample: Sample {
                series: ID,
                at: Timestamp(at),
                value,
            },
        });
        Metrics {
            started: started.collect(),
            ..Metrics::default()
        }
    }

    fn increments(points: &[(i64, i64, f64)]) -> Metrics {
        let deltas = points.iter().map(|&(start, at, increase)| Delta {
            series: ID,
            start: Timestamp(start),
            at: Timestamp(at),
            increase,
        });
        Metrics {
            deltas: deltas.collect(),
            ..Metrics::default()
        }
    }

    fn samples(batch: &IngestBatch) -> Vec<(i64, f64)> {
        batch.samples.iter().map(|s| (s.at.0, s.value)).collect()
    }

    #[test]
    fn increments_become_a_total_once() {
        let mut streams = Streams::new(10);
        let (batch, plan) = streams.plan(increments(&[(0, 10, 2.0), (10, 20, 3.0)]));
        assert_eq!(samples(&batch), [(10, 2.0), (20, 5.0)]);
        // Not durable: it comes again, and nothing was counted.
        let (again, _) = streams.plan(increments(&[(0, 10, 2.0), (10, 20, 3.0)]));
        assert_eq!(samples(&again), samples(&batch));
        streams.commit(plan);
        // Durable, but the answer was lost: it comes again and is known.
        let (retried, plan) = streams.plan(increments(&[(10, 20, 3.0), (20, 30, 1.0)]));
        assert_eq!(samples(&retried), [(30, 6.0)]);
        assert_eq!(retried.rejections[0].reason, RejectReason::Duplicate);
        streams.commit(plan);
        let (late, _) = streams.plan(increments(&[(0, 10, 2.0)]));
        assert_eq!(
            (samples(&late).len(), late.rejections[0].reason),
            (0, RejectReason::TooOld)
        );
    }

    #[test]
    fn a_start_that_moved_on_is_a_zero() {
        let mut streams = Streams::new(10);
        let mut send = |points: &[(i64, i64, f64)]| {
            let (batch, plan) = streams.plan(totals(points));
            streams.commit(plan);
            samples(&batch)
        };
        assert_eq!(
            send(&[(5, 10, 100.0)]),
            [(10, 100.0)],
            "the first says nothing about before"
        );
        assert_eq!(send(&[(5, 20, 110.0)]), [(20, 110.0)]);
        assert_eq!(
            send(&[(25, 30, 120.0)]),
            [(25, 0.0), (30, 120.0)],
            "above the last, yet started over"
        );
        assert_eq!(send(&[(35, 40, 50.0)]), [(35, 0.0), (40, 50.0)]);
        assert_eq!(
            send(&[(38, 50, 60.0)]),
            [(50, 60.0)],
            "a start within what was seen is none"
        );
        assert_eq!(
            send(&[(38, 60, 70.0), (65, 70, 80.0)]),
            [(60, 70.0), (65, 0.0), (70, 80.0)]
        );
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let mut streams = Streams::new(1);
        let (_, plan) = streams.plan(increments(&[(0, 10, 1.0)]));
        streams.commit(plan);
        let other = |at| {
            let mut metrics = increments(&[(0, at, 1.0)]);
            metrics.deltas[0].series = SeriesId(8);
            metrics
        };
        let (batch, _) = streams.plan(other(20));
        assert_eq!(batch.rejections[0].reason, RejectReason::TooManySeries);
        // A total is taken also where its start cannot be remembered.
        let mut total = totals(&[(0, 20, 1.0)]);
        total.started[0].sample.series = SeriesId(8);
        let (batch, plan) = streams.plan(total);
        assert_eq!(samples(&batch), [(20, 1.0)]);
        streams.commit(plan);
        // Silence makes room.
        let at = 2 * IDLE_MS;
        let (_, plan) = streams.plan(increments(&[(0, at, 1.0)]));
        streams.commit(plan);
        streams.known.get_mut(&ID).unwrap().at = Timestamp(10);
        streams.swept = Timestamp::default();
        streams.commit(Plan(BTreeMap::from([(
            SeriesId(9),
            Stream {
                start: Timestamp(0),
                at: Timestamp(at),
                value: 1.0,
            },
        )])));
        assert_eq!(streams.known.keys().collect::<Vec<_>>(), [&SeriesId(9)]);
    }
}
