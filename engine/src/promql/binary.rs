//! Operators: arithmetic, comparison and sets, between scalars, vectors, and both.

use super::QueryError;
use super::eval::{Evaluation, Value, Vector, distinct};
use super::labels::{LabelSet, NAME};
use super::select::unsupported;
use promql_parser::parser::token::{
    T_ADD, T_ATAN2, T_DIV, T_EQLC, T_GTE, T_GTR, T_LAND, T_LOR, T_LSS, T_LTE, T_LUNLESS, T_MOD, T_MUL, T_NEQ, T_POW,
    T_SUB, TokenId,
};
use promql_parser::parser::{BinModifier, BinaryExpr, LabelModifier, VectorMatchCardinality};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn eval(evaluation: &mut Evaluation<'_>, expr: &BinaryExpr, at: i64) -> Result<Value, QueryError> {
    let (left, right) = (evaluation.eval(&expr.lhs, at)?, evaluation.eval(&expr.rhs, at)?);
    let op = expr.op.id();
    let modifier = expr.modifier.as_ref();
    let is_bool = modifier.is_some_and(|modifier| modifier.return_bool);
    let compares = expr.op.is_comparison_operator();
    if let Some(BinModifier { fill_values, .. }) = modifier
        && (fill_values.lhs.is_some() || fill_values.rhs.is_some())
    {
        return Err(unsupported("fill modifiers"));
    }
    match (left, right) {
        (Value::Scalar(a), Value::Scalar(b)) if compares => Ok(Value::Scalar(truth(compare(op, a, b)))),
        (Value::Scalar(a), Value::Scalar(b)) => calculate(op, a, b).map(Value::Scalar),
        (Value::Vector(vector), Value::Scalar(b)) => with_scalar(vector, compares, is_bool, |a| {
            Ok((
                if compares {
                    truth(compare(op, a, b))
                } else {
                    calculate(op, a, b)?
                },
                a,
            ))
        }),
        (Value::Scalar(a), Value::Vector(vector)) => with_scalar(vector, compares, is_bool, |b| {
            Ok((
                if compares {
                    truth(compare(op, a, b))
                } else {
                    calculate(op, a, b)?
                },
                b,
            ))
        }),
        (Value::Vector(left), Value::Vector(right)) if expr.op.is_set_operator() => {
            Ok(Value::Vector(set(op, left, right, modifier)))
        }
        (Value::Vector(left), Value::Vector(right)) => matched(op, left, right, modifier, compares),
        _ => Err(QueryError::BadData(
            "an operator needs numbers or vectors on both sides".to_owned(),
        )),
    }
}

/// Applies `result`, which says what comes out and what the vector's own value was.
fn with_scalar(
    vector: Vector,
    compares: bool,
    is_bool: bool,
    result: impl Fn(f64) -> Result<(f64, f64), QueryError>,
) -> Result<Value, QueryError> {
    let mut found = Vec::with_capacity(vector.len());
    for (labels, value) in vector {
        let (outcome, own) = result(value)?;
        if !compares || is_bool {
            found.push((labels.without_name(), outcome));
        } else if outcome > 0.5 {
            found.push((labels, own));
        }
    }
    Ok(Value::Vector(distinct(found)?))
}

/// The labels by which two series belong together.
fn signature(labels: &LabelSet, modifier: Option<&BinModifier>) -> LabelSet {
    match modifier.and_then(|modifier| modifier.matching.as_ref()) {
        None => labels.without_name(),
        Some(LabelModifier::Include(on)) => labels.keep(|name| on.labels.iter().any(|label| label == name)),
        Some(LabelModifier::Exclude(ignoring)) => {
            labels.keep(|name| name != NAME && !ignoring.labels.iter().any(|label| label == name))
        }
    }
}

fn set(op: TokenId, left: Vector, right: Vector, modifier: Option<&BinModifier>) -> Vector {
    let signatures = |vector: &Vector| -> BTreeSet<LabelSet> {
        vector.iter().map(|(labels, _)| signature(labels, modifier)).collect()
    };
    let (of_left, of_right) = (signatures(&left), signatures(&right));
    let there = |labels: &LabelSet, known: &BTreeSet<LabelSet>| known.contains(&signature(labels, modifier));
    match op {
        T_LAND => left
            .into_iter()
            .filter(|(labels, _)| there(labels, &of_right))
            .collect(),
        T_LUNLESS => left
            .into_iter()
            .filter(|(labels, _)| !there(labels, &of_right))
            .collect(),
        _ => {
            let more = right.into_iter().filter(|(labels, _)| !there(labels, &of_left));
            left.into_iter().chain(more).collect()
        }
    }
}

