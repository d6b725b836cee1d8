//! What holds for every rule and every text.

use super::tests::{at, schedule};
use super::*;
use proptest::prelude::*;

const RULES: [&str; 8] = [
    "FREQ=DAILY",
    "FREQ=WEEKLY;BYDAY=MO,TH;INTERVAL=3",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYMONTHDAY=31;BYHOUR=2,14",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=HOURLY;INTERVAL=5",
    "FREQ=DAILY;INTERVAL=13;COUNT=40",
    "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;UNTIL=20280101T000000Z",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Jumping to an instant finds what walking there from the start finds.
    #[test]
    fn a_jump_is_a_walk(rule in 0..RULES.len(), zone in 0usize..3, day in 0i64..1500, hours in 1i64..200) {
        let zone = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"][zone];
        let schedule = schedule("2024-02-29T02:30", zone, RULES[rule], &[]);
        let from = at("2024-02-28T00:00:00Z") + day * 86_400_000;
        let until = from + hours * 3_600_000;
        let all: Vec<Span> = schedule.spans(at("2024-01-01T00:00:00Z"), until);
        let walked: Vec<Span> = all.into_iter().filter(|s| s.until > from && s.from < until).collect();
        prop_assert_eq!(schedule.spans(from, until), walked);
    }

    /// The timeline says at every instant what the schedule says, in whichever order it is asked.
    #[test]
    fn a_timeline_is_its_schedule(rule in 0..RULES.len(), hours in prop::collection::vec(0i64..30_000, 1..40)) {
        let schedule = schedule("2024-02-29T02:30", "Europe/Berlin", RULES[rule], &["2024-03-07"]);
        let mut timeline = Timeline::new(vec![schedule.clone()]);
        for hour in hours {
            let at = at("2024-02-28T00:00:00Z") + hour * 3_600_000 + 1_800_000;
            prop_assert_eq!(timeline.covering(at).is_some(), schedule.covering(at).is_some());
        }
    }

    #[test]
    fn no_text_breaks_the_parsers(text in "\\PC{0,60}", body in "(FREQ|BYDAY|COUNT|UNTIL|=|;|,|-|[0-9]|MO|DAILY|YEARLY){0,12}") {
        let _ = Rule::parse(&text);
        let _ = Rule::parse(&body);
        let _ = Length::parse(&text);
        let _ = parse_ics(&format!("BEGIN:VCALENDAR\n{text}\nBEGIN:VEVENT\n{body}\nDTSTART:20260101\n{text}\nEND:VEVENT"), "UTC");
    }
}
