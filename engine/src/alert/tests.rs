use super::*;
use proptest::prelude::*;
use wire::Timestamp;
use wire::alert::{AlertState, Matcher, PostedAlert, Silence, SilenceState};

const MINUTE: i64 = 60_000;

fn pairs(all: &[(&str, &str)]) -> Pairs {
    all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn posted(labels: &[(&str, &str)], starts: Option<i64>, ends: Option<i64>) -> PostedAlert {
    PostedAlert {
        labels: pairs(labels),
        starts_at: starts.map(|m| Timestamp(m * MINUTE)),
        ends_at: ends.map(|m| Timestamp(m * MINUTE)),
        ..PostedAlert::default()
    }
}

fn at(minute: i64) -> Timestamp {
    Timestamp(minute * MINUTE)
}

const FULL: &[(&str, &str)] = &[
    ("alertname", "DiskFull"),
    ("instance", "db-1"),
    ("severity", "critical"),
];

fn silence(matcher: &str, from: i64, until: i64) -> Silence {
    Silence {
        id: String::new(),
        matchers: vec![parse_matcher(matcher).unwrap()],
        starts_at: at(from),
        ends_at: at(until),
        updated_at: at(0),
        created_by: "ada".to_owned(),
        comment: "moving the disk".to_owned(),
        state: SilenceState::default(),
    }
}

fn states(book: &AlertBook, minute: i64) -> Vec<AlertState> {
    book.alerts(true, at(minute)).iter().map(|a| a.state).collect()
}

#[test]
fn an_alert_is_over_once_its_end_has_passed() {
    let mut book = AlertBook::default();
    // Without times: from now on, for the resolve timeout.
    let received = book.receive("test", vec![posted(FULL, None, None)], at(100));
    let alert = &received.kept[0];
    assert_eq!(
        (alert.starts_at, alert.ends_at, alert.timeout),
        (at(100), at(105), true)
    );
    assert_eq!(alert.entity, Some("db-1".into()));
    assert_eq!(
        (states(&book, 104), states(&book, 105)),
        (vec![AlertState::Active], vec![AlertState::Resolved])
    );
    assert!(book.alerts(false, at(105)).is_empty());
    // A resend moves the end and keeps the start.
    book.receive("test", vec![posted(FULL, None, None)], at(103));
    let alert = &book.alerts(false, at(103))[0];
    assert_eq!((alert.starts_at, alert.ends_at), (at(100), at(108)));
    // Said to be over, it is over, and only an alert that overlaps is the same one.
    book.receive("test", vec![posted(FULL, Some(100), Some(104))], at(104));
    assert_eq!(states(&book, 104), [AlertState::Resolved]);
    book.receive("test", vec![posted(FULL, Some(110), Some(120))], at(111));
    assert_eq!(book.alerts(false, at(111))[0].starts_at, at(110));
}

#[test]
fn an_end_that_was_said_stands_against_one_that_was_guessed() {
    let mut book = AlertBook::default();
    book.receive("test", vec![posted(FULL, Some(90), Some(130))], at(100));
    book.receive("test", vec![posted(FULL, None, None)], at(101));
    assert_eq!(book.alerts(false, at(101))[0].ends_at, at(130));
}

#[test]
fn the_same_again_is_counted_and_an_empty_label_is_none() {
    let mut book = AlertBook::default();
    let once = posted(FULL, Some(90), Some(130));
    assert_eq!(
        book.receive("test", vec![once.clone(), once.clone()], at(100)).repeated,
        1
    );
    let mut with_empty = once;
    with_empty.labels.insert("zone".to_owned(), String::new());
    assert_eq!(book.receive("test", vec![with_empty], at(101)).repeated, 1);
}

#[test]
fn there_is_room_for_so_many_and_a_resolved_one_makes_room() {
    let mut book = AlertBook::default();
    let many = (0..=MAX_ALERTS).map(|i| posted(&[("alertname", &i.to_string())], Some(1), Some(10)));
    let received = book.receive("test", many.collect(), at(2));
    assert_eq!((received.kept.len(), received.refused), (MAX_ALERTS, 1));
    book.receive("test", vec![posted(&[("alertname", "0")], Some(1), Some(2))], at(2));
    assert_eq!(
        book.receive("test", vec![posted(FULL, Some(1), Some(10))], at(2))
            .refused,
        0
    );
    // All are over: the latest thousand stay.
    assert_eq!(book.advance(at(20)).len(), MAX_ALERTS + 1 - 1000);
    assert_eq!(book.alerts(true, at(20)).len(), 1000);
}

#[test]
fn a_silence_covers_what_it_selects_while_it_lasts() {
    let mut book = AlertBook::default();
    book.receive("test", vec![posted(FULL, Some(90), Some(200))], at(100));
    let kept = book
        .set_silence(silence("instance=~\"db-.\"", 110, 120), at(100))
        .unwrap();
    assert_eq!((kept.len(), kept[0].state), (1, SilenceState::Pending));
    let at_minute = |book: &mut AlertBook, minute| {
        book.advance(at(minute));
        let all = book.alerts(true, at(minute));
        all.iter()
            .find(|alert| alert.name() == "DiskFull")
            .map(|alert| alert.state)
    };
    assert_eq!(at_minute(&mut book, 109), Some(AlertState::Active));
    assert_eq!(at_minute(&mut book, 110), Some(AlertState::Suppressed));
    assert_eq!(book.firing(at(110)).count(), 0);
    assert_eq!(book.alerts(false, at(110))[0].silenced_by, [kept[0].id.clone()]);
    // What comes while it lasts is covered too, and the other instance is not.
    let others = [("instance", "db-2"), ("instance", "web-1")].map(|label| posted(&[label], None, None));
    book.receive("test", others.to_vec(), at(111));
    assert_eq!(book.firing(at(111)).count(), 1);
    assert_eq!(at_minute(&mut book, 120), Some(AlertState::Active));
    assert_eq!(book.advance(at(120 + 5 * 24 * 60 + 1)), [kept[0].id.clone()]);
}

#[test]
fn a_silence_is_changed_replaced_and_expired() {
    let mut book = AlertBook::default();
    let first = book.set_silence(silence("a=b", 100, 120), at(100)).unwrap().remove(0);
    let longer = Silence {
        ends_at: at(150),
        ..first.clone()
    };
    let kept = book.set_silence(longer, at(105)).unwrap();
    assert_eq!((kept.len(), &kept[0].id, kept[0].ends_at), (1, &first.id, at(150)));
    let other = Silence {
        id: first.id.clone(),
        ..silence("a=c", 100, 150)
    };
    let kept = book.set_silence(other, at(106)).unwrap();
    assert_ne!(kept[0].id, first.id);
    assert_eq!(
        (kept[0].starts_at, &kept[1].id, kept[1].ends_at),
        (at(106), &first.id, at(106))
    );
    assert_eq!(
        book.expire_silence(&first.id, at(107)),
        Err(SilenceError::Expired(first.id))
    );
    assert!(book.expire_silence(&kept[0].id, at(107)).is_ok());
    assert_eq!(
        book.expire_silence("none", at(107)),
        Err(SilenceError::Unknown("none".to_owned()))
    );
    let ids: std::collections::BTreeSet<_> = book.silences(at(107)).into_iter().map(|s| s.id).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'8'));
}

