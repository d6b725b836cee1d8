//! Oracles: the examples of RFC 5545, section 3.8.5.3, zone America/New_York unless said otherwise, and published changes of
//! clocks.

use super::*;
use wire::Timestamp;

pub(super) fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

pub(super) fn schedule(start: &str, zone: &str, rule: &str, except: &[&str]) -> Schedule {
    let except: Vec<String> = except.iter().map(|e| (*e).to_owned()).collect();
    Schedule::recurring(start, zone, Length { days: 0, ms: 3_600_000 }, Some(rule), &except).unwrap()
}

/// Starts from `from` on, in local time with offset.
fn starts(schedule: &Schedule, zone: &str, from: &str, until: &str) -> Vec<String> {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap();
    let from = at(from);
    schedule
        .spans(from, at(until))
        .into_iter()
        .filter(|span| span.from >= from)
        .map(|span| {
            let at = jiff::Timestamp::from_millisecond(span.from.0).unwrap();
            at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M %:z").to_string()
        })
        .collect()
}

/// The days on which `rule` occurs, all at 09:00 in New York, from 1997-09-02T09:00 on or from `start`.
#[track_caller]
fn check(start: &str, rule: &str, until: &str, days: &str) {
    let found = starts(
        &schedule(start, "America/New_York", rule, &[]),
        "America/New_York",
        "1997-01-01T00:00:00Z",
        until,
    );
    let times: Vec<&str> = found.iter().map(|day| &day[11..16]).collect();
    assert!(times.iter().all(|time| *time == "09:00"), "{rule}: {times:?}");
    let found: Vec<&str> = found.iter().map(|day| &day[..10]).collect();
    let expected: Vec<&str> = days.split_whitespace().collect();
    assert_eq!(found, expected, "{rule}");
}

const START: &str = "19970902T090000";
const FAR: &str = "2010-01-01T00:00:00Z";

#[test]
fn daily_and_weekly_examples_of_the_rfc() {
    check(
        START,
        "FREQ=DAILY;INTERVAL=10;COUNT=5",
        FAR,
        "1997-09-02 1997-09-12 1997-09-22 1997-10-02 1997-10-12",
    );
    check(
        START,
        "FREQ=WEEKLY;COUNT=10",
        FAR,
        "1997-09-02 1997-09-09 1997-09-16 1997-09-23 1997-09-30 1997-10-07 1997-10-14 1997-10-21 1997-10-28 1997-11-04",
    );
    check(
        START,
        "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
        "1997-11-30T00:00:00Z",
        "1997-09-02 1997-09-16 1997-09-30 1997-10-14 1997-10-28 1997-11-11 1997-11-25",
    );
    check(
        START,
        "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH",
        FAR,
        "1997-09-02 1997-09-04 1997-09-09 1997-09-11 1997-09-16 1997-09-18 1997-09-23 1997-09-25 1997-09-30 1997-10-02",
    );
    check(
        "19970901T090000",
        "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
        "1997-10-12T00:00:00Z",
        "1997-09-01 1997-09-03 1997-09-05 1997-09-15 1997-09-17 1997-09-19 1997-09-29 1997-10-01 1997-10-03",
    );
    // The same rule with another start of the week gives other days.
    check(
        "19970805T090000",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
        FAR,
        "1997-08-05 1997-08-10 1997-08-19 1997-08-24",
    );
    check(
        "19970805T090000",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
        FAR,
        "1997-08-05 1997-08-17 1997-08-19 1997-08-31",
    );
    let january = schedule(
        "19980101T090000",
        "America/New_York",
        "FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1",
        &[],
    );
    assert_eq!(january.spans(at("1998-01-01T00:00:00Z"), at(FAR)).len(), 93);
}

