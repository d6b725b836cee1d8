//! One line: `name:value|type|@rate|#tag:value,tag`, also with several values (`name:1:2:3|h`, DogStatsD 1.1).
//!
//! A container id (`|c:`) and a timestamp (`|T`) are passed over: what counts is when the line came. Events and service checks are
//! refused.

/// What a line brings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `c`: so many more.
    Count(f64),
    /// `g`: as much as this,
    Gauge(f64),
    /// or so much more or less.
    GaugeBy(f64),
    /// `ms`: took so long.
    Timer(f64),
    /// `h`, `d`: one value of a distribution.
    Distribution(f64),
    /// `s`: one thing, which counts once.
    Member(&'a str),
}

/// A line without errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    pub name: &'a str,
    pub values: Vec<Value<'a>>,
    /// Share of the events that were sent, above 0 and at most 1.
    pub rate: f64,
    /// A tag without a value has the value `true`.
    pub tags: Vec<(&'a str, &'a str)>,
}

/// Values in one line at most.
const MAX_VALUES: usize = 1000;

/// Reads a line.
///
/// # Errors
/// What is wrong with it.
pub fn parse_line(line: &[u8]) -> Result<Line<'_>, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    if line.starts_with("_e{") || line.starts_with("_sc|") {
        return Err("events and service checks are not taken");
    }
    let mut parts = line.split('|');
    let head = parts.next().unwrap_or_default();
    let kind = parts.next().ok_or("it has no type: name:value|type")?;
    let (name, values) = head.split_once(':').ok_or("it has no value: name:value|type")?;
    if name.is_empty() {
        return Err("it has no name");
    }
    let (mut rate, mut tags) = (1.0, Vec::new());
    for part in parts {
        if let Some(text) = part.strip_prefix('@') {
            let given = number(text).filter(|rate| *rate > 0.0 && *rate <= 1.0);
            rate = given.ok_or("the sample rate must be above 0 and at most 1")?;
        } else if let Some(text) = part.strip_prefix('#') {
            let all = text.split(',').filter(|tag| !tag.is_empty());
            tags.extend(all.map(|tag| tag.split_once(':').unwrap_or((tag, "true"))));
        } else if !part.starts_with("c:") && !part.starts_with('T') && !part.is_empty() {
            return Err("it has a part that is neither a rate nor tags");
        }
    }
    let values: Vec<Value<'_>> = if kind == "s" {
        vec![Value::Member(values)]
    } else {
        let all = values.split(':').take(MAX_VALUES + 1);
        all.map(|text| value(kind, text)).collect::<Result<_, _>>()?
    };
    if values.len() > MAX_VALUES {
        return Err("it has more than 1000 values");
    }
    Ok(Line {
        name,
        values,
        rate,
        tags,
    })
}

fn value<'a>(kind: &str, text: &'a str) -> Result<Value<'a>, &'static str> {
    let number = number(text).ok_or("the value is no finite number")?;
    Ok(match kind {
        "c" if number < 0.0 => return Err("a counter only grows: send a gauge"),
        "c" => Value::Count(number),
        "g" if text.starts_with(['+', '-']) => Value::GaugeBy(number),
        "g" => Value::Gauge(number),
        "ms" => Value::Timer(number),
        "h" | "d" => Value::Distribution(number),
        _ => return Err("the type is none of c, g, ms, h, d, s"),
    })
}

fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}
