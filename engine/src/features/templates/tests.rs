use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn texts_of(lines: &[&str]) -> Vec<String> {
    let mut templates = Templates::new(TemplateConfig::default());
    let ids: Vec<TemplateId> = lines.iter().map(|line| templates.learn(line)).collect();
    ids.into_iter().map(|id| templates.text(id)).collect()
}

fn text_of(line: &str) -> String {
    texts_of(&[line]).remove(0)
}

#[test]
fn values_are_masked_by_their_form() {
    for (line, expected) in [
        (
            "started 12 workers in 3.5 seconds",
            "started <*> workers in <*> seconds",
        ),
        ("peer 10.0.0.7:4711 left", "peer <*> left"),
        ("link 00:1b:44:c3:ba:b7 up", "link <*> up"),
        ("key deadbeef rotated, seed 0x1f", "key <*> rotated, seed <*>"),
        ("a facade was added", "a facade was added"),
        ("run 7f0c2b1a-55aa-4c1e-9d3e-0a1b2c3d4e5f done", "run <*> done"),
        ("read /etc/app/app.toml", "read <*>"),
        ("read C:\\data\\own", "read C:<*>"),
        ("read /var/log/app*.log?tail=9", "read <*>"),
        ("mail to ann@shop.example sent", "mail to <*> sent"),
        ("class org.shop.Cart loaded", "class <*> loaded"),
        ("org.shop.Cart() called", "org.shop.Cart() called"),
        ("dial db.internal:5432", "dial <*>"),
        ("at Fri Jul  1 07:57:30 2005 it rang", "at <*> it rang"),
        ("Sun and May are words", "Sun and May are words"),
        (
            "a=null b=\"two words\" c='x' d=Node{a,b}",
            "a=<*> b=\"<*>\" c='<*>' d=<*>",
        ),
        ("heap 900 B of 1.5 KB", "heap <*> of <*>"),
        ("sent 1190 bytes (1.16 KB) to all", "sent <*> bytes to all"),
        ("took <1 sec", "took <*>"),
        ("tag <1> here", "tag <<*>> here"),
    ] {
        assert_eq!(text_of(line), expected, "of {line:?}");
    }
}

#[test]
fn lists_of_any_length_look_the_same() {
    let [one, three, none] = &texts_of(&["drop [1] now", "drop [1, 2, 3] now", "drop [] now"])[..] else {
        unreachable!("three lines");
    };
    assert_eq!((one, three), (none, none));
    assert_eq!(text_of("fans 1 2 **** 4 ok"), "fans <*> ok");
    assert_eq!(text_of("at 12#13|14,15"), "at <*>");
}

#[test]
fn punctuation_is_kept_and_blanks_are_one() {
    assert_eq!(text_of("  wait...   what?!  "), "wait... what?!");
    assert_eq!(text_of("enabled.....1"), "enabled.....<*>");
    assert_eq!(text_of("Done."), "Done.");
    assert_eq!(text_of("größe änderte sich: 5 µs"), "größe änderte sich: <*> µs");
    assert_eq!(text_of(""), "");
    // What differs in nothing but blanks is the same.
    let [one, two] = &texts_of(&["a  b\tc ", "a b c"])[..] else {
        unreachable!("two lines");
    };
    assert_eq!(one, two);
}

#[test]
fn states_stay_apart_and_names_become_one() {
    let mut templates = Templates::new(TemplateConfig::default());
    for state in ["started", "paused", "resumed", "stopped"] {
        templates.learn(&format!("[job 7] machine {state} (change of state)"));
    }
    assert_eq!(templates.len(), 4);
    for _ in 0..3 {
        for flag in ["true", "false"] {
            templates.learn(&format!("cache of the shop is warm={flag} now"));
        }
    }
    assert_eq!(templates.len(), 6);
    let names = ["ann", "bob", "eve"];
    let ids: Vec<TemplateId> = names
        .iter()
        .map(|name| templates.learn(&format!("login refused for {name} at the gate")))
        .collect();
    assert_eq!(ids, [6, 7, 6].map(TemplateId), "the third name proves it");
    assert_eq!(templates.resolve(ids[1]), ids[0]);
    assert_eq!(templates.text(ids[1]), "login refused for <*> at the gate");
    assert_eq!((templates.count(ids[1]), templates.len()), (3, 7));
    // Names that were never seen belong to it, too.
    assert_eq!(templates.match_only("login refused for zoe at the gate"), Some(ids[0]));
    assert_eq!(templates.match_only("login accepted for zoe at the gate"), None);
    assert_eq!(templates.learn("login refused for zoe at the gate"), ids[0]);
}