#[test]
fn monthly_examples_of_the_rfc() {
    check(
        "19970905T090000",
        "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
        FAR,
        "1997-09-05 1997-10-03 1997-11-07 1997-12-05 1998-01-02 1998-02-06 1998-03-06 1998-04-03 1998-05-01 1998-06-05",
    );
    check(
        "19970907T090000",
        "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
        FAR,
        "1997-09-07 1997-09-28 1997-11-02 1997-11-30 1998-01-04 1998-01-25 1998-03-01 1998-03-29 1998-05-03 1998-05-31",
    );
    check(
        "19970922T090000",
        "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
        FAR,
        "1997-09-22 1997-10-20 1997-11-17 1997-12-22 1998-01-19 1998-02-16",
    );
    check(
        "19970928T090000",
        "FREQ=MONTHLY;BYMONTHDAY=-3",
        "1998-03-01T00:00:00Z",
        "1997-09-28 1997-10-29 1997-11-28 1997-12-29 1998-01-29 1998-02-26",
    );
    check(
        "19970930T090000",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
        FAR,
        "1997-09-30 1997-10-01 1997-10-31 1997-11-01 1997-11-30 1997-12-01 1997-12-31 1998-01-01 1998-01-31 1998-02-01",
    );
    check(
        "19970910T090000",
        "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
        FAR,
        "1997-09-10 1997-09-11 1997-09-12 1997-09-13 1997-09-14 1997-09-15 1999-03-10 1999-03-11 1999-03-12 1999-03-13",
    );
    check(
        "19970902T090000",
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        "2000-12-31T00:00:00Z",
        "1998-02-13 1998-03-13 1998-11-13 1999-08-13 2000-10-13",
    );
    check(
        "19970913T090000",
        "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
        "1998-03-01T00:00:00Z",
        "1997-09-13 1997-10-11 1997-11-08 1997-12-13 1998-01-10 1998-02-07",
    );
    check(
        "19970904T090000",
        "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
        FAR,
        "1997-09-04 1997-10-07 1997-11-06",
    );
    check(
        "19970929T090000",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
        "1998-04-01T00:00:00Z",
        "1997-09-29 1997-10-30 1997-11-27 1997-12-30 1998-01-29 1998-02-26 1998-03-30",
    );
    // 30 February does not exist, and is not counted.
    check(
        "20070115T090000",
        "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
        FAR,
        "2007-01-15 2007-01-30 2007-02-15 2007-03-15 2007-03-30",
    );
}

#[test]
fn yearly_examples_of_the_rfc() {
    check(
        "19970610T090000",
        "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
        FAR,
        "1997-06-10 1997-07-10 1998-06-10 1998-07-10 1999-06-10 1999-07-10 2000-06-10 2000-07-10 2001-06-10 2001-07-10",
    );
    check(
        "19970310T090000",
        "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
        FAR,
        "1997-03-10 1999-01-10 1999-02-10 1999-03-10 2001-01-10 2001-02-10 2001-03-10 2003-01-10 2003-02-10 2003-03-10",
    );
    check(
        "19970101T090000",
        "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
        FAR,
        "1997-01-01 1997-04-10 1997-07-19 2000-01-01 2000-04-09 2000-07-18 2003-01-01 2003-04-10 2003-07-19 2006-01-01",
    );
    check(
        "19970519T090000",
        "FREQ=YEARLY;BYDAY=20MO",
        "2000-01-01T00:00:00Z",
        "1997-05-19 1998-05-18 1999-05-17",
    );
    check(
        "19970512T090000",
        "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
        "2000-01-01T00:00:00Z",
        "1997-05-12 1998-05-11 1999-05-17",
    );
    check(
        "19970313T090000",
        "FREQ=YEARLY;BYMONTH=3;BYDAY=TH",
        "1999-01-01T00:00:00Z",
        "1997-03-13 1997-03-20 1997-03-27 1998-03-05 1998-03-12 1998-03-19 1998-03-26",
    );
    check(
        "19961105T090000",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
        "2005-01-01T00:00:00Z",
        "2000-11-07 2004-11-02",
    );
    // Week 53 exists in 2004 and 2009 (ISO 8601).
    check(
        "20040101T090000",
        "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO",
        "2015-01-01T00:00:00Z",
        "2004-12-27 2009-12-28",
    );
}

#[test]
fn examples_of_the_rfc_below_a_day() {
    let zone = "America/New_York";
    let hourly = schedule(START, zone, "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z", &[]);
    let found = starts(&hourly, zone, "1997-09-01T00:00:00Z", FAR);
    // 21:00Z is 17:00 in New York (erratum 3883 of the RFC corrects its example to this).
    assert_eq!(
        found,
        [
            "1997-09-02 09:00 -04:00",
            "1997-09-02 12:00 -04:00",
            "1997-09-02 15:00 -04:00"
        ]
    );
    let minutely = schedule(START, zone, "FREQ=MINUTELY;INTERVAL=90;COUNT=4", &[]);
    let found = starts(&minutely, zone, "1997-09-01T00:00:00Z", FAR);
    let times: Vec<&str> = found.iter().map(|at| &at[11..16]).collect();
    assert_eq!(times, ["09:00", "10:30", "12:00", "13:30"]);
    // "Every 20 minutes from 9:00 AM to 4:40 PM every day", written in both of the RFC's ways.
    let daily = schedule(
        START,
        zone,
        "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40",
        &[],
    );
    let minutely = schedule(
        START,
        zone,
        "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16",
        &[],
    );
    let (from, until) = (at("1997-10-20T00:00:00Z"), at("1997-10-30T00:00:00Z"));
    assert_eq!(daily.spans(from, until), minutely.spans(from, until));
    assert_eq!(daily.spans(from, until).len(), 240);
}

