//! One data point of any kind, as sent.

use super::super::exponential::{Buckets, Exponential};
use super::super::value::{Malformed, quantile};
use crate::ingest::prometheus::reader::{Reader, Wire};
use wire::Timestamp;

/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`
const NO_RECORDED_VALUE: u64 = 1;

/// Numbers in all lists of one point: more make no sense, and take memory.
const MAX_NUMBERS: usize = 100_000;

#[derive(Debug)]
pub(super) struct Point<'a> {
    /// `KeyValue`s.
    pub(super) attributes: Vec<&'a [u8]>,
    /// 0: not said.
    pub(super) start: Timestamp,
    pub(super) at: Timestamp,
    /// The series has ended, or has nothing to say now.
    pub(super) is_stale: bool,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Number(f64),
    Histogram {
        count: u64,
        sum: Option<f64>,
        bounds: Vec<f64>,
        counts: Vec<u64>,
    },
    Exponential {
        count: u64,
        sum: Option<f64>,
        buckets: Exponential,
    },
    Summary {
        count: u64,
        sum: f64,
        quantiles: Vec<(f64, f64)>,
    },
}

impl<'a> Point<'a> {
    /// Reads a point of the kind that has this field number in a `Metric`.
    pub(super) fn read(kind: u64, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut point = Self {
            attributes: Vec::new(),
            start: Timestamp(0),
            at: Timestamp(0),
            is_stale: false,
            value: Value::Number(f64::NAN),
        };
        match kind {
            9 => point.histogram(body)?,
            10 => point.exponential(body)?,
            11 => point.summary(body)?,
            _ => point.number(body)?,
        }
        Ok(point)
    }

    /// Takes what points of every kind have; `attributes` and `flags` are the numbers of these fields.
    fn common(&mut self, field: u64, content: Wire<'a>, attributes: u64, flags: u64) -> Result<(), Malformed> {
        match content {
            Wire::Bytes(bytes) if field == attributes => {
                if self.attributes.len() >= MAX_NUMBERS {
                    return Err("a data point has too many attributes");
                }
                self.attributes.push(bytes);
            }
            Wire::Fixed64(nanos) if field == 2 => self.start = millis(nanos),
            Wire::Fixed64(nanos) if field == 3 => self.at = millis(nanos),
            Wire::Varint(bits) if field == flags => self.is_stale = bits & NO_RECORDED_VALUE != 0,
            _ => {}
        }
        Ok(())
    }

    fn number(&mut self, body: &'a [u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(body);
        while let Some((field, content)) = reader.next()? {
            match (field, content) {
                (4, Wire::Fixed64(bits)) => self.value = Value::Number(f64::from_bits(bits)),
                (6, Wire::Fixed64(bits)) => self.value = Value::Number(bits.cast_signed() as f64),
                _ => self.common(field, content, 7, 8)?,
            }
        }
        Ok(())
    }

    fn histogram(&mut self, body: &'a [u8]) -> Result<(), Malformed> {
        let (mut count, mut sum, mut bounds, mut counts) = (0, None, Vec::new(), Vec::new());
        let mut reader = Reader::new(body);
        while let Some((field, content)) = reader.next()? {
            match (field, content) {
                (4, Wire::Fixed64(number)) => count = number,
                (5, Wire::Fixed64(bits)) => sum = Some(f64::from_bits(bits)),
                (6, content) => fixed(content, &mut counts, |bits| bits)?,
                (7, content) => fixed(content, &mut bounds, f64::from_bits)?,
                _ => self.common(field, content, 9, 10)?,
            }
        }
        self.value = Value::Histogram {
            count,
            sum,
            bounds,
            counts,
        };
        Ok(())
    }

    fn exponential(&mut self, body: &'a [u8]) -> Result<(), Malformed> {
        let (mut count, mut sum, mut sent) = (0, None, Exponential::default());
        let mut reader = Reader::new(body);
        while let Some((field, content)) = reader.next()? {
            match (field, content) {
                (4, Wire::Fixed64(number)) => count = number,
                (5, Wire::Fixed64(bits)) => sum = Some(f64::from_bits(bits)),
                (6, Wire::Varint(bits)) => sent.scale = zigzag(bits),
                (7, Wire::Fixed64(number)) => sent.zero_count = number as f64,
                (8, Wire::Bytes(body)) => sent.positive = buckets(body)?,
                (9, Wire::Bytes(body)) => sent.negative = buckets(body)?,
                (14, Wire::Fixed64(bits)) => sent.zero_threshold = f64::from_bits(bits),
                _ => self.common(field, content, 1, 10)?,
            }
        }
        self.value = Value::Exponential {
            count,
            sum,
            buckets: sent,
        };
        Ok(())
    }

    fn summary(&mut self, body: &'a [u8]) -> Result<(), Malformed> {
        let (mut count, mut sum, mut quantiles) = (0, 0.0, Vec::new());
        let mut reader = Reader::new(body);
        while let Some((field, content)) = reader.next()? {
            match (field, content) {
                (4, Wire::Fixed64(number)) => count = number,
                (5, Wire::Fixed64(bits)) => sum = f64::from_bits(bits),
                (6, Wire::Bytes(body)) => push(&mut quantiles, quantile(body)?)?,
                _ => self.common(field, content, 7, 8)?,
            }
        }
        self.value = Value::Summary { count, sum, quantiles };
        Ok(())
    }
}

fn buckets(body: &[u8]) -> Result<Buckets, Malformed> {
    let (mut offset, mut counts) = (0, Vec::new());
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Varint(bits)) => offset = zigzag(bits),
            (2, Wire::Varint(count)) => push(&mut counts, count)?,
            (2, Wire::Bytes(packed)) => {
                let mut packed = Reader::new(packed);
                while !packed.is_empty() {
                    push(&mut counts, packed.varint()?)?;
                }
            }
            _ => {}
        }
    }
    Ok(Buckets::dense(offset, counts.into_iter().map(|count| count as f64)))
}

/// A list of fixed 64-bit numbers, packed or not.
fn fixed<T>(content: Wire<'_>, list: &mut Vec<T>, from: impl Fn(u64) -> T) -> Result<(), Malformed> {
    match content {
        Wire::Fixed64(bits) => push(list, from(bits)),
        Wire::Bytes(packed) => {
            let (numbers, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err("a list of fixed numbers is cut off");
            }
            numbers
                .iter()
                .try_for_each(|bytes| push(list, from(u64::from_le_bytes(*bytes))))
        }
        _ => Ok(()),
    }
}

fn push<T>(list: &mut Vec<T>, element: T) -> Result<(), Malformed> {
    if list.len() >= MAX_NUMBERS {
        return Err("a data point has too many buckets or quantiles");
    }
    list.push(element);
    Ok(())
}

/// A `sint32`.
fn zigzag(bits: u64) -> i32 {
    let bits = bits as u32;
    (bits >> 1).cast_signed() ^ -((bits & 1).cast_signed())
}

fn millis(nanos: u64) -> Timestamp {
    Timestamp((nanos / 1_000_000).cast_signed())
}
