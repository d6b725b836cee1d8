//! `AnyValue` and attributes: values of any type, as text.
//!
//! Text stays as it is, numbers and truth values are written out, bytes become base64, lists and maps become JSON, as the
//! Collector writes them. O(length) of the value; what is nested deeper than anybody can read ends in `…`.

use crate::ingest::prometheus::reader::{Reader, Wire};
use base64::Engine as _;
use std::fmt::Write as _;

/// Levels of lists and maps that are written out.
const MAX_DEPTH: usize = 16;

/// A malformed field.
pub(in crate::ingest) type Malformed = &'static str;

/// A `KeyValue`: the key and the bytes of the value.
pub(in crate::ingest) fn key_value(body: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let (mut key, mut value) = (&body[..0], &body[..0]);
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((std::str::from_utf8(key).map_err(|_| "a key is not UTF-8")?, value))
}

/// A quantile and its value, as a summary has them.
pub(in crate::ingest) fn quantile(body: &[u8]) -> Result<(f64, f64), Malformed> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Fixed64(bits)) => quantile = f64::from_bits(bits),
            (2, Wire::Fixed64(bits)) => value = f64::from_bits(bits),
            _ => {}
        }
    }
    Ok((quantile, value))
}

/// A value as text. A string is itself, without quotes.
pub(in crate::ingest) fn text(body: &[u8]) -> Result<String, Malformed> {
    let mut out = String::new();
    write(body, &mut out, 0)?;
    Ok(out)
}

fn write(body: &[u8], out: &mut String, depth: usize) -> Result<(), Malformed> {
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        // Of several values the last one counts, as protobuf has it.
        match (field, content) {
            (1, Wire::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?;
                if depth == 0 {
                    out.clear();
                    out.push_str(text);
                } else {
                    quoted(text, out);
                }
            }
            (2, Wire::Varint(truth)) => out.push_str(if truth == 0 { "false" } else { "true" }),
            // Writing to a string cannot fail, here and below.
            (3, Wire::Varint(bits)) => drop(write!(out, "{}", bits.cast_signed())),
            (4, Wire::Fixed64(bits)) => number(f64::from_bits(bits), out, depth),
            (5 | 6, Wire::Bytes(_)) if depth >= MAX_DEPTH => quoted("…", out),
            (5, Wire::Bytes(list)) => elements(list, out, ['[', ']'], |element, out| write(element, out, depth + 1))?,
            (6, Wire::Bytes(map)) => elements(map, out, ['{', '}'], |pair, out| {
                let (key, value) = key_value(pair)?;
                quoted(key, out);
                out.push(':');
                let before = out.len();
                write(value, out, depth + 1)?;
                if out.len() == before {
                    out.push_str("null");
                }
                Ok(())
            })?,
            (7, Wire::Bytes(bytes)) => {
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                if depth == 0 {
                    out.push_str(&text);
                } else {
                    quoted(&text, out);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn elements(
    body: &[u8],
    out: &mut String,
    brackets: [char; 2],
    mut element: impl FnMut(&[u8], &mut String) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    out.push(brackets[0]);
    let mut is_first = true;
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        if let (1, Wire::Bytes(bytes)) = (field, content) {
            if !std::mem::replace(&mut is_first, false) {
                out.push(',');
            }
            let before = out.len();
            element(bytes, out)?;
            if out.len() == before {
                out.push_str("null");
            }
        }
    }
    out.push(brackets[1]);
    Ok(())
}

fn number(value: f64, out: &mut String, depth: usize) {
    if value.is_finite() || depth == 0 {
        let _ = write!(out, "{value}");
    } else {
        // JSON has no such number.
        quoted(&value.to_string(), out);
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("a string always serializes"));
}

/// Attributes as text, in the order sent.
pub(super) fn attribute(body: &[u8]) -> Result<(String, String), Malformed> {
    let (key, value) = key_value(body)?;
    Ok((key.to_owned(), text(value)?))
}

#[cfg(test)]
mod tests {
    use super::super::json::AnyValue;
    use super::*;
    use prost::Message as _;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        let value: AnyValue = serde_json::from_str(json).unwrap();
        assert_eq!(text(&value.encode_to_vec()).unwrap(), expected, "{json}");
    }

    #[test]
    fn every_type_is_written_out() {
        check(r#"{"stringValue":"a \"b\""}"#, "a \"b\"");
        check(r#"{"stringValue":""}"#, "");
        check(r#"{"boolValue":false}"#, "false");
        check(r#"{"intValue":"-9007199254740993"}"#, "-9007199254740993");
        check(r#"{"intValue":7}"#, "7");
        check(r#"{"doubleValue":0.25}"#, "0.25");
        check(r#"{"bytesValue":"aGFsbw=="}"#, "aGFsbw==");
        let list = r#"{"arrayValue":{"values":[{"stringValue":"a"},{"intValue":1},{},{"doubleValue":"NaN"}]}}"#;
        check(list, r#"["a",1,null,"NaN"]"#);
        let map = r#"{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":true}},{"key":"e"}]}}"#;
        check(map, r#"{"k":true,"e":null}"#);
        check("{}", "");
    }

    #[test]
    fn depth_has_an_end() {
        let mut body = AnyValue::default().encode_to_vec();
        for _ in 0..10_000 {
            // A list of one value.
            let list = [vec![0x0a], varint(body.len()), body].concat();
            body = [vec![0x2a], varint(list.len()), list].concat();
        }
        let text = text(&body).unwrap();
        assert!(text.contains('…') && text.len() < 100, "{text}");
    }

    fn varint(mut number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }
}