#[test]
fn what_stands_around_a_word_counts() {
    let merged_after = |frame: &str, words: [&str; 4]| {
        let mut templates = Templates::new(TemplateConfig::default());
        let mut lines = 0;
        words.into_iter().find(|word| {
            lines += 1;
            templates.learn(&frame.replace('?', word));
            templates.len() < lines
        });
        (templates.len() < lines).then_some(lines)
    };
    let plain = ["red", "green", "blue", "white"];
    assert_eq!(merged_after("the light is ? for all of you now", plain), None);
    assert_eq!(merged_after("the light is set by user ? for now", plain), Some(2));
    assert_eq!(merged_after("the light is set for ? and all of you", plain), Some(3));
    assert_eq!(merged_after("the light '?' is lit for all of you", plain), Some(3));
    assert_eq!(
        merged_after("the light is lit with colour=? in all rooms", plain),
        Some(4)
    );
    assert_eq!(
        merged_after("{\"lit\":\"?\",\"how\":\"as it was before\"}", plain),
        Some(4)
    );
    let names = ["lamp.red", "lamp.green", "lamp.blue", "lamp.white"];
    assert_eq!(merged_after("the light ? is lit in all the rooms", names), Some(3));
    let capitals = ["RED", "GREEN", "BLUE", "WHITE"];
    assert_eq!(merged_after("the light is set by user ? for now", capitals), None);
    // A number proves that values stand there.
    assert_eq!(
        merged_after("the light is ? for all of you now", ["7", "red", "blue", "white"]),
        Some(3)
    );
}

#[test]
fn words_become_one_at_several_places_in_turn() {
    let mut templates = Templates::new(TemplateConfig::default());
    let words = ["ash", "beech", "cedar", "elm", "fir", "oak"];
    for one in words {
        for two in words {
            templates.learn(&format!("the tree {one} stands next to the tree {two} in this wood"));
        }
    }
    let ids: Vec<TemplateId> = templates.ids().collect();
    assert_eq!(ids, [TemplateId(0)]);
    assert_eq!(templates.count(ids[0]), 36);
    let text = "the tree <*> stands next to the tree <*> in this wood";
    assert_eq!(templates.text(ids[0]), text);
    assert_eq!(templates.match_only(&text.replace("<*>", "yew")), Some(ids[0]));
}

#[test]
fn a_line_of_one_word_is_never_a_value() {
    let mut templates = Templates::new(TemplateConfig::default());
    for letter in 'a'..='z' {
        templates.learn(&format!("call{letter}"));
    }
    assert_eq!(templates.len(), 26);
}

#[test]
fn what_is_too_much_is_counted() {
    let mut templates = Templates::new(TemplateConfig {
        max_templates: 3,
        ..TemplateConfig::default()
    });
    for letter in 'a'..='e' {
        templates.learn(&format!("call{letter} "));
    }
    let rest = templates.catch_all().expect("two did not fit");
    assert_eq!((templates.len(), templates.count(rest)), (4, 2));
    assert_eq!(templates.text(rest), "<*>");
    assert_eq!(templates.learn("calla"), TemplateId(0));
}

#[test]
fn long_lines_are_cut_where_a_word_ends() {
    let mut templates = Templates::new(TemplateConfig {
        max_line_bytes: 12,
        ..TemplateConfig::default()
    });
    let one = templates.learn("alpha beta gamma");
    let two = templates.learn("alpha beta delta epsilon");
    assert_eq!(one, two);
    assert_eq!(templates.text(one), "alpha beta<*>");
    let mut few = Templates::new(TemplateConfig {
        max_words: 2,
        ..TemplateConfig::default()
    });
    let id = few.learn("alpha beta gamma delta");
    assert_eq!(few.text(id), "alpha beta <*>");
}

/// Lines that a small shop might print, and what they are.
#[test]
fn a_shop_in_a_few_templates() {
    let mut lines = Vec::new();
    for order in 1..=8 {
        let who = ["ann", "bob", "eve", "dan"][order % 4];
        lines.push(format!(
            "order {order}{order} placed by {who}: {order} items, {order}.50 EUR"
        ));
        lines.push(format!("payment of order {order}{order} accepted"));
        lines.push(format!("GET /cart/{order} HTTP/1.1 200 {order}ms"));
    }
    lines.push("payment of order 99 refused".to_owned());
    let mut templates = Templates::new(TemplateConfig::default());
    for line in &lines {
        templates.learn(line);
    }
    let found: Vec<(u64, String)> = templates
        .ids()
        .map(|id| (templates.count(id), templates.text(id)))
        .collect();
    let expected = [
        (8, "order <*> placed by <*>: <*> items, <*> EUR"),
        (8, "payment of order <*> accepted"),
        (8, "GET <*>"),
        (1, "payment of order <*> refused"),
    ];
    assert_eq!(found, expected.map(|(count, text)| (count, text.to_owned())));
}

