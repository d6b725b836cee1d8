//! Records of a metric stream in its OpenTelemetry formats: requests of OTLP, each after its length as a varint.
//!
//! Version 1.0 has the dimensions of a metric as a map in the attribute `Dimensions`; version 0.7 has them as labels beside
//! `Namespace` and `MetricName`. A point is a summary whose quantiles 0 and 1 are minimum and maximum. Read in place, point by point.

use super::{Collector, Metric, basic};
use crate::ingest::otlp::{each, key_value, quantile, resource_attributes, value_text};
use crate::ingest::prometheus::reader::{Reader, Wire};
use wire::Timestamp;

type Malformed = &'static str;

/// Quantiles of one point at most.
const MAX_QUANTILES: usize = 1000;

/// Takes every request of a record.
///
/// # Errors
/// What is wrong with the bytes. What came before it was taken.
pub(super) fn take(record: &[u8], to: &mut Collector<'_>) -> Result<(), Malformed> {
    let mut reader = Reader::new(record);
    while !reader.is_empty() {
        request(reader.prefixed()?, to)?;
    }
    Ok(())
}

fn request(body: &[u8], to: &mut Collector<'_>) -> Result<(), Malformed> {
    each(body, 1, |resource| {
        let mut sender = Metric::default();
        for (key, value) in resource_attributes(resource)? {
            match key.as_str() {
                "cloud.account.id" => sender.account = value,
                "cloud.region" => sender.region = value,
                _ => {}
            }
        }
        // Scopes have the same number in both versions, and so has a summary.
        each(resource, 2, |scope| {
            each(scope, 2, |metric| {
                each(metric, 11, |summary| each(summary, 1, |body| point(body, &sender, to)))
            })
        })
    })
}

fn point(body: &[u8], sender: &Metric, to: &mut Collector<'_>) -> Result<(), Malformed> {
    let mut metric = sender.clone();
    let (mut start, mut end, mut count, mut sum) = (0, 0, 0, 0.0);
    let mut quantiles = Vec::new();
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Bytes(pair)) => label(pair, &mut metric)?,
            (2, Wire::Fixed64(nanos)) => start = nanos,
            (3, Wire::Fixed64(nanos)) => end = nanos,
            (4, Wire::Fixed64(number)) => count = number,
            (5, Wire::Fixed64(bits)) => sum = f64::from_bits(bits),
            (6, Wire::Bytes(_)) if quantiles.len() >= MAX_QUANTILES => return Err("a point has too many quantiles"),
            (6, Wire::Bytes(body)) => quantiles.push(quantile(body)?),
            (7, Wire::Bytes(pair)) => attribute(pair, &mut metric)?,
            _ => {}
        }
    }
    metric.dimensions.sort();
    // The ends are exact: they were never computed.
    let of = |is_wanted: fn(f64) -> bool| quantiles.iter().find(|(at, _)| is_wanted(*at)).map(|(_, value)| *value);
    let (min, max) = (of(|at| at <= 0.0), of(|at| at >= 1.0));
    let mut statistics = basic(count as f64, sum, min, max);
    let inner = quantiles
        .iter()
        .filter(|(quantile, _)| *quantile > 0.0 && *quantile < 1.0);
    statistics.extend(inner.map(|(quantile, value)| (percentile(*quantile).into(), *value)));
    let at = if start > 0 { start } else { end };
    to.take(&metric, Timestamp((at / 1_000_000).cast_signed()), &statistics);
    Ok(())
}

/// `0.999` is `p99.9`: to a millionth, since a hundred times a fraction is seldom the number that was meant.
fn percentile(quantile: f64) -> String {
    format!("p{}", (quantile * 1e8).round() / 1e6)
}

/// A label of version 0.7: the key and the text itself.
fn label(pair: &[u8], metric: &mut Metric) -> Result<(), Malformed> {
    let (key, text) = key_value(pair)?;
    let text = std::str::from_utf8(text).map_err(|_| "a label is not UTF-8")?;
    named(key, text.to_owned(), metric);
    Ok(())
}

/// An attribute of version 1.0: the key and any value.
fn attribute(pair: &[u8], metric: &mut Metric) -> Result<(), Malformed> {
    let (key, value) = key_value(pair)?;
    if key != "Dimensions" {
        named(key, value_text(value)?, metric);
        return Ok(());
    }
    // A map is field 6 of a value, and its pairs are field 1 of it.
    each(value, 6, |map| {
        each(map, 1, |pair| {
            let (key, value) = key_value(pair)?;
            metric.dimensions.push((key.to_owned(), value_text(value)?));
            Ok(())
        })
    })
}

fn named(key: &str, text: String, metric: &mut Metric) {
    match key {
        "Namespace" => metric.namespace = text,
        "MetricName" => metric.name = text,
        _ => metric.dimensions.push((key.to_owned(), text)),
    }
}
