//! Functions.

use super::eval::{Evaluation, Value, Vector, distinct, strip};
use super::labels::LabelSet;
use super::over_time::over;
use super::select::unsupported;
use super::{QueryError, aggregate};
use crate::features::quantile;
use promql_parser::parser::{Call, Expr};
use regex::Regex;
use std::collections::BTreeMap;

pub(super) fn eval(evaluation: &mut Evaluation<'_>, call: &Call, at: i64) -> Result<Value, QueryError> {
    let name = call.func.name;
    let args: Vec<&Expr> = call.args.args.iter().map(|arg| &**arg).collect();
    let missing = || QueryError::BadData(format!("{name} needs more arguments"));
    let arg = |place: usize| args.get(place).copied().ok_or_else(missing);
    Ok(match name {
        "time" => Value::Scalar(at as f64 / 1000.0),
        "pi" => Value::Scalar(std::f64::consts::PI),
        "vector" => Value::Vector(vec![(LabelSet::default(), evaluation.scalar(arg(0)?, at)?)]),
        "scalar" => Value::Scalar(match evaluation.vector(arg(0)?, at)?.as_slice() {
            [(_, value)] => *value,
            _ => f64::NAN,
        }),
        "absent" => {
            let found = evaluation.vector(arg(0)?, at)?;
            let absent = vec![(absent_labels(arg(0)?), 1.0)];
            Value::Vector(if found.is_empty() { absent } else { Vec::new() })
        }
        "timestamp" => match strip(arg(0)?) {
            Expr::VectorSelector(selector) => {
                let found = evaluation.newest_at(selector, at)?;
                let times = found
                    .into_iter()
                    .map(|(l, time, _)| (l.without_name(), time as f64 / 1000.0));
                Value::Vector(distinct(times.collect())?)
            }
            expr => map(evaluation.vector(expr, at)?, |_| at as f64 / 1000.0)?,
        },
        "sort" | "sort_desc" => {
            let mut vector = evaluation.vector(arg(0)?, at)?;
            aggregate::sort(&mut vector, name == "sort_desc");
            Value::Vector(vector)
        }
        "histogram_quantile" => {
            let q = evaluation.scalar(arg(0)?, at)?;
            Value::Vector(histogram_quantile(q, evaluation.vector(arg(1)?, at)?))
        }
        "label_replace" => label_replace(evaluation, &args, at)?,
        "label_join" => label_join(evaluation, &args, at)?,
        "quantile_over_time" => {
            let q = evaluation.scalar(arg(0)?, at)?;
            windows(evaluation, name, arg(1)?, at, q)?
        }
        "predict_linear" => {
            // In the order in which they stand, since selectors are counted.
            let found = evaluation.windows(arg(0)?, at)?;
            let ahead = evaluation.scalar(arg(1)?, at)?;
            let values = found
                .iter()
                .filter_map(|w| Some((w.labels.without_name(), over(name, w, at, ahead)?)));
            Value::Vector(distinct(values.collect())?)
        }
        "absent_over_time" => {
            let none = evaluation.windows(arg(0)?, at)?.is_empty();
            let absent = vec![(absent_labels(arg(0)?), 1.0)];
            Value::Vector(if none { absent } else { Vec::new() })
        }
        "rate" | "increase" | "delta" | "irate" | "idelta" | "deriv" | "changes" | "resets" | "avg_over_time"
        | "sum_over_time" | "count_over_time" | "min_over_time" | "max_over_time" | "last_over_time"
        | "present_over_time" | "stddev_over_time" | "stdvar_over_time" => windows(evaluation, name, arg(0)?, at, 0.0)?,
        "clamp" | "clamp_min" | "clamp_max" | "round" => {
            let vector = evaluation.vector(arg(0)?, at)?;
            let mut numbers = Vec::new();
            for arg in &args[1..] {
                numbers.push(evaluation.scalar(arg, at)?);
            }
            match (name, numbers.as_slice()) {
                ("clamp", [min, max]) if max < min => Value::Vector(Vec::new()),
                ("clamp", [min, max]) => map(vector, |value| least(*min, greatest(value, *max)))?,
                ("clamp_min", [min]) => map(vector, |value| least(*min, value))?,
                ("clamp_max", [max]) => map(vector, |value| greatest(value, *max))?,
                ("round", []) => map(vector, |value| (value + 0.5).floor())?,
                ("round", [to]) => map(vector, |value| (value * (1.0 / to) + 0.5).floor() / (1.0 / to))?,
                _ => return Err(missing()),
            }
        }
        _ => {
            let function: fn(f64) -> f64 = match name {
                "abs" => f64::abs,
                "ceil" => f64::ceil,
                "floor" => f64::floor,
                "exp" => f64::exp,
                "ln" => f64::ln,
                "log2" => f64::log2,
                "log10" => f64::log10,
                "sqrt" => f64::sqrt,
                "sgn" => |value| {
                    if value == 0.0 || value.is_nan() {
                        value
                    } else {
                        value.signum()
                    }
                },
                _ => return Err(unsupported(&format!("calls of {name}()"))),
            };
            map(evaluation.vector(arg(0)?, at)?, function)?
        }
    })
}

