//! Which series a query needs, and over which time.

use super::labels::LabelSet;
use super::{LOOK_BACK_MS, QueryError, Steps};
use promql_parser::label::{Matcher, Matchers};
use promql_parser::parser::{AtModifier, Expr, Offset, VectorSelector};
use std::time::{Duration, UNIX_EPOCH};
use wire::Timestamp;

/// One selector of a query.
#[derive(Clone, Debug)]
pub struct Selector {
    name: Option<String>,
    matchers: Matchers,
    /// Samples after `from` up to and including `to` are needed.
    pub from: Timestamp,
    pub to: Timestamp,
}

/// What a selector found.
#[derive(Clone, Debug, Default)]
pub struct Fetched(pub Vec<FetchedSeries>);

/// One series.
#[derive(Clone, Debug, Default)]
pub struct FetchedSeries {
    pub labels: LabelSet,
    /// By ascending time.
    pub samples: Vec<(i64, f64)>,
    /// When its source said that it ended, ascending: no sample before such a time says anything about one after it.
    pub ends: Vec<i64>,
}

impl Selector {
    /// Reads a selector that stands alone, as in `match[]`.
    ///
    /// # Errors
    /// [`QueryError::BadData`] if it is none.
    pub fn parse(text: &str, from: Timestamp, to: Timestamp) -> Result<Self, QueryError> {
        let query = super::Query::parse(text)?;
        match query.expr {
            Expr::VectorSelector(selector) if selector.offset.is_none() && selector.at.is_none() => Ok(Self {
                name: selector.name,
                matchers: selector.matchers,
                from,
                to,
            }),
            _ => Err(QueryError::BadData(format!("{text:.200?} is no selector of series"))),
        }
    }

    /// Whether a series with these labels is meant; a label that is not there is empty.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> &'a str) -> bool {
        if self
            .name
            .as_deref()
            .is_some_and(|name| name != label(super::labels::NAME))
        {
            return false;
        }
        let all = |matchers: &[Matcher]| matchers.iter().all(|matcher| matcher.is_match(label(&matcher.name)));
        if self.matchers.or_matchers.is_empty() {
            all(&self.matchers.matchers)
        } else {
            self.matchers.or_matchers.iter().any(|matchers| all(matchers))
        }
    }
}

/// The selectors of an expression, in the order in which they are met.
pub(super) fn selectors(expr: &Expr, steps: Steps) -> Result<Vec<Selector>, QueryError> {
    let mut found = Vec::new();
    walk(expr, steps, &mut found)?;
    Ok(found)
}

fn walk(expr: &Expr, steps: Steps, found: &mut Vec<Selector>) -> Result<(), QueryError> {
    match expr {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
        Expr::VectorSelector(selector) => found.push(needed(selector, LOOK_BACK_MS, steps)?),
        Expr::MatrixSelector(selector) => found.push(needed(&selector.vs, millis(selector.range), steps)?),
        Expr::Paren(inner) => walk(&inner.expr, steps, found)?,
        Expr::Unary(inner) => walk(&inner.expr, steps, found)?,
        Expr::Binary(binary) => {
            walk(&binary.lhs, steps, found)?;
            walk(&binary.rhs, steps, found)?;
        }
        Expr::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                walk(param, steps, found)?;
            }
            walk(&aggregate.expr, steps, found)?;
        }
        Expr::Call(call) => {
            for argument in &call.args.args {
                walk(argument, steps, found)?;
            }
        }
        Expr::Subquery(_) => return Err(unsupported("subqueries, such as rate(x[1m])[1h:1m],")),
        Expr::Extension(_) => return Err(unsupported("extensions of PromQL")),
    }
    Ok(())
}

fn needed(selector: &VectorSelector, span_ms: i64, steps: Steps) -> Result<Selector, QueryError> {
    let (first, last) = match fixed(selector, steps) {
        Some(at) => (at, at),
        None => (steps.start.0, steps.end.0),
    };
    let offset = offset(selector);
    Ok(Selector {
        name: selector.name.clone(),
        matchers: selector.matchers.clone(),
        from: Timestamp(first.saturating_sub(offset).saturating_sub(span_ms)),
        to: Timestamp(last.saturating_sub(offset)),
    })
}

/// The instant that `@` names.
pub(super) fn fixed(selector: &VectorSelector, steps: Steps) -> Option<i64> {
    match selector.at.as_ref()? {
        AtModifier::Start => Some(steps.start.0),
        AtModifier::End => Some(steps.end.0),
        AtModifier::At(at) => Some(match at.duration_since(UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        }),
    }
}

pub(super) fn offset(selector: &VectorSelector) -> i64 {
    match &selector.offset {
        None => 0,
        Some(Offset::Pos(offset)) => millis(*offset),
        Some(Offset::Neg(offset)) => -millis(*offset),
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

pub(super) fn unsupported(what: &str) -> QueryError {
    QueryError::Execution(format!("{what} are not supported here; ask a Prometheus for it"))
}
