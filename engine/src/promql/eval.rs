//! One expression at one instant.

use super::labels::LabelSet;
use super::select::{self, Fetched, FetchedSeries, unsupported};
use super::{LOOK_BACK_MS, QueryError, Steps, aggregate, binary, function};
use promql_parser::parser::{Expr, VectorSelector};

/// Samples that a query may look at and answer with at most.
pub(super) const MAX_SAMPLES: usize = 50_000_000;

/// A value for each series.
pub(super) type Vector = Vec<(LabelSet, f64)>;
/// Series with their samples.
pub(super) type Matrix = Vec<(LabelSet, Vec<(i64, f64)>)>;

/// What an expression is at an instant.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Scalar(f64),
    Text(String),
    Vector(Vector),
}

/// The part of a series that a range selects, not empty.
pub(super) struct Window<'a> {
    pub(super) labels: &'a LabelSet,
    pub(super) samples: &'a [(i64, f64)],
    /// The range: after `from`, up to and including `to`.
    pub(super) from: i64,
    pub(super) to: i64,
}

/// An evaluation under way.
pub(super) struct Evaluation<'a> {
    pub(super) steps: Steps,
    fetched: &'a [Fetched],
    /// The selector that comes next, counted as [`select::selectors`] does.
    next: usize,
    looked_at: usize,
    is_over: &'a dyn Fn() -> bool,
    depth: usize,
}

