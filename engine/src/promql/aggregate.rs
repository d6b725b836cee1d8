//! Aggregations: many series become a few.

use super::eval::{Evaluation, Value, Vector};
use super::kahan::{plain_variance, quantile, sum};
use super::labels::{LabelSet, NAME};
use super::select::unsupported;
use super::{QueryError, eval::distinct};
use promql_parser::parser::token::{
    T_AVG, T_BOTTOMK, T_COUNT, T_COUNT_VALUES, T_GROUP, T_MAX, T_MIN, T_QUANTILE, T_STDDEV, T_STDVAR, T_SUM, T_TOPK,
};
use promql_parser::parser::{AggregateExpr, Expr, LabelModifier};
use std::cmp::Ordering;
use std::collections::BTreeMap;

pub(super) fn eval(evaluation: &mut Evaluation<'_>, expr: &AggregateExpr, at: i64) -> Result<Value, QueryError> {
    let op = expr.op.id();
    let parameter = match (&expr.param, op) {
        (Some(param), T_TOPK | T_BOTTOMK | T_QUANTILE) => evaluation.scalar(param, at)?,
        _ => f64::NAN,
    };
    let vector = evaluation.vector(&expr.expr, at)?;
    let mut groups: BTreeMap<LabelSet, Vector> = BTreeMap::new();
    for (labels, value) in vector {
        let group = match &expr.modifier {
            None => LabelSet::default(),
            Some(LabelModifier::Include(by)) => labels.keep(|name| by.labels.iter().any(|label| label == name)),
            Some(LabelModifier::Exclude(without)) => {
                labels.keep(|name| name != NAME && !without.labels.iter().any(|label| label == name))
            }
        };
        groups.entry(group).or_default().push((labels, value));
    }
    if op == T_TOPK || op == T_BOTTOMK {
        // Not a number of series.
        if parameter.is_nan() {
            return Err(QueryError::Execution("Parameter value is NaN".to_owned()));
        }
        let count = if parameter < 1.0 { 0 } else { parameter as usize };
        let chosen = groups.into_values().flat_map(|mut group| {
            sort(&mut group, op == T_TOPK);
            group.truncate(count);
            group
        });
        return Ok(Value::Vector(chosen.collect()));
    }
    if op == T_COUNT_VALUES {
        return count_values(expr, groups);
    }
    let reduce: fn(&[f64], f64) -> f64 = match op {
        T_SUM => |values, _| sum(values.iter().copied()).value(),
        T_AVG => |values, _| sum(values.iter().copied()).mean(values.len() as f64),
        T_MIN => |values, _| extreme(values, Ordering::Less),
        T_MAX => |values, _| extreme(values, Ordering::Greater),
        T_COUNT => |values, _| values.len() as f64,
        T_GROUP => |_, _| 1.0,
        T_STDDEV => |values, _| plain_variance(values).sqrt(),
        T_STDVAR => |values, _| plain_variance(values),
        T_QUANTILE => |values, q| quantile(q, values.to_vec()),
        _ => return Err(unsupported(&format!("aggregations by {}", expr.op))),
    };
    let reduced = groups.into_iter().map(|(labels, group)| {
        let values: Vec<f64> = group.iter().map(|(_, value)| *value).collect();
        (labels, reduce(&values, parameter))
    });
    Ok(Value::Vector(reduced.collect()))
}

/// By value, NaN last.
pub(super) fn sort(vector: &mut [(LabelSet, f64)], descending: bool) {
    vector.sort_by(|(_, a), (_, b)| match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ if descending => b.partial_cmp(a).unwrap_or(Ordering::Equal),
        _ => a.partial_cmp(b).unwrap_or(Ordering::Equal),
    });
}

fn extreme(values: &[f64], wanted: Ordering) -> f64 {
    let better = |a: f64, b: f64| a.is_nan() || b.partial_cmp(&a) == Some(wanted);
    let first = values.first().copied().unwrap_or(f64::NAN);
    values
        .iter()
        .fold(first, |best, value| if better(best, *value) { *value } else { best })
}

fn count_values(expr: &AggregateExpr, groups: BTreeMap<LabelSet, Vector>) -> Result<Value, QueryError> {
    let Some(Expr::StringLiteral(label)) = expr.param.as_deref() else {
        return Err(QueryError::BadData("count_values needs the name of a label".to_owned()));
    };
    let mut counts: BTreeMap<LabelSet, f64> = BTreeMap::new();
    for (labels, group) in groups {
        for (_, value) in group {
            let labels = labels.with(&label.val, &format_value(value));
            *counts.entry(labels).or_default() += 1.0;
        }
    }
    Ok(Value::Vector(distinct(counts.into_iter().collect())?))
}

/// A number as Prometheus writes it without exponent.
fn format_value(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}
