//! Amazon SNS: `Publish` of the query API. The subject is ASCII of at most 100 characters, the message 256 KB.

use super::{Aws, HttpRequest, Message};
use crate::ingest::cloudwatch::poll::CredentialsPlace;
use crate::ingest::cloudwatch::sign::Service;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

pub(super) fn request(
    message: &Message<'_>,
    topic: &str,
    region: &str,
    endpoint: Option<&str>,
    credentials: &CredentialsPlace,
) -> HttpRequest {
    let (notice, words) = (message.notice, &message.words);
    let mut text = words.text.clone();
    if let Some(link) = &message.link {
        text += &format!("\n{link}");
    }
    let (severity, subject) = (format!("{:?}", notice.severity), subject(&words.title));
    let mut form: Vec<(String, &str)> = [
        ("Action", "Publish"),
        ("Version", "2010-03-31"),
        ("TopicArn", topic),
        ("Subject", &subject),
        ("Message", &text),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let attributes = [
        ("severity", severity.as_str()),
        ("occasion", message.occasion.as_str()),
        ("incident", notice.incident.as_str()),
    ];
    for (number, (name, value)) in (1..).zip(attributes) {
        let entry = format!("MessageAttributes.entry.{number}");
        form.push((format!("{entry}.Name"), name));
        form.push((format!("{entry}.Value.DataType"), "String"));
        form.push((format!("{entry}.Value.StringValue"), value));
    }
    if topic.ends_with(".fifo") {
        form.push(("MessageGroupId".to_owned(), notice.incident.as_str()));
        form.push(("MessageDeduplicationId".to_owned(), message.key));
    }
    let service = Service { name: "sns", region };
    HttpRequest {
        url: endpoint.map_or_else(|| format!("{}/", service.endpoint()), str::to_owned),
        headers: vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
        body: encoded(&form),
        aws: Some(Aws {
            service: "sns",
            region: region.to_owned(),
            credentials: credentials.clone(),
        }),
        expect: None,
    }
}

fn subject(title: &str) -> String {
    let ascii: String = title
        .chars()
        .map(|c| if c.is_ascii() { c } else { '?' })
        .take(100)
        .collect();
    ascii.trim().to_owned()
}

/// `application/x-www-form-urlencoded`.
fn encoded(pairs: &[(String, &str)]) -> String {
    let one = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", one(name), one(value)))
        .collect();
    pairs.join("&")
}