pub(super) fn too_many() -> QueryError {
    QueryError::Execution(format!(
        "query processing would load too many samples into memory: more than {MAX_SAMPLES}"
    ))
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(steps: Steps, fetched: &'a [Fetched], is_over: &'a dyn Fn() -> bool) -> Self {
        Self {
            steps,
            fetched,
            next: 0,
            looked_at: 0,
            is_over,
            depth: 0,
        }
    }

    /// The value of an expression at an instant.
    pub(super) fn eval(&mut self, expr: &Expr, at: i64) -> Result<Value, QueryError> {
        if (self.is_over)() {
            return Err(QueryError::Timeout);
        }
        if self.depth == 0 {
            self.next = 0;
        }
        self.depth += 1;
        let value = match expr {
            Expr::NumberLiteral(number) => Ok(Value::Scalar(number.val)),
            Expr::StringLiteral(text) => Ok(Value::Text(text.val.clone())),
            Expr::Paren(inner) => self.eval(&inner.expr, at),
            Expr::Unary(inner) => Ok(match self.eval(&inner.expr, at)? {
                Value::Scalar(value) => Value::Scalar(-value),
                Value::Vector(vector) => {
                    Value::Vector(vector.into_iter().map(|(l, v)| (l.without_name(), -v)).collect())
                }
                Value::Text(_) => return Err(QueryError::BadData("a text cannot be negated".to_owned())),
            }),
            Expr::VectorSelector(selector) => self.newest(selector, at).map(Value::Vector),
            Expr::Binary(expr) => binary::eval(self, expr, at),
            Expr::Aggregate(expr) => aggregate::eval(self, expr, at),
            Expr::Call(call) => function::eval(self, call, at),
            Expr::MatrixSelector(_) => Err(QueryError::BadData(
                "a range of samples stands where a value must".to_owned(),
            )),
            Expr::Subquery(_) => Err(unsupported("subqueries")),
            Expr::Extension(_) => Err(unsupported("extensions of PromQL")),
        };
        self.depth -= 1;
        value
    }

    /// The same, where a vector is needed.
    pub(super) fn vector(&mut self, expr: &Expr, at: i64) -> Result<Vector, QueryError> {
        match self.eval(expr, at)? {
            Value::Vector(vector) => Ok(vector),
            _ => Err(QueryError::BadData("an instant vector is needed here".to_owned())),
        }
    }

    /// The same, where a number is needed.
    pub(super) fn scalar(&mut self, expr: &Expr, at: i64) -> Result<f64, QueryError> {
        match self.eval(expr, at)? {
            Value::Scalar(value) => Ok(value),
            _ => Err(QueryError::BadData("a scalar is needed here".to_owned())),
        }
    }

    fn take_selector(&mut self) -> &'a [FetchedSeries] {
        let fetched = self
            .fetched
            .get(self.next)
            .map_or(&[][..], |fetched| fetched.0.as_slice());
        self.next += 1;
        fetched
    }

    /// The time of a selector at an instant.
    fn time(&self, selector: &VectorSelector, at: i64) -> i64 {
        select::fixed(selector, self.steps).unwrap_or(at) - select::offset(selector)
    }

    /// The newest sample of each series that is not too old.
    fn newest(&mut self, selector: &VectorSelector, at: i64) -> Result<Vector, QueryError> {
        let found = self.newest_at(selector, at)?;
        Ok(found.into_iter().map(|(labels, _, value)| (labels, value)).collect())
    }

    /// The same with the time of each sample, in milliseconds.
    pub(super) fn newest_at(
        &mut self,
        selector: &VectorSelector,
        at: i64,
    ) -> Result<Vec<(LabelSet, i64, f64)>, QueryError> {
        let to = self.time(selector, at);
        let mut found = Vec::new();
        for series in self.take_selector() {
            let place = series.samples.partition_point(|(time, _)| *time <= to);
            let Some((time, value)) = series.samples[..place].last().copied() else {
                continue;
            };
            let ended = series.ends.iter().any(|end| *end >= time && *end <= to);
            if time > to - LOOK_BACK_MS && !ended {
                found.push((series.labels.clone(), time, value));
            }
        }
        self.look_at(found.len())?;
        Ok(found)
    }

    /// The samples of each series in a range.
    pub(super) fn windows(&mut self, expr: &Expr, at: i64) -> Result<Vec<Window<'a>>, QueryError> {
        let Expr::MatrixSelector(matrix) = strip(expr) else {
            return Err(match strip(expr) {
                Expr::Subquery(_) => unsupported("subqueries"),
                _ => QueryError::BadData("a range of samples is needed here".to_owned()),
            });
        };
        let to = self.time(&matrix.vs, at);
        let from = to.saturating_sub(select::millis(matrix.range));
        let mut found = Vec::new();
        for series in self.take_selector() {
            let begin = series.samples.partition_point(|(time, _)| *time <= from);
            let end = series.samples.partition_point(|(time, _)| *time <= to);
            if begin < end {
                self.looked_at += end - begin;
                found.push(Window {
                    labels: &series.labels,
                    samples: &series.samples[begin..end],
                    from,
                    to,
                });
            }
        }
        self.look_at(0)?;
        Ok(found)
    }

    /// The samples themselves.
    pub(super) fn raw(&mut self, expr: &Expr, at: i64) -> Result<Matrix, QueryError> {
        let windows = self.windows(expr, at)?;
        let mut found: Vec<_> = windows.iter().map(|w| (w.labels.clone(), w.samples.to_vec())).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    fn look_at(&mut self, samples: usize) -> Result<(), QueryError> {
        self.looked_at += samples;
        // Windows of neighboring steps overlap; what counts is work, and that has an end as well.
        if self.looked_at > 40 * MAX_SAMPLES {
            return Err(too_many());
        }
        Ok(())
    }
}

/// The expression within brackets.
pub(super) fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(inner) => strip(&inner.expr),
        expr => expr,
    }
}

/// Two series of a result must differ in their labels.
pub(super) fn distinct(vector: Vector) -> Result<Vector, QueryError> {
    let mut seen = std::collections::BTreeSet::new();
    if vector.iter().all(|(labels, _)| seen.insert(labels)) {
        return Ok(vector);
    }
    Err(QueryError::Execution(
        "vector cannot contain metrics with the same labelset".to_owned(),
    ))
}
