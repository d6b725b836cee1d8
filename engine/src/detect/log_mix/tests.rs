//! Scenarios of an entity's lines.

use super::*;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;

/// An entity that writes three lines a request, requests coming as they do.
struct Shop {
    mix: LogMix,
    now: i64,
    state: u64,
    found: Vec<(i64, Finding)>,
}

impl Shop {
    fn new() -> Self {
        Self::trusted_after(0)
    }

    fn trusted_after(trusted_after_ms: i64) -> Self {
        Self {
            mix: LogMix::new(MINUTE, trusted_after_ms),
            now: 0,
            state: 7,
            found: Vec::new(),
        }
    }

    fn random(&mut self) -> f64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn line(&mut self, template: u32, is_error: bool) {
        self.mix.count(
            &"shop".into(),
            Timestamp(self.now),
            template,
            Some(template / 10),
            is_error,
        );
    }

    /// Some minutes of requests, `rate` a second; `request` writes the lines of one.
    fn minutes(&mut self, minutes: i64, rate: f64, request: impl Fn(&mut Self)) {
        for _ in 0..minutes {
            for _ in 0..60 {
                let mut left = rate;
                while left > 0.0 {
                    if self.random() < left {
                        request(self);
                    }
                    left -= 1.0;
                }
                self.now += SECOND;
            }
            let found = self.mix.judge(Timestamp(self.now), |_| true);
            let minute = self.now / MINUTE;
            self.found.extend(found.into_iter().map(|finding| (minute, finding)));
        }
    }

    fn anomalies(&self) -> Vec<(i64, &Finding)> {
        self.found
            .iter()
            .filter(|(_, f)| f.anomaly)
            .map(|(at, f)| (*at, f))
            .collect()
    }
}

fn ordinary(shop: &mut Shop) {
    shop.line(10, false);
    shop.line(11, false);
    if shop.random() < 0.3 {
        shop.line(20, false);
    }
    if shop.random() < 0.01 {
        shop.line(30, true);
    }
}

#[test]
fn traffic_that_comes_and_goes_is_no_finding() {
    let mut shop = Shop::new();
    for hour in 0..30 {
        let rate = if hour % 3 == 0 { 8.0 } else { 0.4 };
        shop.minutes(60, rate, ordinary);
    }
    assert_eq!(shop.anomalies(), []);
    let evidence = shop.found.len();
    assert!(evidence <= 3, "{:?}", shop.found);
}

#[test]
fn a_line_that_always_followed_and_stays_away_is_found_within_a_minute() {
    let mut shop = Shop::new();
    shop.minutes(60, 0.5, ordinary);
    shop.minutes(2, 0.5, |shop| shop.line(10, false));
    let anomalies = shop.anomalies();
    let (minute, finding) = anomalies[0];
    assert_eq!(
        (minute, finding.pattern, finding.beside),
        (61, Pattern::Template(10), Some(Pattern::Template(11)))
    );
    assert!(
        finding.share > 0.8 && finding.usual < 0.6 && finding.fails,
        "{finding:?}"
    );
}

#[test]
fn errors_are_found_and_said_to_be_errors() {
    let mut shop = Shop::new();
    shop.minutes(60, 2.0, ordinary);
    shop.minutes(2, 2.0, |shop| {
        ordinary(shop);
        if shop.random() < 0.2 {
            shop.line(40, true);
        }
    });
    let anomalies = shop.anomalies();
    let (minute, finding) = anomalies[0];
    assert_eq!((minute, finding.fails), (61, true));
    assert!(
        matches!(finding.pattern, Pattern::Template(40) | Pattern::Head(4)),
        "{finding:?}"
    );
    assert!(finding.usual < 0.002);
}

#[test]
fn what_follows_what_users_buy_is_not_found() {
    let mut shop = Shop::trusted_after(DAY_MS);
    // The share of what is sold out wanders from a tenth to nine tenths, ten minutes at a time.
    for round in 0..250 {
        let share = [0.1, 0.9, 0.5, 0.3, 0.8][round % 5];
        shop.minutes(10, 1.0, |shop| {
            shop.line(10, false);
            let sold_out = shop.random() < share;
            shop.line(if sold_out { 50 } else { 60 }, false);
        });
    }
    assert_eq!(shop.anomalies(), []);
    // By then it is trusted, and an error that comes of it is found at once.
    shop.minutes(1, 1.0, |shop| {
        shop.line(10, false);
        shop.line(70, true);
    });
    assert!(
        shop.anomalies()
            .iter()
            .all(|(minute, finding)| *minute == 2501 && finding.fails)
    );
    assert_eq!(shop.anomalies().len(), 1);
}

#[test]
fn what_lasts_becomes_usual_and_what_does_not_is_not_learnt() {
    let mut shop = Shop::new();
    shop.minutes(60, 2.0, ordinary);
    shop.minutes(10, 2.0, |shop| shop.line(10, false));
    shop.minutes(30, 2.0, ordinary);
    let first = shop.anomalies().len();
    assert!((10..=14).contains(&first), "{first}");
    shop.minutes(2, 2.0, |shop| shop.line(10, false));
    assert!(shop.anomalies().len() >= first + 2, "found again");
    shop.minutes(1440, 2.0, |shop| shop.line(10, false));
    let (last, _) = *shop.anomalies().last().unwrap();
    assert!(last < 60 + 10 + 30 + 2 + 300, "usual after {last}");
}

#[test]
fn lines_that_come_late_count_and_older_ones_are_told() {
    let mut shop = Shop::new();
    shop.minutes(10, 1.0, ordinary);
    shop.now -= 2 * MINUTE;
    shop.line(10, false);
    assert_eq!(shop.mix.left_out(), 0);
    shop.now -= 8 * MINUTE;
    shop.line(10, false);
    assert_eq!(shop.mix.left_out(), 1);
}

#[test]
fn templates_that_become_one_are_no_news() {
    let mut shop = Shop::new();
    let users = |shop: &mut Shop, merged: bool| {
        let user = if merged { 0 } else { (shop.random() * 4.0) as u32 };
        shop.line(10, false);
        shop.line(100 + user, true);
    };
    shop.minutes(60, 1.0, |shop| users(shop, false));
    shop.mix.merge(|id| if (100..104).contains(&id) { 100 } else { id });
    shop.minutes(10, 1.0, |shop| users(shop, true));
    assert_eq!(shop.anomalies(), []);
    // And the invariant is learnt anew.
    shop.minutes(20, 1.0, |shop| users(shop, true));
    shop.minutes(2, 1.0, |shop| shop.line(10, false));
    assert!(!shop.anomalies().is_empty());
}

#[test]
fn memory_is_bounded() {
    let mut mix = LogMix::new(MINUTE, 0);
    for line in 0..3000_u32 {
        mix.count(&"shop".into(), Timestamp(i64::from(line)), line, Some(line), false);
    }
    assert_eq!(mix.entities[&EntityId::from("shop")].patterns.len(), MAX_PATTERNS);
    mix.judge(Timestamp(MINUTE), |_| true);
    for number in 0..MAX_ENTITIES + 5 {
        mix.count(&format!("e{number}").into(), Timestamp(0), 1, None, false);
    }
    assert_eq!(mix.entities.len(), MAX_ENTITIES);
    assert_eq!(mix.left_out(), 6);
}