#[test]
fn a_silence_that_makes_no_sense_is_refused_with_the_reason() {
    let mut book = AlertBook::default();
    let mut check = |silence: Silence, part: &str| {
        let message = book.set_silence(silence, at(100)).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    check(silence("a=b", 100, 90), "after the start");
    check(silence("a=b", 80, 90), "the end must be after the start");
    check(silence("a=~\".*\"", 100, 110), "silence everything");
    check(silence("a!=b", 100, 110), "silence everything");
    check(silence("a=~\"(\"", 100, 110), "no regular expression");
    check(silence("a=~\"x)|(y\"", 100, 110), "no regular expression");
    let none = Silence {
        matchers: Vec::new(),
        ..silence("a=b", 100, 110)
    };
    check(none, "at least one matcher");
    let unknown = Silence {
        id: "nobody".to_owned(),
        ..silence("a=b", 100, 110)
    };
    check(unknown, "nobody not found");
}

#[test]
fn what_was_kept_is_there_again() {
    let mut book = AlertBook::default();
    let silence = book
        .set_silence(silence("instance=db-1", 100, 120), at(100))
        .unwrap()
        .remove(0);
    let alerts = book
        .receive("test", vec![posted(FULL, Some(90), Some(200))], at(100))
        .kept;
    let again = AlertBook::restore(alerts, vec![silence], at(101));
    assert_eq!(again.alerts(true, at(101)), book.alerts(true, at(101)));
    assert_eq!(again.silences(at(101)), book.silences(at(101)));
}

#[test]
fn matchers_are_read_as_alertmanager_writes_them() {
    let check = |text: &str, name: &str, value: &str, is_regex: bool, is_equal: bool| {
        let expected = Matcher {
            name: name.to_owned(),
            value: value.to_owned(),
            is_regex,
            is_equal,
        };
        assert_eq!(parse_matcher(text), Ok(expected), "{text}");
    };
    check("alertname=foo", "alertname", "foo", false, true);
    check(r#" a != "b c" "#, "a", "b c", false, false);
    check(r#"a=~"x|y""#, "a", "x|y", true, true);
    check(r#"a!~"\"q\" \\ \n \d""#, "a", "\"q\" \\ \n \\d", true, false);
    check(r#""ü b"="c""#, "ü b", "c", false, true);
    check("a=", "a", "", false, true);
    for bad in ["", "a", "=b", "a=\"b", "a=\"b\"c", "a!b"] {
        assert!(parse_matcher(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_watchdog_is_no_trouble() {
    let check = |labels: &[(&str, &str)], trouble: bool| {
        let alert = AlertBook::default()
            .receive("t", vec![posted(labels, None, None)], at(1))
            .kept
            .remove(0);
        assert_eq!(tells_of_trouble(&alert), trouble, "{labels:?}");
    };
    check(FULL, true);
    check(&[("alertname", "Watchdog"), ("severity", "critical")], false);
    check(&[("alertname", "X"), ("severity", "INFO")], false);
    check(&[("alertname", "X")], true);
}

proptest! {
    #[test]
    fn no_text_crashes_the_reader_of_matchers(text in any::<String>()) {
        if let Ok(matcher) = parse_matcher(&text) {
            prop_assert!(!matcher.name.is_empty());
            let _ = Matchers::new(&[matcher]);
        }
    }

    /// However messages are ordered, an alert fires exactly while the last end that counts lies ahead, and never before it began.
    #[test]
    fn an_alert_never_ends_before_it_began(messages in prop::collection::vec((0i64..50, prop::option::of(0i64..60)), 1..20)) {
        let mut book = AlertBook::default();
        for (minute, (starts, ends)) in messages.into_iter().enumerate() {
            let now = at(minute as i64);
            let ends = ends.filter(|ends| *ends >= starts);
            book.receive("test", vec![posted(FULL, Some(starts), ends)], now);
            let alert = &book.alerts(true, now)[0];
            prop_assert!(alert.ends_at >= alert.starts_at || alert.timeout);
            prop_assert_eq!(alert.state == AlertState::Resolved, alert.ends_at <= now);
        }
    }
}
