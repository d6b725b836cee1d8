//! `calls.csv`: what callers measured of their callees, `timestamp,caller,callee,calls,errors,mean_us,p95_us`.

use super::{Frame, entity, parse_time, read_rows};
use crate::error::Result;
use crate::series::{Labels, info_from_labels};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use wire::topology::Edge;
use wire::{EntityId, Timestamp};

/// Calls from one entity to another in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Calls {
    pub at: Timestamp,
    pub caller: EntityId,
    pub callee: EntityId,
    /// `None` where the file says nothing.
    pub calls: Option<f64>,
    pub errors: Option<f64>,
    /// Microseconds.
    pub mean_us: Option<f64>,
    pub p95_us: Option<f64>,
}

/// Reads calls, in order of time.
///
/// # Errors
/// [`crate::Error::Input`] for a missing column, an empty name, a bad time or number.
pub fn read_calls(reader: impl Read, file: &str) -> Result<Vec<Calls>> {
    let mut found = Vec::new();
    let measured = ["calls", "errors", "mean_us", "p95_us"];
    read_rows(
        reader,
        file,
        &["timestamp", "caller", "callee"],
        &measured,
        |_, cells| {
            let number = |at: usize| {
                let cell = cells[at].as_str();
                if cell.is_empty() {
                    return Ok(None);
                }
                let value: f64 = cell.parse().map_err(|_| {
                    (
                        at,
                        format!("{cell:?} is not a number; leave the cell empty where nothing is known"),
                    )
                })?;
                Ok(value.is_finite().then_some(value))
            };
            found.push(Calls {
                at: parse_time(&cells[0]).map_err(|e| (0, e))?,
                caller: entity(cells, 1)?,
                callee: entity(cells, 2)?,
                calls: number(3)?,
                errors: number(4)?,
                mean_us: number(5)?,
                p95_us: number(6)?,
            });
            Ok(())
        },
    )?;
    found.sort_by(|a, b| (a.at, &a.caller, &a.callee).cmp(&(b.at, &b.caller, &b.callee)));
    Ok(found)
}

/// The edges that calls went over.
pub fn edges_of(calls: &[Calls]) -> Vec<Edge> {
    let pairs: BTreeSet<(&EntityId, &EntityId)> = calls.iter().map(|call| (&call.caller, &call.callee)).collect();
    let edge = |(caller, callee): (&EntityId, &EntityId)| Edge {
        caller: caller.clone(),
        callee: callee.clone(),
    };
    pairs.into_iter().map(edge).collect()
}

/// What all callers of an entity measured of it in a step, put together.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    calls: f64,
    errors: Option<f64>,
    /// Mean times calls, of so many calls.
    time: f64,
    timed: f64,
    slowest: Option<f64>,
}

/// Metrics of a callee by name and statistic, and how they come from a sum.
type Metric = (&'static str, Option<&'static str>, fn(&Sum) -> Option<f64>);
const METRICS: [Metric; 4] = [
    ("call_rate", None, |sum| Some(sum.calls)),
    ("call_errors", None, |sum| sum.errors),
    ("call_latency_seconds", Some("mean"), |sum| {
        (sum.timed > 0.0).then(|| sum.time / sum.timed / 1e6)
    }),
    ("call_latency_seconds", Some("p95"), |sum| {
        sum.slowest.map(|us| us / 1e6)
    }),
];

impl Frame {
    /// Adds what callers measured of each callee as metrics of it: calls and errors a step, mean and slowest 95th percentile of
    /// their latency. A row takes the calls that came since the row before. Where no call at all is known, nothing is.
    pub fn add_calls(&mut self, calls: &[Calls]) {
        let rows = self.times.len();
        let mut known = vec![false; rows];
        let mut sums: BTreeMap<&EntityId, BTreeMap<usize, Sum>> = BTreeMap::new();
        for call in calls {
            let row = self.row_at(call.at);
            if row >= rows || self.times[row].millis_since(call.at) > 2 * self.step_ms.max(1) {
                continue;
            }
            known[row] = true;
            let sum = sums.entry(&call.callee).or_default().entry(row).or_default();
            let count = call.calls.unwrap_or(0.0);
            sum.calls += count;
            if let Some(errors) = call.errors {
                sum.errors = Some(sum.errors.unwrap_or(0.0) + errors);
            }
            if let Some(mean) = call.mean_us {
                let weight = call.calls.unwrap_or(1.0);
                sum.time += mean * weight;
                sum.timed += weight;
            }
            sum.slowest = match (sum.slowest, call.p95_us) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            };
        }
        let quiet = Sum {
            errors: Some(0.0),
            ..Sum::default()
        };
        let there: BTreeSet<_> = self.series.iter().map(|info| info.id).collect();
        for (callee, of_row) in sums {
            for (metric, statistic, value) in METRICS {
                let mut info = info_from_labels(&Labels::of(callee.as_str(), metric, statistic));
                info.step_ms = self.step_ms;
                if of_row.values().all(|sum| value(sum).is_none()) || there.contains(&info.id) {
                    continue;
                }
                let of = |row: usize| match of_row.get(&row) {
                    Some(sum) => value(sum),
                    None if known[row] => value(&quiet),
                    None => None,
                };
                self.columns
                    .push((0..rows).map(|row| of(row).unwrap_or(f64::NAN)).collect());
                self.names.push(match statistic {
                    Some(statistic) => format!("{callee}|{metric}|{statistic}"),
                    None => format!("{callee}|{metric}"),
                });
                self.series.push(info);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_metrics;
    use super::*;

    const CALLS: &str = "timestamp,caller,callee,calls,errors,mean_us,p95_us\n60,web,cart,3,1,1000,5000\n60,app,cart,1,,3000,\n\
                         60,web,user,2,0,10,20\n120,web,user,4,0,10,20\n";

    #[test]
    fn callers_together_measure_a_callee() {
        let calls = read_calls(CALLS.as_bytes(), "calls.csv").unwrap();
        assert_eq!(edges_of(&calls).len(), 3);
        let mut frame = read_metrics("timestamp,web|cpu\n60,1\n120,1\n180,1\n".as_bytes(), "metrics.csv").unwrap();
        frame.add_calls(&calls);
        let column = |name: &str| {
            let at = frame.names.iter().position(|n| n == name).unwrap();
            frame.columns[at]
                .iter()
                .map(|v| (!v.is_nan()).then_some(*v))
                .collect::<Vec<_>>()
        };
        assert_eq!(column("cart|call_rate"), [Some(4.0), Some(0.0), None]);
        assert_eq!(column("cart|call_errors"), [Some(1.0), Some(0.0), None]);
        assert_eq!(column("cart|call_latency_seconds|mean"), [Some(0.0015), None, None]);
        assert_eq!(column("cart|call_latency_seconds|p95"), [Some(0.005), None, None]);
        assert_eq!(column("user|call_rate"), [Some(2.0), Some(4.0), None]);
    }

    #[test]
    fn a_bad_number_is_told_with_its_place() {
        let error = read_calls(&b"timestamp,caller,callee,calls\n1,a,b,many\n"[..], "calls.csv").unwrap_err();
        assert!(error.to_string().contains("calls.csv:2:4"), "{error}");
    }
}
