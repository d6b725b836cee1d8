//! Sends a mail by SMTP. Who breaks off while the server is storing a mail gets it delivered twice (RFC 5321, 4.5.3.2.6): up to there a
//! try may take as long as any other, from there on the server has its ten minutes.

use super::{SHOWN, TIMEOUT, again};
use crate::notify::render::Mail;
use crate::notify::{MailTls, Sent, template};
use lettre::Message;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::{Error, extension::ClientId};
use std::time::{Duration, SystemTime};
use wire::Timestamp;

/// How long a server is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until it is ready to take a mail.
    pub(super) ready: Duration,
    /// From there on, until it has stored the mail.
    pub(super) store: Duration,
    /// When it is told goodbye.
    pub(super) quit: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ready: TIMEOUT,
            store: Duration::from_secs(600),
            quit: Duration::from_secs(5),
        }
    }
}

pub(super) async fn send(mail: Mail, now: Timestamp, limits: Limits) -> Sent {
    let message = match message(&mail, now) {
        Ok(message) => message,
        Err(problem) => return Sent::Refused(problem),
    };
    let late = |limit: Duration| again(format!("no answer of the mail server within {} s", limit.as_secs()));
    let mut connection = match tokio::time::timeout(limits.ready, connect(&mail)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return failed(&error),
        Err(_) => return late(limits.ready),
    };
    let text = message.formatted();
    let sending = connection.send(message.envelope(), &text);
    let sent = match tokio::time::timeout(limits.store, sending).await {
        Ok(Ok(answer)) => {
            let said: Vec<&str> = answer.message().collect();
            Sent::Delivered(template::cut(&format!("{} {}", answer.code(), said.join(" ")), SHOWN))
        }
        Ok(Err(error)) => failed(&error),
        Err(_) => return late(limits.store),
    };
    // Whatever it answers now, the mail is there or is not.
    let _ = tokio::time::timeout(limits.quit, connection.abort()).await;
    sent
}

/// Connected, encrypted and known to the server.
async fn connect(mail: &Mail) -> Result<AsyncSmtpConnection, Error> {
    let server = &mail.server;
    let tls = || TlsParameters::new(server.host.clone());
    let implicit = match server.tls {
        MailTls::Implicit => Some(tls()?),
        MailTls::Starttls | MailTls::Off => None,
    };
    let name = ClientId::default();
    let address = (server.host.as_str(), server.port);
    let mut connection = AsyncSmtpConnection::connect_tokio1(address, None, &name, implicit, None).await?;
    if server.tls == MailTls::Starttls {
        connection.starttls(tls()?, &name).await?;
    }
    if let (Some(user), Some(password)) = (&server.username, &mail.password) {
        let credentials = Credentials::new(user.clone(), password.clone());
        connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
    }
    Ok(connection)
}

fn failed(error: &Error) -> Sent {
    if error.is_permanent() {
        Sent::Refused(error.to_string())
    } else {
        again(error.to_string())
    }
}

fn message(mail: &Mail, now: Timestamp) -> Result<Message, String> {
    let parse = |address: &str| {
        address
            .parse::<lettre::message::Mailbox>()
            .map_err(|error| format!("{address:?} is no mail address: {error}"))
    };
    let mut builder = Message::builder()
        .from(parse(&mail.server.from)?)
        .subject(&mail.subject)
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or_default()))
        .message_id(Some(format!("<{}>", mail.id)))
        .in_reply_to(format!("<{}>", mail.thread))
        .references(format!("<{}>", mail.thread));
    for to in &mail.server.to {
        builder = builder.to(parse(to)?);
    }
    builder
        .header(ContentType::TEXT_PLAIN)
        .body(mail.text.clone())
        .map_err(|error| error.to_string())
}
