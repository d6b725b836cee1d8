//! A recurrence rule as RFC 5545, section 3.3.10, writes it: `FREQ=MONTHLY;BYDAY=-1FR`.
//!
//! Everything of the section but `FREQ=SECONDLY`: nothing that people plan recurs every second.

use jiff::civil::{Date, DateTime, Weekday};
use wire::Timestamp;

/// How often a rule looks at its calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Freq {
    Minutely,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// Where a rule ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Never,
    Count(u32),
    /// The last occurrence is not after this instant,
    At(Timestamp),
    /// or not after this local time.
    Local(DateTime),
}

/// `MO`, or with a number the first (1), last (-1) or n-th of its month or year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByDay {
    /// 0: every one.
    pub(super) nth: i16,
    pub(super) weekday: Weekday,
}

/// A checked rule. Lists are as written; an empty one sets no limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub(super) freq: Freq,
    pub(super) interval: i64,
    pub(super) end: End,
    pub(super) by_minute: Vec<i16>,
    pub(super) by_second: Vec<i16>,
    pub(super) by_hour: Vec<i16>,
    pub(super) by_day: Vec<ByDay>,
    pub(super) by_month_day: Vec<i16>,
    pub(super) by_year_day: Vec<i16>,
    pub(super) by_week_no: Vec<i16>,
    pub(super) by_month: Vec<i16>,
    pub(super) by_set_pos: Vec<i16>,
    pub(super) week_start: Weekday,
}

impl Rule {
    /// Reads a rule, with or without the leading `RRULE:`.
    ///
    /// # Errors
    /// A sentence that shows the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = text
            .strip_prefix("RRULE:")
            .or_else(|| text.strip_prefix("rrule:"))
            .unwrap_or(text);
        let mut rule = Self {
            freq: Freq::Daily,
            interval: 1,
            end: End::Never,
            by_minute: Vec::new(),
            by_second: Vec::new(),
            by_hour: Vec::new(),
            by_day: Vec::new(),
            by_month_day: Vec::new(),
            by_year_day: Vec::new(),
            by_week_no: Vec::new(),
            by_month: Vec::new(),
            by_set_pos: Vec::new(),
            week_start: Weekday::Monday,
        };
        let mut freq = None;
        let mut seen: Vec<String> = Vec::new();
        for part in text.split(';').filter(|part| !part.trim().is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is not of the form NAME=VALUE"))?;
            let (name, value) = (name.trim().to_ascii_uppercase(), value.trim());
            if seen.contains(&name) {
                return Err(format!("{name} is there twice"));
            }
            rule.part(&name, value, &mut freq)?;
            seen.push(name);
        }
        rule.freq = freq.ok_or("needs a part FREQ, such as FREQ=WEEKLY")?;
        rule.check()?;
        Ok(rule)
    }

    fn part(&mut self, name: &str, value: &str, freq: &mut Option<Freq>) -> Result<(), String> {
        match name {
            "FREQ" => *freq = Some(parse_freq(value)?),
            "INTERVAL" => {
                self.interval = number(name, value, 1, 100_000)?.into();
            }
            "COUNT" | "UNTIL" if self.end != End::Never => {
                return Err("COUNT and UNTIL must not both be there".to_owned());
            }
            "COUNT" => {
                let count = number(name, value, 1, 1_000_000)?;
                self.end = End::Count(count.unsigned_abs());
            }
            "UNTIL" => self.end = parse_until(value)?,
            "BYSECOND" => self.by_second = list(name, value, 0, 60)?,
            "BYMINUTE" => self.by_minute = list(name, value, 0, 59)?,
            "BYHOUR" => self.by_hour = list(name, value, 0, 23)?,
            "BYMONTHDAY" => self.by_month_day = signed_list(name, value, 31)?,
            "BYYEARDAY" => self.by_year_day = signed_list(name, value, 366)?,
            "BYWEEKNO" => self.by_week_no = signed_list(name, value, 53)?,
            "BYMONTH" => self.by_month = list(name, value, 1, 12)?,
            "BYSETPOS" => self.by_set_pos = signed_list(name, value, 366)?,
            "BYDAY" => self.by_day = value.split(',').map(parse_by_day).collect::<Result<_, _>>()?,
            "WKST" => self.week_start = parse_weekday(value)?,
            _ => return Err(format!("{name} is not a part of a recurrence rule")),
        }
        Ok(())
    }

    /// The combinations that the RFC forbids.
    fn check(&self) -> Result<(), String> {
        let numbered = self.by_day.iter().any(|day| day.nth != 0);
        if numbered && !matches!(self.freq, Freq::Monthly | Freq::Yearly) {
            return Err("BYDAY with a number needs FREQ=MONTHLY or FREQ=YEARLY".to_owned());
        }
        if numbered && !self.by_week_no.is_empty() {
            return Err("BYDAY with a number and BYWEEKNO exclude each other".to_owned());
        }
        if !self.by_week_no.is_empty() && self.freq != Freq::Yearly {
            return Err("BYWEEKNO needs FREQ=YEARLY".to_owned());
        }
        if !self.by_year_day.is_empty() && matches!(self.freq, Freq::Daily | Freq::Weekly | Freq::Monthly) {
            return Err("BYYEARDAY does not go with FREQ=DAILY, WEEKLY or MONTHLY".to_owned());
        }
        if !self.by_month_day.is_empty() && self.freq == Freq::Weekly {
            return Err("BYMONTHDAY does not go with FREQ=WEEKLY".to_owned());
        }
        let others = [
            &self.by_minute,
            &self.by_second,
            &self.by_hour,
            &self.by_month_day,
            &self.by_year_day,
            &self.by_week_no,
            &self.by_month,
        ];
        if !self.by_set_pos.is_empty() && self.by_day.is_empty() && others.iter().all(|list| list.is_empty()) {
            return Err("BYSETPOS needs another BY part to choose from".to_owned());
        }
        Ok(())
    }
}

