//! The words of a message: the usual ones, or those of the user's own templates (Jinja2, by the crate `minijinja`).

use super::Notice;
use super::notice::list;
use crate::correlate::text::{duration, instant as time};
use minijinja::{Environment, UndefinedBehavior, context};
use wire::Timestamp;
use wire::notify::Occasion;

/// Longest text in bytes; a template may loop.
const MAX_TEXT: usize = 16 << 10;

/// Instructions that a template may take.
const FUEL: u64 = 50_000;

/// Title and text in other words than the usual ones. Known are `occasion`, `severity`, `title`, `incident`, `state`, `cause`,
/// `confidence` (0..1), `team`, `assignee`, `story` (a list), `entities`, `entity_count`, `blast_radius`, `blast_count`, `members`,
/// `alerts`, `started`, `ended`, `duration`, `actor`, `link`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pub title: Option<String>,
    pub text: Option<String>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// One line.
    pub title: String,
    pub text: String,
}

impl Template {
    /// What is wrong with it, by field.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let notice = Notice::example(Timestamp::default());
        let check = |field, template: &Option<String>| {
            let template = template.as_ref()?;
            let error = fill(template, Occasion::Opened, &notice, Some("https://halo.example")).err()?;
            Some((field, error))
        };
        [check("title", &self.title), check("text", &self.text)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The words about an incident. A template that fails at it gives way to the usual ones: a message with other words is better
    /// than none.
    pub fn words(&self, occasion: Occasion, notice: &Notice, link: Option<&str>) -> Words {
        let own = |template: &Option<String>| {
            let filled = fill(template.as_ref()?, occasion, notice, link);
            filled
                .inspect_err(
                    |error| tracing::warn!(%error, "a template of a notification failed; the usual words are sent"),
                )
                .ok()
        };
        Words {
            title: one_line(&own(&self.title).unwrap_or_else(|| title(occasion, notice))),
            text: cut(&own(&self.text).unwrap_or_else(|| text(notice)), MAX_TEXT),
        }
    }
}

fn fill(template: &str, occasion: Occasion, notice: &Notice, link: Option<&str>) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    let names = |entities: &[wire::EntityId]| entities.iter().map(ToString::to_string).collect::<Vec<_>>();
    let values = context! {
        occasion => occasion.as_str(),
        severity => format!("{:?}", notice.severity),
        title => notice.title.clone(),
        incident => notice.incident.as_str(),
        state => format!("{:?}", notice.state).to_lowercase(),
        cause => notice.cause.as_ref().map(ToString::to_string),
        confidence => f64::from(notice.confidence),
        team => notice.team.clone(),
        assignee => notice.assignee.clone(),
        story => notice.story.clone(),
        entities => names(&notice.entities),
        entity_count => notice.entity_count,
        blast_radius => names(&notice.blast_radius),
        blast_count => notice.blast_count,
        members => notice.members,
        alerts => notice.alerts,
        started => time(notice.started),
        ended => notice.ended.map(time),
        duration => notice.ended.map(|ended| duration(ended.millis_since(notice.started))),
        actor => notice.actor.clone(),
        link => link,
    };
    environment
        .render_str(template, values)
        .map_err(|error| format!("{error:#}").lines().next().unwrap_or_default().to_owned())
}

/// The usual title.
fn title(occasion: Occasion, notice: &Notice) -> String {
    let mark = match occasion {
        Occasion::Opened => String::new(),
        Occasion::Test => "test: ".to_owned(),
        other => format!("{}: ", other.as_str()),
    };
    format!("[{:?}] {mark}{}", notice.severity, notice.title)
}

/// The usual text.
fn text(notice: &Notice) -> String {
    let mut lines: Vec<String> = notice.story.iter().map(|sentence| sentence_of(sentence)).collect();
    match &notice.cause {
        Some(cause) => lines.push(format!(
            "Probable cause: {cause} ({:.0} %)",
            f64::from(notice.confidence) * 100.0
        )),
        None => lines.push("No single cause stands out".to_owned()),
    }
    if notice.blast_count > 0 {
        lines.push(format!(
            "Depend on it: {}",
            list(&notice.blast_radius, notice.blast_count)
        ));
    }
    lines.push(format!(
        "{} anomalous samples of {} series on {}",
        notice.alerts,
        notice.members,
        list(&notice.entities, notice.entity_count)
    ));
    lines.push(match notice.ended {
        Some(ended) => format!(
            "From {} to {} ({})",
            time(notice.started),
            time(ended),
            duration(ended.millis_since(notice.started))
        ),
        None => format!("Since {}", time(notice.started)),
    });
    if let Some(other) = &notice.merged_into {
        lines.push(format!("It became a part of {other}"));
    }
    if let Some(actor) = &notice.actor {
        lines.push(format!(
            "{} by {actor}",
            sentence_of(&format!("{:?}", notice.state).to_lowercase())
        ));
    }
    lines.join("\n")
}

/// With a capital letter.
fn sentence_of(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Without line breaks and control characters, which end a header of a mail.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_control() || c.is_whitespace()).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    cut(&words.join(" "), 1000)
}

/// At most so many bytes, whole characters.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(title: &str, text: &str) -> Words {
        let template = Template {
            title: (!title.is_empty()).then(|| title.to_owned()),
            text: (!text.is_empty()).then(|| text.to_owned()),
        };
        template.words(
            Occasion::Opened,
            &Notice::example(Timestamp(1_000_000_000_000)),
            Some("https://halo.example/i"),
        )
    }

    #[test]
    fn a_template_says_it_in_other_words() {
        let own = words(
            "{{ severity }} on {{ cause }}{% if team %} ({{ team }}){% endif %}",
            "{% for line in story %}- {{ line }}\n{% endfor %}{{ link }}",
        );
        assert_eq!(own.title, "P4 on checkout-db");
        assert!(own.text.starts_with("- connections of") && own.text.ends_with("\nhttps://halo.example/i"));
    }

    #[test]
    fn the_usual_words_are_complete() {
        let usual = words("", "");
        assert_eq!(
            usual.title,
            "[P4] Example: checkout fails because its database runs out of connections"
        );
        assert_eq!(
            usual.text,
            "Connections of checkout-db rose to its limit of 100\nCheckout answered with errors first\n\
             Nothing is wrong: a person tries this channel\nProbable cause: checkout-db (87 %)\n\
             Depend on it: checkout, frontend\n47 anomalous samples of 3 series on checkout, checkout-db\n\
             Since 2001-09-09 01:43:40 UTC"
        );
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said_before_it_is_needed() {
        let problems = |title: &str| {
            Template {
                title: Some(title.to_owned()),
                text: None,
            }
            .problems()
        };
        assert!(problems("{{ severity }}").is_empty());
        for (bad, says) in [
            ("{{ sevrity }}", "undefined"),
            ("{{ severity", "unexpected end"),
            ("{{ severity | uper }}", "uper"),
            (
                "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}",
                "fuel",
            ),
        ] {
            let found = problems(bad);
            assert!(found.len() == 1 && found[0].1.contains(says), "{bad}: {found:?}");
        }
        // At the time of sending the usual words take its place.
        assert!(words("{{ sevrity }}", "").title.starts_with("[P4]"));
    }

    #[test]
    fn a_title_is_one_line_and_a_text_ends() {
        assert_eq!(
            words("a\r\nBcc: all@example.com\t b", "").title,
            "a Bcc: all@example.com b"
        );
        let long = words("", &"ä".repeat(20_000)).text;
        assert!(long.len() <= MAX_TEXT && long.ends_with('…'));
    }
}