/// Series of both sides with the same signature; on the side that is `one` each signature may be there once.
fn matched(
    op: TokenId,
    left: Vector,
    right: Vector,
    modifier: Option<&BinModifier>,
    compares: bool,
) -> Result<Value, QueryError> {
    let is_bool = modifier.is_some_and(|modifier| modifier.return_bool);
    let one_to_one = VectorMatchCardinality::OneToOne;
    let card = modifier.map_or(&one_to_one, |modifier| &modifier.card);
    let swapped = matches!(card, VectorMatchCardinality::OneToMany(_));
    let (many, one, one_side) = if swapped {
        (right, left, "left")
    } else {
        (left, right, "right")
    };
    let mut ones: BTreeMap<LabelSet, (LabelSet, f64)> = BTreeMap::new();
    for (labels, value) in one {
        let key = signature(&labels, modifier);
        if ones.insert(key, (labels, value)).is_some() {
            return Err(QueryError::Execution(format!(
                "found duplicate series for the match group on the {one_side} hand-side of the operation; many-to-many \
                 matching not allowed: matching labels must be unique on one side"
            )));
        }
    }
    let mut taken = BTreeSet::new();
    let mut found = Vec::new();
    for (labels, value) in many {
        let key = signature(&labels, modifier);
        let Some((of_one, other)) = ones.get(&key) else {
            continue;
        };
        let (a, b) = if swapped { (*other, value) } else { (value, *other) };
        let holds = compares && compare(op, a, b);
        let outcome = match (compares, is_bool) {
            (true, true) => truth(holds),
            (true, false) if holds => a,
            (true, false) => continue,
            (false, _) => calculate(op, a, b)?,
        };
        let labels = match card {
            VectorMatchCardinality::OneToOne => {
                if !taken.insert(key.clone()) {
                    return Err(QueryError::Execution(
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                            .to_owned(),
                    ));
                }
                result_labels(labels, modifier, compares && !is_bool)
            }
            VectorMatchCardinality::ManyToOne(include) | VectorMatchCardinality::OneToMany(include) => {
                let base = if compares && !is_bool {
                    labels
                } else {
                    labels.without_name()
                };
                let copied = include.labels.iter();
                copied.fold(base, |labels, name| labels.with(name, of_one.get(name)))
            }
            VectorMatchCardinality::ManyToMany => return Err(unsupported("matches of many series with many")),
        };
        found.push((labels, outcome));
    }
    Ok(Value::Vector(distinct(found)?))
}

/// The labels of a match of one with one: those that were compared.
fn result_labels(labels: LabelSet, modifier: Option<&BinModifier>, keeps_name: bool) -> LabelSet {
    match modifier.and_then(|modifier| modifier.matching.as_ref()) {
        Some(LabelModifier::Include(on)) => labels.keep(|name| on.labels.iter().any(|label| label == name)),
        Some(LabelModifier::Exclude(ignoring)) => {
            labels.keep(|name| (keeps_name || name != NAME) && !ignoring.labels.iter().any(|label| label == name))
        }
        None if keeps_name => labels,
        None => labels.without_name(),
    }
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

#[expect(clippy::float_cmp, reason = "that is what is asked")]
fn compare(op: TokenId, a: f64, b: f64) -> bool {
    match op {
        T_EQLC => a == b,
        T_NEQ => a != b,
        T_GTR => a > b,
        T_LSS => a < b,
        T_GTE => a >= b,
        T_LTE => a <= b,
        _ => false,
    }
}

fn calculate(op: TokenId, a: f64, b: f64) -> Result<f64, QueryError> {
    Ok(match op {
        T_ADD => a + b,
        T_SUB => a - b,
        T_MUL => a * b,
        T_DIV => a / b,
        // The sign is that of the dividend, in both languages.
        T_MOD => a % b,
        T_POW => a.powf(b),
        T_ATAN2 => a.atan2(b),
        T_LOR | T_LAND | T_LUNLESS => return Err(QueryError::BadData("and, or, unless need vectors".to_owned())),
        _ => return Err(unsupported("this operator's calculations")),
    })
}
