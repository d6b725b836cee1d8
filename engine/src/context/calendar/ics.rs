//! A calendar file (iCalendar, RFC 5545) as schedules: what a public holiday calendar holds.
//!
//! Read of every `VEVENT`: `SUMMARY`, `DTSTART` with `TZID` or `VALUE=DATE`, `DTEND` or `DURATION`, `RRULE`, `RDATE`, `EXDATE`.
//! Cancelled events (`STATUS:CANCELLED`) are left out; everything else is skipped.

use super::expand::instant;
use super::rule::{Rule, Stamp, parse_stamp};
use super::schedule::{Length, Plan, Schedule, find_zone};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// One entry of a calendar.
#[derive(Clone, Debug)]
pub struct Event {
    pub summary: String,
    pub schedule: Schedule,
}

/// A line of the file: name, parameters, value, and where it begins.
#[derive(Debug)]
struct Line {
    number: usize,
    name: String,
    params: Vec<(String, String)>,
    value: String,
}

/// Reads a calendar. A time without zone, and a whole day, is local to `zone` (an IANA name).
///
/// # Errors
/// Line number and sentence of the first problem.
pub fn parse_ics(text: &str, zone: &str) -> Result<Vec<Event>, (usize, String)> {
    let zone = find_zone(zone).map_err(|e| (0, e))?;
    let lines = unfold(text)?;
    if !lines
        .first()
        .is_some_and(|l| l.name == "BEGIN" && l.value.eq_ignore_ascii_case("VCALENDAR"))
    {
        return Err((1, "an iCalendar file begins with BEGIN:VCALENDAR".to_owned()));
    }
    let mut events = Vec::new();
    let mut open: Option<(usize, Vec<&Line>)> = None;
    // An alarm within an event has lines of the same names.
    let mut inner = 0;
    for line in &lines {
        let is_event = line.value.eq_ignore_ascii_case("VEVENT");
        match (line.name.as_str(), &mut open) {
            ("BEGIN", None) if is_event => open = Some((line.number, Vec::new())),
            ("BEGIN", Some(_)) => inner += 1,
            ("END", Some(_)) if inner > 0 => inner -= 1,
            ("END", Some((begins, own))) if is_event => {
                events.extend(event(*begins, own, &zone)?);
                open = None;
            }
            (_, Some((_, own))) if inner == 0 => own.push(line),
            _ => {}
        }
    }
    match open {
        Some((begins, _)) => Err((begins, "the event has no END:VEVENT".to_owned())),
        None => Ok(events),
    }
}

fn event(begins: usize, lines: &[&Line], zone: &TimeZone) -> Result<Option<Event>, (usize, String)> {
    let find = |name: &str| lines.iter().find(|line| line.name == name);
    if find("STATUS").is_some_and(|line| line.value.eq_ignore_ascii_case("CANCELLED")) {
        return Ok(None);
    }
    let summary = find("SUMMARY").map_or_else(|| "event".to_owned(), |line| unescape(&line.value));
    let line = find("DTSTART").ok_or_else(|| (begins, format!("the event {summary:?} has no DTSTART")))?;
    let own_zone = zone_of(line, zone)?;
    let stamp = stamp(line, &line.value)?;
    let whole_day = matches!(stamp, Stamp::Date(_));
    let (start, own_zone) = civil(stamp, own_zone);
    let length = match (find("DTEND"), find("DURATION")) {
        (Some(end), _) => {
            let end_at = civil(self::stamp(end, &end.value)?, zone_of(end, &own_zone)?);
            length_between((start, &own_zone), (end_at.0, &end_at.1), whole_day)
                .ok_or_else(|| (end.number, format!("the event {summary:?} must end after it starts")))?
        }
        (None, Some(line)) => Length::parse(&line.value).map_err(|e| (line.number, e))?,
        // A date alone is that day; a time alone has no length (RFC 5545, section 3.6.1).
        (None, None) if whole_day => Length { days: 1, ms: 0 },
        (None, None) => return Ok(None),
    };
    let rule = match find("RRULE") {
        Some(line) => Some(Rule::parse(&line.value).map_err(|e| (line.number, e))?),
        None => None,
    };
    let schedule = Schedule::new(Plan {
        start,
        length,
        rule,
        extra: stamps(lines, "RDATE", &own_zone)?,
        except: stamps(lines, "EXDATE", &own_zone)?,
        zone: own_zone,
    })
    .map_err(|e| (begins, e))?;
    Ok(Some(Event { summary, schedule }))
}