#[test]
fn exceptions_are_left_out_and_counted() {
    let rule = "FREQ=DAILY;COUNT=4";
    let days = |except: &[&str]| {
        let schedule = schedule(START, "America/New_York", rule, except);
        let found = starts(&schedule, "America/New_York", "1997-01-01T00:00:00Z", FAR);
        found.iter().map(|day| day[8..10].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(days(&["19970903T090000"]), ["02", "04", "05"]);
    assert_eq!(days(&["1997-09-03", "19970905T130000Z"]), ["02", "04"]);
    assert_eq!(days(&["19970903T100000"]), ["02", "03", "04", "05"]);
}

#[test]
fn a_window_at_two_stays_at_two() {
    // Germany: 2026-03-29 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00.
    let zone = "Europe/Berlin";
    let nightly = schedule("2026-03-01T02:00", zone, "FREQ=DAILY", &[]);
    assert_eq!(
        starts(&nightly, zone, "2026-03-27T12:00:00Z", "2026-03-31T12:00:00Z"),
        [
            "2026-03-28 02:00 +01:00",
            "2026-03-30 02:00 +02:00",
            "2026-03-31 02:00 +02:00"
        ]
    );
    assert_eq!(
        starts(&nightly, zone, "2026-10-23T12:00:00Z", "2026-10-26T12:00:00Z"),
        [
            "2026-10-24 02:00 +02:00",
            "2026-10-25 02:00 +02:00",
            "2026-10-26 02:00 +01:00"
        ]
    );
    // A skipped time is not counted either (RFC 5545, 3.3.10).
    let counted = schedule("2026-03-28T02:00", zone, "FREQ=DAILY;COUNT=2", &[]);
    assert_eq!(
        starts(&counted, zone, "2026-03-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ["2026-03-28 02:00 +01:00", "2026-03-30 02:00 +02:00"]
    );
    // A start in the gap is read with the offset before it (3.3.5): 02:30 New York on 1997-04-06 is 03:30 EDT.
    let once = Schedule::recurring(
        "19970406T023000",
        "America/New_York",
        Length { days: 0, ms: 1 },
        None,
        &[],
    )
    .unwrap();
    assert_eq!(
        once.spans(at("1997-01-01T00:00:00Z"), at(FAR))[0].from,
        at("1997-04-06T07:30:00Z")
    );
    // 01:30 on 1997-10-26 happens twice there; the first is meant (3.3.5).
    let once = Schedule::recurring(
        "19971026T013000",
        "America/New_York",
        Length { days: 0, ms: 1 },
        None,
        &[],
    )
    .unwrap();
    assert_eq!(
        once.spans(at("1997-01-01T00:00:00Z"), at(FAR))[0].from,
        at("1997-10-26T05:30:00Z")
    );
}

#[test]
fn hours_are_elapsed_time_and_days_are_not() {
    // Six hours from 00:00 on the night of the change end at 07:00; a day ends at midnight, 23 hours later.
    let zone = "Europe/Berlin";
    let day = |length| Schedule::recurring("2026-03-29", zone, length, None, &[]).unwrap();
    let span = |schedule: Schedule| schedule.spans(at("2026-03-28T00:00:00Z"), at("2026-03-31T00:00:00Z"))[0];
    assert_eq!(
        span(day(Length::parse("6h").unwrap())).until,
        at("2026-03-29T05:00:00Z")
    );
    let whole = span(day(Length::parse("P1D").unwrap()));
    assert_eq!(whole.until.millis_since(whole.from), 23 * 3_600_000);
    // Cairo's clocks skip midnight itself (2026-04-24 00:00 -> 01:00).
    let cairo = schedule("2026-04-20T12:00", "Africa/Cairo", "FREQ=DAILY", &[]);
    let found = starts(&cairo, "Africa/Cairo", "2026-04-23T00:00:00Z", "2026-04-25T00:00:00Z");
    assert_eq!(found, ["2026-04-23 12:00 +02:00", "2026-04-24 12:00 +03:00"]);
    // Every six hours is every six hours: the local hour moves.
    let six = schedule("2026-03-28T00:00", zone, "FREQ=HOURLY;INTERVAL=6", &[]);
    let spans = six.spans(at("2026-03-28T00:00:00Z"), at("2026-03-31T00:00:00Z"));
    assert!(
        spans
            .windows(2)
            .all(|w| w[1].from.millis_since(w[0].from) == 6 * 3_600_000)
    );
}

#[test]
fn lengths_are_read_and_bounded() {
    let length = |text| Length::parse(text);
    assert_eq!(
        length("4h"),
        Ok(Length {
            days: 0,
            ms: 14_400_000
        })
    );
    assert_eq!(length("PT4H"), length("240 minutes"));
    assert_eq!(length("P1W"), Ok(Length { days: 7, ms: 0 }));
    for bad in ["", "4", "soon", "0s", "-1h", "P1M", "2y", "P40000D"] {
        assert!(length(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_rule_that_never_occurs_ends() {
    let never = schedule("20260101T000000", "UTC", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", &[]);
    assert!(
        never
            .spans(at("2026-01-01T00:00:00Z"), at("2126-01-01T00:00:00Z"))
            .is_empty()
    );
    let counted = schedule(
        "20260101T000000",
        "UTC",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
        &[],
    );
    assert!(
        counted
            .spans(at("2026-01-01T00:00:00Z"), at("2126-01-01T00:00:00Z"))
            .is_empty()
    );
    let too_rare = Schedule::recurring(
        "20260101T000000",
        "UTC",
        Length { days: 1, ms: 0 },
        Some("FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30;COUNT=3"),
        &[],
    );
    assert!(too_rare.is_err_and(|(field, text)| field == "rrule" && text.contains("UNTIL")));
    let bad = Schedule::recurring(
        "20260101T000000",
        "Europe/Berlin2",
        Length { days: 1, ms: 0 },
        None,
        &[],
    );
    assert!(bad.is_err_and(|(field, text)| field == "timezone" && text.contains("IANA")));
}

const HOLIDAYS: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//EN\r\n\
BEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nBEGIN:STANDARD\r\nDTSTART:19701025T030000\r\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n\
BEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:20260403\r\nDTEND;VALUE=DATE:20260404\r\nSUMMARY:Karfreitag\\, ein\r\n  stiller Tag\r\nBEGIN:VALARM\r\nTRIGGER:-PT1H\r\nDURATION:PT5M\r\nEND:VALARM\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:2\r\nDTSTART;VALUE=DATE:20201225\r\nDURATION:P2D\r\nRRULE:FREQ=YEARLY\r\nEXDATE;VALUE=DATE:20271225\r\nSUMMARY:Weihnachten\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:3\r\nDTSTART;TZID=\"America/New_York\":20261127T090000\r\nDTEND:20261127T220000Z\r\nSUMMARY:Black Friday\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:4\r\nDTSTART;VALUE=DATE:20260501\r\nSTATUS:CANCELLED\r\nSUMMARY:off\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[test]
fn a_calendar_file_is_read() {
    let events = parse_ics(HOLIDAYS, "Europe/Berlin").unwrap();
    let names: Vec<_> = events.iter().map(|e| e.summary.as_str()).collect();
    assert_eq!(names, ["Karfreitag, ein stiller Tag", "Weihnachten", "Black Friday"]);
    let mut all = Timeline::new(events.into_iter().map(|e| e.schedule).collect::<Vec<_>>());
    // Midnight in Berlin is 22:00Z in summer.
    assert_eq!(all.covering(at("2026-04-02T21:59:59Z")), None);
    assert!(all.covering(at("2026-04-02T22:00:00Z")).is_some());
    assert_eq!(all.covering(at("2026-04-03T22:00:00Z")), None);
    let christmas = all.covering(at("2026-12-25T12:00:00Z")).unwrap();
    assert_eq!(christmas.until, at("2026-12-26T23:00:00Z"));
    assert_eq!(all.covering(at("2027-12-25T12:00:00Z")), None);
    let friday = all.covering(at("2026-11-27T15:00:00Z")).unwrap();
    assert_eq!(
        (friday.from, friday.until),
        (at("2026-11-27T14:00:00Z"), at("2026-11-27T22:00:00Z"))
    );
}

#[test]
fn a_bad_calendar_file_is_refused_by_line() {
    let line = |text: &str| parse_ics(text, "UTC").unwrap_err().0;
    assert_eq!(line("<html>"), 1);
    assert_eq!(
        line("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:tomorrow\nEND:VEVENT\nEND:VCALENDAR\n"),
        3
    );
    assert_eq!(
        line("BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT\nEND:VCALENDAR\n"),
        2
    );
    assert_eq!(
        line("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260101\nRRULE:FREQ=NEVER\nEND:VEVENT\nEND:VCALENDAR\n"),
        4
    );
    assert_eq!(
        line("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;TZID=Mars:20260101T000000\nDURATION:PT1H\nEND:VEVENT\n"),
        3
    );
    assert_eq!(line("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260101\n"), 2);
}
