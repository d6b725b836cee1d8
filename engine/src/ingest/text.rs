//! What the text protocols (StatsD, Influx) have in common: names as Prometheus writes them, and limits on labels.

use crate::series::Labels;

/// Labels of one series at most, its name included.
pub(super) const MAX_LABELS: usize = 128;
pub(super) const MAX_NAME_BYTES: usize = 1024;
pub(super) const MAX_VALUE_BYTES: usize = 16 << 10;

/// Every character that a name of Prometheus may not have becomes `_`: `page.views` and `page_views` are one metric.
pub(super) fn metric_name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

/// The labels of a series, if they are within the limits. Labels without a value are left out.
pub(super) fn labels<'a>(
    metric: String,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Labels, &'static str> {
    if metric.is_empty() || metric.len() > MAX_NAME_BYTES {
        return Err("the name must have 1 to 1024 bytes");
    }
    // First, so that no tag of that name takes its place.
    let mut all = vec![("__name__".to_owned(), metric)];
    for (name, value) in pairs {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err("the name of a tag must have 1 to 1024 bytes");
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err("the value of a tag is longer than 16384 bytes");
        }
        if !value.is_empty() {
            all.push((metric_name(name), value.to_owned()));
        }
        if all.len() > MAX_LABELS {
            return Err("more than 127 tags");
        }
    }
    Ok(Labels::new(all))
}

/// The start of a text, for a message.
pub(super) fn shown(text: &str) -> String {
    const KEEP: usize = 100;
    match text.char_indices().nth(KEEP) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
