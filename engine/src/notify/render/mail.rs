//! A mail in plain text. All mails about an incident are one thread.

use super::{Mail, Message};
use crate::notify::MailServer;

pub(super) fn mail(message: &Message<'_>, server: &MailServer, password: Option<String>) -> Mail {
    let notice = message.notice;
    let mut text = message.words.text.clone();
    if let Some(link) = &message.link {
        text += &format!("\n\n{link}");
    }
    let mut footer = format!("{} · {}", notice.incident, message.channel);
    if let Some(team) = &notice.team {
        footer += &format!(" · team {team}");
    }
    let domain = server.from.rsplit('@').next().unwrap_or("halo").trim_end_matches('>');
    Mail {
        server: server.clone(),
        password,
        subject: message.words.title.clone(),
        text: format!("{text}\n\n-- \n{footer}\n"),
        id: format!("{}.{}@{domain}", message.key, notice.started.as_millis()).to_lowercase(),
        thread: format!("{}.{}@{domain}", notice.incident, notice.started.as_millis()).to_lowercase(),
    }
}
