//! Lines as InfluxData's reference of the line protocol shows them.

use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn read(body: &str, precision: Precision) -> Decoded {
    decode(body.as_bytes(), precision, NOW, &Registry::default())
}

/// `metric{label=value}`, value and milliseconds of every sample.
fn shape(decoded: &Decoded) -> Vec<(String, f64, i64)> {
    let infos = &decoded.batch.new_series;
    let name = |series| {
        let info = infos.iter().find(|info| info.id == series).unwrap();
        let labels: Vec<String> = info.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        format!("{}{{{}}}", info.metric, labels.join(","))
    };
    let samples = decoded.batch.samples.iter();
    samples.map(|s| (name(s.series), s.value, s.at.as_millis())).collect()
}

#[test]
fn fields_become_series() {
    let check = |line: &str, expected: &[(&str, f64)]| {
        let decoded = read(line, Precision::Nanoseconds);
        assert_eq!(decoded.bad, [], "{line}");
        let expected: Vec<_> = expected
            .iter()
            .map(|(n, v)| ((*n).to_owned(), *v, 1_556_813_561_098))
            .collect();
        assert_eq!(shape(&decoded), expected, "{line}");
    };
    check(
        "myMeasurement,tag1=value1,tag2=value2 fieldKey=1.5 1556813561098000000",
        &[("myMeasurement_fieldKey{tag1=value1,tag2=value2}", 1.5)],
    );
    check(
        "cpu,host=web\\ 1 value=-1e3,idle=12i,up=t,total=7u 1556813561098765432",
        &[
            ("cpu{host=web 1}", -1000.0),
            ("cpu_idle{host=web 1}", 12.0),
            ("cpu_up{host=web 1}", 1.0),
            ("cpu_total{host=web 1}", 7.0),
        ],
    );
    check(
        "my\\ mea\\,surement,t\\=ag=a\\,b value=1 1556813561098000000",
        &[("my_mea_surement{t_ag=a,b}", 1.0)],
    );
    check("m value=1,text=\"a, b \\\" c\" 1556813561098000000\r", &[("m{}", 1.0)]);
    check("# a comment\n\nm value=1   1556813561098000000", &[("m{}", 1.0)]);
}

#[test]
fn times_have_a_unit_or_are_now() {
    let check = |precision: &str, number: &str, millis: i64| {
        let decoded = read(&format!("m value=1 {number}"), Precision::parse(precision).unwrap());
        assert_eq!(shape(&decoded)[0].2, millis, "{precision}");
    };
    check("ns", "1999999", 1);
    check("us", "-1", -1);
    check("u", "1999", 1);
    check("ms", "17", 17);
    check("s", "17", 17_000);
    check("m", "2", 120_000);
    check("h", "1", 3_600_000);
    check("", "", NOW.as_millis());
    assert_eq!(Precision::parse("d"), None);
}

#[test]
fn a_bad_line_is_named_and_costs_no_other() {
    let decoded = read("a value=1\nb\n# c\nd value=2\ne value=x 1\n", Precision::Seconds);
    assert_eq!(decoded.batch.samples.len(), 2);
    let bad: Vec<_> = decoded
        .bad
        .iter()
        .map(|b| (b.number, b.problem, b.text.as_str()))
        .collect();
    assert_eq!(bad, [(2, "missing fields", "b"), (5, "invalid number", "e value=x 1")]);
    let rejection = &decoded.batch.rejections[0];
    assert_eq!(
        (rejection.reason, rejection.samples, decoded.bad_lines),
        (RejectReason::Malformed, 2, 2)
    );
    let many = "x\n".repeat(1000);
    let decoded = read(&many, Precision::Seconds);
    assert_eq!((decoded.bad.len(), decoded.bad_lines), (MAX_NAMED, 1000));
}

#[test]
fn lines_that_are_wrong() {
    for (line, problem) in [
        (",t=1 value=1", "missing measurement"),
        ("m,t value=1", "missing tag value"),
        ("m,t= value=1", "missing tag value"),
        ("m,=1 value=1", "missing tag key"),
        ("m,t=1=2 value=1", "invalid tag format"),
        ("m,t=1", "missing fields"),
        ("m value", "invalid field format"),
        ("m =1", "missing field key"),
        ("m value=", "missing field value"),
        ("m value=NaN", "invalid number"),
        ("m value=inf", "invalid number"),
        ("m value=1e999", "invalid number"),
        ("m value=1.5i", "invalid number"),
        ("m value=\"open", "unbalanced quotes"),
        ("m value=\"a\"b", "invalid field format"),
        ("m value=1 soon", "bad timestamp"),
        ("m value=1 1 2", "bad timestamp"),
    ] {
        let decoded = read(line, Precision::Nanoseconds);
        assert_eq!(decoded.bad.first().map(|b| b.problem), Some(problem), "{line}");
        assert!(decoded.batch.samples.is_empty(), "{line}");
    }
}

#[test]
fn text_is_set_aside_and_known_series_are_not_described_again() {
    let decoded = read("m a=\"x\",b=1\nm a=\"y\",b=2", Precision::Nanoseconds);
    assert_eq!((decoded.batch.samples.len(), decoded.batch.new_series.len()), (2, 1));
    assert_eq!(
        (decoded.batch.rejections[0].reason, decoded.batch.rejections[0].samples),
        (RejectReason::Ignored, 2)
    );
    let wide: String = (0..200).map(|i| format!(",t{i}=x")).collect();
    let decoded = read(&format!("m{wide} value=1"), Precision::Nanoseconds);
    assert_eq!(decoded.batch.rejections[0].reason, RejectReason::BadLabels);
}

proptest! {
    #[test]
    fn no_bytes_crash_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let decoded = decode(&bytes, Precision::Hours, NOW, &Registry::default());
        prop_assert!(decoded.batch.samples.iter().all(|s| s.value.is_finite()));
    }

    #[test]
    fn nearly_right_lines_are_taken_or_named(line in "[a-c\\\\, ]{1,6}(,[a-c=\\\\]{1,6})? [a-c]{1,2}=[0-9.eiut\"-]{1,6}( [0-9-]{1,20})?") {
        let decoded = decode(line.as_bytes(), Precision::Nanoseconds, NOW, &Registry::default());
        let set_aside: u64 = decoded.batch.rejections.iter().map(|r| r.samples).sum();
        prop_assert_eq!(decoded.batch.samples.len() as u64 + set_aside > 0, !line.trim().starts_with('#') && !line.trim().is_empty());
    }
}
