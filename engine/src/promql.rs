//! Questions in PromQL over what is stored: so that Grafana, and whatever else asks a Prometheus, can ask Halo.
//!
//! Pure. [`Query::parse`] reads the text and says which series it needs ([`Query::selectors`]); who has them hands their samples to
//! [`Query::instant`] or [`Query::range`]. The rules are those of Prometheus 3: ranges and the look-back of five minutes are open on the left, rates are
//! extrapolated, a series ends where its source said so. What is not supported is an error that names it, never another answer.

mod aggregate;
mod binary;
mod eval;
mod function;
mod kahan;
mod labels;
mod over_time;
mod select;

pub use labels::{LabelSet, labels_of_series};
pub use select::{Fetched, FetchedSeries, Selector};

use eval::Evaluation;
use promql_parser::parser::Expr;
use wire::Timestamp;

/// Samples older than this say nothing about an instant.
pub const LOOK_BACK_MS: i64 = 5 * 60 * 1000;

/// Points of one series in an answer at most, as in Prometheus.
pub const MAX_STEPS: i64 = 11_000;

/// Operators and brackets of a query at most: each may be one level of nesting.
const MAX_PARTS: usize = 250;

/// Longest query in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The question makes no sense.
    #[error("{0}")]
    BadData(String),
    /// It makes sense, and cannot be answered.
    #[error("{0}")]
    Execution(String),
    #[error("the query was stopped after its time-out")]
    Timeout,
}

/// The instants of an answer, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub start: Timestamp,
    pub end: Timestamp,
    /// Above 0; an instant has one step.
    pub step_ms: i64,
}

impl Steps {
    /// One instant.
    pub fn at(instant: Timestamp) -> Self {
        Self {
            start: instant,
            end: instant,
            step_ms: 1,
        }
    }

    /// A range.
    ///
    /// # Errors
    /// If it ends before it begins, or has too many steps.
    pub fn range(start: Timestamp, end: Timestamp, step_ms: i64) -> Result<Self, QueryError> {
        let bad = |message: &str| Err(QueryError::BadData(message.to_owned()));
        if step_ms <= 0 {
            return bad("invalid parameter \"step\": zero or negative query resolution step widths are not accepted");
        }
        if end < start {
            return bad("invalid parameter \"end\": end timestamp must not be before start time");
        }
        if end.0.saturating_sub(start.0) / step_ms > MAX_STEPS {
            return bad("exceeded maximum resolution of 11,000 points per timeseries: use a longer step");
        }
        Ok(Self { start, end, step_ms })
    }

    fn instants(self) -> impl Iterator<Item = i64> {
        (0..)
            .map(move |n| self.start.0 + n * self.step_ms)
            .take_while(move |at| *at <= self.end.0)
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Scalar(f64),
    Text(String),
    /// A value for each series at one instant.
    Vector(Vec<(LabelSet, f64)>),
    /// Samples of each series.
    Matrix(Vec<(LabelSet, Vec<(i64, f64)>)>),
}

/// A query that was read.
#[derive(Clone, Debug)]
pub struct Query {
    expr: Expr,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`QueryError::BadData`] with what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_BYTES || parts(text) > MAX_PARTS {
            return Err(QueryError::BadData(format!(
                "the query is too long: more than {MAX_BYTES} bytes, or {MAX_PARTS} operators and brackets"
            )));
        }
        let expr =
            promql_parser::parser::parse(text).map_err(|problem| QueryError::BadData(problem.trim().to_owned()))?;
        Ok(Self { expr })
    }

    /// What it needs, in the order in which evaluation takes it.
    ///
    /// # Errors
    /// [`QueryError::Execution`] for what is not supported.
    pub fn selectors(&self, steps: Steps) -> Result<Vec<Selector>, QueryError> {
        select::selectors(&self.expr, steps)
    }

    /// Whether the answer at one instant is a matrix: the query is a plain range of samples.
    fn is_matrix(&self) -> bool {
        matches!(eval::strip(&self.expr), Expr::MatrixSelector(_))
    }

    /// The answer at one instant.
    ///
    /// # Errors
    /// [`QueryError::Execution`], and [`QueryError::Timeout`] once `is_over` says so.
    pub fn instant(
        &self,
        at: Timestamp,
        fetched: &[Fetched],
        is_over: &dyn Fn() -> bool,
    ) -> Result<Answer, QueryError> {
        let mut evaluation = Evaluation::new(Steps::at(at), fetched, is_over);
        if self.is_matrix() {
            return evaluation.raw(&self.expr, at.0).map(Answer::Matrix);
        }
        Ok(match evaluation.eval(&self.expr, at.0)? {
            eval::Value::Scalar(value) => Answer::Scalar(value),
            eval::Value::Text(text) => Answer::Text(text),
            eval::Value::Vector(vector) => Answer::Vector(vector),
        })
    }

    /// The answer at every step, as a matrix sorted by labels.
    ///
    /// # Errors
    /// As [`Query::instant`].
    pub fn range(&self, steps: Steps, fetched: &[Fetched], is_over: &dyn Fn() -> bool) -> Result<Answer, QueryError> {
        if self.is_matrix() || matches!(&self.expr, Expr::StringLiteral(_)) {
            return Err(QueryError::BadData(
                "invalid expression type for range query, must be Scalar or instant Vector".to_owned(),
            ));
        }
        let mut evaluation = Evaluation::new(steps, fetched, is_over);
        let mut found: std::collections::BTreeMap<LabelSet, Vec<(i64, f64)>> = Default::default();
        let mut points = 0;
        for at in steps.instants() {
            let vector = match evaluation.eval(&self.expr, at)? {
                eval::Value::Scalar(value) => vec![(LabelSet::default(), value)],
                eval::Value::Vector(vector) => vector,
                eval::Value::Text(_) => Vec::new(),
            };
            points += vector.len();
            if points > eval::MAX_SAMPLES {
                return Err(eval::too_many());
            }
            for (labels, value) in vector {
                found.entry(labels).or_default().push((at, value));
            }
        }
        Ok(Answer::Matrix(found.into_iter().collect()))
    }
}

/// How many operators and brackets stand outside of quotes: an upper bound of how deep the expression is.
fn parts(text: &str) -> usize {
    let (mut count, mut quote, mut escaped) = (0, None, false);
    let mut plain = String::new();
    for c in text.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(open) if c == '\\' && open != '`' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None => {
                count += usize::from("([{+-*/%^<>=!".contains(c));
                plain.push(c);
            }
        }
    }
    let words = ["and", "or", "unless", "atan2"];
    let is_operator = |word: &&str| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    count + plain.split(|c: char| !c.is_alphanumeric()).filter(is_operator).count()
}

#[cfg(test)]
mod tests;