fn length_between(start: (DateTime, &TimeZone), end: (DateTime, &TimeZone), whole_day: bool) -> Option<Length> {
    let length = if whole_day {
        let days = end.0.date().since(start.0.date()).ok()?.get_days();
        Length {
            days: days.into(),
            ms: 0,
        }
    } else {
        let passed = instant(end.1, end.0, true)?.millis_since(instant(start.1, start.0, true)?);
        Length { days: 0, ms: passed }
    };
    (length.days > 0 || length.ms > 0).then_some(length)
}

/// All values of the lines called `name`, in the event's zone where they have another.
fn stamps(lines: &[&Line], name: &str, zone: &TimeZone) -> Result<Vec<Stamp>, (usize, String)> {
    let mut found = Vec::new();
    for line in lines.iter().filter(|line| line.name == name) {
        let own = zone_of(line, zone)?;
        for value in line.value.split(',') {
            // Of a period the start counts: its length is the event's.
            let value = value.split('/').next().unwrap_or(value);
            found.push(match stamp(line, value)? {
                Stamp::Local(at) if own != *zone => Stamp::Utc(
                    instant(&own, at, true).ok_or_else(|| (line.number, format!("{value:?} is not a time")))?,
                ),
                other => other,
            });
        }
    }
    Ok(found)
}

fn stamp(line: &Line, value: &str) -> Result<Stamp, (usize, String)> {
    parse_stamp(value).ok_or_else(|| (line.number, format!("{} holds no time: {value:?}", line.name)))
}

fn civil(stamp: Stamp, zone: TimeZone) -> (DateTime, TimeZone) {
    match stamp {
        Stamp::Local(at) => (at, zone),
        Stamp::Date(date) => (date.at(0, 0, 0, 0), zone),
        Stamp::Utc(at) => {
            let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default();
            (TimeZone::UTC.to_datetime(at), TimeZone::UTC)
        }
    }
}

fn zone_of(line: &Line, fallback: &TimeZone) -> Result<TimeZone, (usize, String)> {
    match line.params.iter().find(|(name, _)| name == "TZID") {
        Some((_, name)) => find_zone(name).map_err(|e| (line.number, e)),
        None => Ok(fallback.clone()),
    }
}

/// Joins folded lines and takes each apart.
fn unfold(text: &str) -> Result<Vec<Line>, (usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut joined: Vec<(usize, String)> = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let raw = raw.trim_end_matches('\r');
        match (raw.strip_prefix([' ', '\t']), joined.last_mut()) {
            (Some(rest), Some((_, line))) => line.push_str(rest),
            _ if raw.trim().is_empty() => {}
            _ => joined.push((index + 1, raw.to_owned())),
        }
    }
    joined
        .into_iter()
        .map(|(number, line)| take_apart(number, &line).ok_or((number, format!("{line:?} is not NAME:VALUE"))))
        .collect()
}

fn take_apart(number: usize, line: &str) -> Option<Line> {
    let mut quoted = false;
    let colon = line.find(|c| {
        quoted ^= c == '"';
        c == ':' && !quoted
    })?;
    let (head, value) = (&line[..colon], &line[colon + 1..]);
    let mut parts = head.split(';');
    let name = parts.next()?.trim().to_ascii_uppercase();
    let params = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.to_ascii_uppercase(), value.trim_matches('"').to_owned()))
        .collect();
    (!name.is_empty()).then(|| Line {
        number,
        name,
        params,
        value: value.trim().to_owned(),
    })
}

/// Takes the backslashes of a TEXT value away (RFC 5545, section 3.3.11).
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push(' '),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}