fn line() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[a-f]{1,2}",
        "[0-9]{1,3}",
        Just("<*>".to_owned()),
        "[ .:=(){}\\[\\]\"'/\\\\@<>-]{1,3}",
        "\\PC{1,4}",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec((word, prop_oneof![Just(" "), Just(""), Just("=")]), 0..12).prop_map(|words| {
        words
            .into_iter()
            .flat_map(|(word, gap)| [word, gap.to_owned()])
            .collect()
    })
}

proptest! {
    #[test]
    fn any_lines_have_templates_that_stay(
        lines in proptest::collection::vec(line(), 1..60),
        max_templates in 1_usize..40,
        max_line_bytes in 1_usize..60,
        max_words in 1_usize..10,
    ) {
        let config = TemplateConfig { max_templates, max_line_bytes, max_words };
        let (mut one, mut two) = (Templates::new(config), Templates::new(config));
        let mut ids = Vec::new();
        for line in &lines {
            let id = one.learn(line);
            prop_assert_eq!(two.learn(line), id);
            // A line that was learnt is known; by the same id, unless there was no room for it.
            let known = one.match_only(line).map(|known| one.resolve(known));
            prop_assert!(known == Some(id) || (known.is_none() && one.catch_all() == Some(id)));
            ids.push(id);
        }
        let mut counts: BTreeMap<TemplateId, u64> = BTreeMap::new();
        for id in &ids {
            *counts.entry(one.resolve(*id)).or_default() += 1;
        }
        let live: Vec<TemplateId> = one.ids().collect();
        prop_assert_eq!(live.len(), one.len());
        prop_assert!(one.len() <= max_templates + 1);
        prop_assert!(one.templates.len() <= max_templates + 1);
        for id in live {
            prop_assert_eq!(one.count(id), counts.get(&id).copied().unwrap_or(0));
            prop_assert!(one.text(id).len() <= 4 * max_line_bytes + 16);
        }
    }
}

/// Grouping accuracy: the share of lines whose group is exactly the group they should be in.
fn grouping_accuracy(truth: &[String], found: &[TemplateId]) -> f64 {
    let mut of_event: BTreeMap<&str, usize> = BTreeMap::new();
    let mut of_template: BTreeMap<TemplateId, usize> = BTreeMap::new();
    let mut of_both: BTreeMap<(&str, TemplateId), usize> = BTreeMap::new();
    for (event, template) in truth.iter().zip(found) {
        *of_event.entry(event).or_default() += 1;
        *of_template.entry(*template).or_default() += 1;
        *of_both.entry((event, *template)).or_default() += 1;
    }
    let is_right = |((event, template), count): &(&(&str, TemplateId), &usize)| {
        of_event.get(event) == Some(*count) && of_template.get(template) == Some(*count)
    };
    let right: usize = of_both.iter().filter(is_right).map(|(_, count)| count).sum();
    right as f64 / truth.len() as f64
}

/// The public lines of eight systems; where `HALO_DATA` does not name the folder, there is nothing to check.
#[test]
fn eight_systems_are_grouped_as_people_did() {
    const SYSTEMS: [&str; 8] = [
        "Android",
        "Apache",
        "HDFS",
        "Hadoop",
        "Linux",
        "OpenSSH",
        "Proxifier",
        "Zookeeper",
    ];
    let Some(data) = std::env::var_os("HALO_DATA") else {
        return;
    };
    let folder = std::path::Path::new(&data).join("loghub2k");
    if !folder.is_dir() {
        return;
    }
    let accuracies = SYSTEMS.map(|system| {
        let file = std::fs::File::open(folder.join(format!("{system}.csv.gz"))).expect("the folder holds it");
        let mut reader = csv::Reader::from_reader(flate2::read::MultiGzDecoder::new(file));
        let header = reader.headers().expect("it has a header").clone();
        let column = |name: &str| header.iter().position(|own| own == name).expect("it has this column");
        let (content, event) = (column("content"), column("event_id"));
        let mut templates = Templates::new(TemplateConfig::default());
        let (mut truth, mut found) = (Vec::new(), Vec::new());
        for record in reader.records() {
            let record = record.expect("it is a table");
            truth.push(record[event].to_owned());
            found.push(templates.learn(&record[content]));
        }
        let found: Vec<TemplateId> = found.into_iter().map(|id| templates.resolve(id)).collect();
        grouping_accuracy(&truth, &found)
    });
    let mean = accuracies.iter().sum::<f64>() / SYSTEMS.len() as f64;
    assert!(mean >= 0.961, "{mean}: {accuracies:?}");
}