/// The larger of two; NaN if one is.
fn least(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The smaller of two; NaN if one is.
fn greatest(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

fn map(vector: Vector, function: impl Fn(f64) -> f64) -> Result<Value, QueryError> {
    let mapped = vector.into_iter().map(|(l, value)| (l.without_name(), function(value)));
    Ok(Value::Vector(distinct(mapped.collect())?))
}

fn windows(
    evaluation: &mut Evaluation<'_>,
    name: &str,
    expr: &Expr,
    at: i64,
    parameter: f64,
) -> Result<Value, QueryError> {
    let found = evaluation.windows(expr, at)?;
    let values = found.iter().filter_map(|window| {
        let value = over(name, window, at, parameter)?;
        // The last value is still one of that metric.
        let labels = match name {
            "last_over_time" => window.labels.clone(),
            _ => window.labels.without_name(),
        };
        Some((labels, value))
    });
    Ok(Value::Vector(distinct(values.collect())?))
}

/// What is known of a series that is not there: the labels that its selector says outright.
fn absent_labels(expr: &Expr) -> LabelSet {
    let selector = match strip(expr) {
        Expr::VectorSelector(selector) => selector,
        Expr::MatrixSelector(matrix) => &matrix.vs,
        _ => return LabelSet::default(),
    };
    let mut said: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for matcher in &selector.matchers.matchers {
        let outright = matches!(matcher.op, promql_parser::label::MatchOp::Equal);
        let first = !said.contains_key(matcher.name.as_str());
        said.insert(&matcher.name, (outright && first).then_some(matcher.value.as_str()));
    }
    said.remove(super::labels::NAME);
    let pairs = said
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    LabelSet::new(pairs.collect())
}

/// The quantile of each classic histogram in a vector of buckets.
fn histogram_quantile(q: f64, vector: Vector) -> Vector {
    let mut histograms: BTreeMap<LabelSet, Vec<(f64, f64)>> = BTreeMap::new();
    for (labels, count) in vector {
        let Ok(bound) = labels.get("le").parse::<f64>() else {
            continue;
        };
        let rest = labels.keep(|name| name != "le" && name != super::labels::NAME);
        histograms.entry(rest).or_default().push((bound, count));
    }
    let of = |mut buckets: Vec<(f64, f64)>| {
        if q.is_nan() {
            return f64::NAN;
        }
        if !(0.0..=1.0).contains(&q) {
            return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        quantile(q, &mut buckets).unwrap_or(f64::NAN)
    };
    histograms
        .into_iter()
        .map(|(labels, buckets)| (labels, of(buckets)))
        .collect()
}

fn text<'a>(args: &[&'a Expr], place: usize) -> Result<&'a str, QueryError> {
    match args.get(place).map(|arg| strip(arg)) {
        Some(Expr::StringLiteral(text)) => Ok(&text.val),
        _ => Err(QueryError::BadData("a text is needed here".to_owned())),
    }
}

fn label_replace(evaluation: &mut Evaluation<'_>, args: &[&Expr], at: i64) -> Result<Value, QueryError> {
    let [vector, ..] = args else {
        return Err(QueryError::BadData("label_replace needs a vector".to_owned()));
    };
    let (to, replacement, from) = (text(args, 1)?, text(args, 2)?, text(args, 3)?);
    let pattern = text(args, 4)?;
    let regex = Regex::new(&format!("^(?s:{pattern})$"))
        .map_err(|_| QueryError::BadData(format!("invalid regular expression in label_replace(): {pattern:.200}")))?;
    let replaced = evaluation.vector(vector, at)?.into_iter().map(|(labels, value)| {
        let Some(found) = regex.captures(labels.get(from)) else {
            return (labels, value);
        };
        let mut expanded = String::new();
        found.expand(replacement, &mut expanded);
        let labels = labels.with(to, &expanded);
        (labels, value)
    });
    Ok(Value::Vector(distinct(replaced.collect())?))
}

fn label_join(evaluation: &mut Evaluation<'_>, args: &[&Expr], at: i64) -> Result<Value, QueryError> {
    let [vector, ..] = args else {
        return Err(QueryError::BadData("label_join needs a vector".to_owned()));
    };
    let (to, separator) = (text(args, 1)?, text(args, 2)?);
    let from: Vec<&str> = (3..args.len())
        .map(|place| text(args, place))
        .collect::<Result<_, _>>()?;
    let joined = evaluation.vector(vector, at)?.into_iter().map(|(labels, value)| {
        let values: Vec<&str> = from.iter().map(|name| labels.get(name)).collect();
        (labels.with(to, &values.join(separator)), value)
    });
    Ok(Value::Vector(distinct(joined.collect())?))
}
