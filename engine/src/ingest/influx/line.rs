//! One line of the line protocol (docs.influxdata.com, "Line protocol reference").

use std::borrow::Cow;

/// A line without errors. Names and values have their escapes resolved.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) measurement: Cow<'a, str>,
    pub(super) tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) fields: Vec<(Cow<'a, str>, Field)>,
    /// In the unit of the request.
    pub(super) timestamp: Option<i64>,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Field {
    Number(f64),
    Text,
}

/// Reads a line.
pub(super) fn parse_line(line: &[u8]) -> Result<Line<'_>, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let (measurement, mut rest) = until(line, &[',', ' ']);
    if measurement.is_empty() {
        return Err("missing measurement");
    }
    let mut tags = Vec::new();
    while let Some(after) = rest.strip_prefix(',') {
        let (name, after) = until(after, &['=', ',', ' ']);
        let after = after.strip_prefix('=').ok_or("missing tag value")?;
        let (value, after) = until(after, &[',', ' ', '=']);
        if name.is_empty() {
            return Err("missing tag key");
        }
        if value.is_empty() {
            return Err("missing tag value");
        }
        if after.starts_with('=') {
            return Err("invalid tag format");
        }
        tags.push((plain(name), plain(value)));
        rest = after;
    }
    let mut rest = rest.trim_start_matches(' ');
    if rest.is_empty() {
        return Err("missing fields");
    }
    let mut fields = Vec::new();
    loop {
        let (name, after) = until(rest, &['=', ',', ' ']);
        let after = after.strip_prefix('=').ok_or("invalid field format")?;
        if name.is_empty() {
            return Err("missing field key");
        }
        let (field, after) = field(after)?;
        fields.push((plain(name), field));
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                rest = after;
                break;
            }
        }
    }
    let timestamp = match rest.trim_matches(' ') {
        "" => None,
        _ if !rest.starts_with(' ') => return Err("invalid field format"),
        text => Some(text.parse().map_err(|_| "bad timestamp")?),
    };
    Ok(Line {
        measurement: plain(measurement),
        tags,
        fields,
        timestamp,
    })
}

/// Splits before the first of `ends` that no backslash escapes.
fn until<'a>(text: &'a str, ends: &[char]) -> (&'a str, &'a str) {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if ends.contains(&c) {
            return text.split_at(at);
        }
    }
    (text, "")
}

/// Resolves escapes of commas, equal signs and spaces; any other backslash is one.
fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let special = matches!(chars.peek(), Some(',' | '=' | ' '));
        if c != '\\' || !special {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn field(text: &str) -> Result<(Field, &str), &'static str> {
    if let Some(inner) = text.strip_prefix('"') {
        let mut escaped = false;
        for (at, c) in inner.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Ok((Field::Text, &inner[at + 1..])),
                _ => {}
            }
        }
        return Err("unbalanced quotes");
    }
    let (value, rest) = until(text, &[',', ' ']);
    let number = match value {
        "" => return Err("missing field value"),
        "t" | "T" | "true" | "True" | "TRUE" => 1.0,
        "f" | "F" | "false" | "False" | "FALSE" => 0.0,
        _ => number(value).ok_or("invalid number")?,
    };
    Ok((Field::Number(number), rest))
}

/// `1.5`, `2i`, `3u`; infinite and NaN have no place in the protocol.
fn number(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_suffix('i') {
        return digits.parse::<i64>().ok().map(|number| number as f64);
    }
    if let Some(digits) = text.strip_suffix('u') {
        return digits.parse::<u64>().ok().map(|number| number as f64);
    }
    let digits = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    text.parse::<f64>().ok().filter(|number| digits && number.is_finite())
}