fn parse_freq(value: &str) -> Result<Freq, String> {
    match value.to_ascii_uppercase().as_str() {
        "MINUTELY" => Ok(Freq::Minutely),
        "HOURLY" => Ok(Freq::Hourly),
        "DAILY" => Ok(Freq::Daily),
        "WEEKLY" => Ok(Freq::Weekly),
        "MONTHLY" => Ok(Freq::Monthly),
        "YEARLY" => Ok(Freq::Yearly),
        "SECONDLY" => Err("FREQ=SECONDLY is not supported; use MINUTELY or a longer one".to_owned()),
        _ => Err(format!(
            "FREQ must be MINUTELY, HOURLY, DAILY, WEEKLY, MONTHLY or YEARLY, got {value:?}"
        )),
    }
}

fn parse_until(value: &str) -> Result<End, String> {
    match parse_stamp(value) {
        Some(Stamp::Utc(at)) => Ok(End::At(at)),
        Some(Stamp::Local(at)) => Ok(End::Local(at)),
        // A date includes its whole day.
        Some(Stamp::Date(date)) => Ok(End::Local(date.at(23, 59, 59, 0))),
        None => Err(format!(
            "UNTIL must be a date (20261231) or a time (20261231T220000Z), got {value:?}"
        )),
    }
}

/// A DATE or DATE-TIME of RFC 5545, or the same in ISO 8601.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stamp {
    Utc(Timestamp),
    Local(DateTime),
    Date(Date),
}

/// Reads `19970714`, `19970714T133000`, `19970714T173000Z`, and their ISO 8601 spellings.
pub(super) fn parse_stamp(text: &str) -> Option<Stamp> {
    let text = text.trim();
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(Stamp::Utc(Timestamp(at.as_millisecond())));
    }
    if text.contains(['T', 't', ' ']) {
        return text.parse::<DateTime>().ok().map(Stamp::Local);
    }
    text.parse::<Date>().ok().map(Stamp::Date)
}

fn parse_by_day(text: &str) -> Result<ByDay, String> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (nth, day) = text.split_at(split);
    let nth = match nth {
        "" => 0,
        nth => nth
            .parse::<i16>()
            .ok()
            .filter(|n| *n != 0 && n.abs() <= 53)
            .ok_or_else(|| format!("BYDAY takes days such as MO, 1MO or -1FR, got {text:?}"))?,
    };
    Ok(ByDay {
        nth,
        weekday: parse_weekday(day)?,
    })
}

fn parse_weekday(text: &str) -> Result<Weekday, String> {
    match text.to_ascii_uppercase().as_str() {
        "MO" => Ok(Weekday::Monday),
        "TU" => Ok(Weekday::Tuesday),
        "WE" => Ok(Weekday::Wednesday),
        "TH" => Ok(Weekday::Thursday),
        "FR" => Ok(Weekday::Friday),
        "SA" => Ok(Weekday::Saturday),
        "SU" => Ok(Weekday::Sunday),
        _ => Err(format!("a weekday is one of MO TU WE TH FR SA SU, got {text:?}")),
    }
}

fn number(name: &str, text: &str, min: i32, max: i32) -> Result<i32, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|n| (min..=max).contains(n))
        .ok_or_else(|| format!("{name} takes whole numbers from {min} to {max}, got {text:?}"))
}

fn list(name: &str, text: &str, min: i32, max: i32) -> Result<Vec<i16>, String> {
    text.split(',')
        .map(|part| number(name, part, min, max).map(|n| n as i16))
        .collect()
}

/// Numbers that count from the end if negative.
fn signed_list(name: &str, text: &str, max: i32) -> Result<Vec<i16>, String> {
    let numbers = list(name, text, -max, max)?;
    if numbers.contains(&0) {
        return Err(format!("{name} counts from 1, or from the end with -1; 0 is neither"));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, words: &str) {
        let error = Rule::parse(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        refused("", "FREQ");
        refused("BYDAY=MO", "FREQ");
        refused("FREQ=FORTNIGHTLY", "FORTNIGHTLY");
        refused("FREQ=SECONDLY", "MINUTELY");
        refused("FREQ=DAILY;INTERVAL=0", "INTERVAL");
        refused("FREQ=DAILY;COUNT=3;UNTIL=20260101", "COUNT and UNTIL");
        refused("FREQ=DAILY;COUNT=3;COUNT=4", "twice");
        refused("FREQ=DAILY;UNTIL=someday", "UNTIL");
        refused("FREQ=WEEKLY;BYDAY=1MO", "BYDAY with a number");
        refused("FREQ=MONTHLY;BYDAY=XX", "weekday");
        refused("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY");
        refused("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY");
        refused("FREQ=MONTHLY;BYSETPOS=-1", "BYSETPOS");
        refused("FREQ=MONTHLY;BYWEEKNO=3", "YEARLY");
        refused("FREQ=DAILY;BYEASTER=1", "BYEASTER");
        refused("FREQ=DAILY;BYHOUR", "NAME=VALUE");
    }

    #[test]
    fn stamps_come_in_both_spellings() {
        assert_eq!(parse_stamp("19970714T173000Z"), parse_stamp("1997-07-14T17:30:00Z"));
        assert_eq!(parse_stamp("19970714T133000"), parse_stamp("1997-07-14T13:30:00"));
        assert_eq!(parse_stamp("19970714"), parse_stamp("1997-07-14"));
        assert_eq!(parse_stamp("soon"), None);
    }
}
