//! Against servers that behave as the services document it: what may pass is tried again, what may not is not.

use super::*;
use crate::clock::ManualClock;
use crate::config::SecretPlace;
use crate::ingest::cloudwatch::poll::CredentialsPlace;
use crate::notify::{Channel, MailServer, MailTls, Notice, Target, Template, Url};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use wire::Timestamp;
use wire::notify::{ChannelKind, Delivery, DeliveryState, Occasion};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// Answers one request, and gives back what it was.
async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let before = head.len();
            stream.read_line(&mut head).await.unwrap();
            let line = head[before..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        stream.get_mut().shutdown().await.unwrap();
        head + &String::from_utf8(body).unwrap()
    });
    (address, served)
}

fn sender(target: Target) -> Sender {
    let config = NotifyConfig {
        channels: vec![Channel {
            name: "ops".to_owned(),
            target,
            max_per_hour: 60,
            template: Template::default(),
        }],
        ..NotifyConfig::default()
    };
    Sender::new(Arc::new(config), Arc::new(ManualClock::new(NOW))).unwrap()
}

fn hook(url: String) -> Target {
    Target::Webhook {
        url: Url::Open(url),
        secret: None,
        bearer: None,
    }
}

fn parcel() -> Parcel {
    Parcel {
        delivery: Delivery {
            id: "NTF-000007".into(),
            channel: "ops".to_owned(),
            kind: ChannelKind::Webhook,
            occasion: Occasion::Opened,
            incident: Some("INC-000001".into()),
            severity: wire::incident::Severity::P1,
            created: NOW,
            tries: 1,
            problem: String::new(),
            state: DeliveryState::Sending,
        },
        notice: Notice::example(NOW),
    }
}

#[tokio::test]
async fn the_answer_decides_whether_it_is_tried_again() {
    let again = |problem: &str, after_ms| Sent::Again {
        problem: problem.to_owned(),
        after_ms,
    };
    let cases = [
        (
            "HTTP/1.1 202 Accepted\r\ncontent-length: 20\r\n\r\n{\"status\":\n\"success\"}",
            Sent::Delivered("202 Accepted: {\"status\": \"success\"".to_owned()),
        ),
        (
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n",
            again("429 Too Many Requests", Some(30_000)),
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
            again("502 Bad Gateway", None),
        ),
        (
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\n\r\ninvalid key",
            Sent::Refused("400 Bad Request: invalid key".to_owned()),
        ),
        // Where an address leads elsewhere a POST would become a GET.
        (
            "HTTP/1.1 301 Moved Permanently\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
            Sent::Refused("301 Moved Permanently".to_owned()),
        ),
    ];
    for (answer, expected) in cases {
        let (url, served) = server(answer).await;
        assert_eq!(sender(hook(url)).send(&parcel()).await, expected);
        let request = served.await.unwrap();
        assert!(request.contains("idempotency-key: NTF-000007\r\n"), "{request}");
        assert!(request.contains("\"version\":\"4\""), "{request}");
    }
}

#[tokio::test]
async fn slack_says_ok_or_it_is_not_slack() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slack");
    for (answer, is_delivered) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>", false),
    ] {
        let (url, served) = server(answer).await;
        std::fs::write(&path, format!("{url}/services/T0/B0/secret\n")).unwrap();
        let target = Target::Slack {
            url: SecretPlace::File(path.clone()),
        };
        let sent = sender(target).send(&parcel()).await;
        assert_eq!(matches!(sent, Sent::Delivered(_)), is_delivered, "{sent:?}");
        assert!(
            served
                .await
                .unwrap()
                .starts_with("POST /services/T0/B0/secret HTTP/1.1\r\n")
        );
    }
}

#[tokio::test]
async fn what_cannot_be_reached_names_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slack");
    let target = || Target::Slack {
        url: SecretPlace::File(path.clone()),
    };
    let Sent::Again { problem, .. } = sender(target()).send(&parcel()).await else {
        panic!("a secret that is not there yet")
    };
    assert!(problem.contains("slack"), "{problem}");
    // Nobody listens there any more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    std::fs::write(&path, format!("http://{address}/services/the-secret")).unwrap();
    let Sent::Again { problem, .. } = sender(target()).send(&parcel()).await else {
        panic!("may pass")
    };
    assert!(
        problem.contains("refused") && !problem.contains("the-secret"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_topic_is_published_to_with_a_signature() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("credentials");
    std::fs::write(
        &file,
        "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = secret\n",
    )
    .unwrap();
    let (url, served) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let target = Target::Sns {
        topic: "arn:aws:sns:eu-central-1:123456789012:halo".to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint: Some(url),
        credentials: CredentialsPlace::Profile {
            file: Some(file),
            profile: "default".to_owned(),
        },
    };
    assert_eq!(
        sender(target).send(&parcel()).await,
        Sent::Delivered("200 OK".to_owned())
    );
    let request = served.await.unwrap();
    assert!(
        request.contains("Credential=AKIDEXAMPLE/20231114/eu-central-1/sns/aws4_request"),
        "{request}"
    );
    assert!(
        request.contains("Action=Publish&Version=2010%2D03%2D31&TopicArn=arn%3Aaws%3Asns"),
        "{request}"
    );
}

/// A mail server that says what RFC 5321 lets it say.
async fn mail_server(to_data: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.get_mut().write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        let (mut mail, mut in_data) = (String::new(), false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return mail;
            }
            let answer = match line.trim_end() {
                "." if in_data => {
                    in_data = false;
                    to_data
                }
                _ if in_data => {
                    mail += &line;
                    continue;
                }
                "DATA" => {
                    in_data = true;
                    "354 go on\r\n"
                }
                "QUIT" => "221 bye\r\n",
                _ => "250 OK\r\n",
            };
            stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (port, served)
}

fn email(port: u16) -> Target {
    Target::Email(MailServer {
        host: "127.0.0.1".to_owned(),
        port,
        tls: MailTls::Off,
        username: None,
        password: None,
        from: "Halo <halo@example.com>".to_owned(),
        to: vec!["Ann <ann@example.com>".to_owned(), "ben@example.com".to_owned()],
    })
}

#[tokio::test]
async fn a_mail_has_its_thread_and_a_receipt() {
    let (port, served) = mail_server("250 queued as 42\r\n").await;
    let sent = sender(email(port)).send(&parcel()).await;
    assert_eq!(sent, Sent::Delivered("250 queued as 42".to_owned()));
    let mail = served.await.unwrap();
    for expected in [
        "From: Halo <halo@example.com>\r\n",
        "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n",
        "Subject: [P4] Example: checkout fails",
        "Message-ID: <ntf-000007.",
        "References: <inc-000000.",
        "Probable cause: checkout-db (87 %)",
    ] {
        assert!(mail.contains(expected), "{expected}\n{mail}");
    }
}

/// A server that has stored a mail before it says so has it twice if it is given up too early: it has its own time for that.
#[tokio::test]
async fn a_mail_server_is_waited_for_longer_once_it_has_the_mail() {
    let patient = mail::Limits::default();
    assert!(patient.store >= Duration::from_secs(600) && patient.ready < patient.store);
    let in_no_time = "no answer of the mail server within 0 s";
    let send = async |port, limits| {
        let sender = sender(email(port));
        let channel = sender.config.channel("ops").unwrap();
        let Ok(Outgoing::Mail(mail)) = render(&sender.config, channel, &parcel(), &secret::read) else {
            panic!("no mail")
        };
        mail::send(mail, NOW, limits).await
    };
    // It has the mail, and says nothing.
    let ready = mail::Limits {
        store: Duration::ZERO,
        ..patient
    };
    let (port, served) = mail_server("").await;
    assert_eq!(send(port, ready).await, again(in_no_time.to_owned()));
    served.await.unwrap();
    // It takes the connection, and says nothing.
    let unready = mail::Limits {
        ready: Duration::ZERO,
        ..patient
    };
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    assert_eq!(send(port, unready).await, again(in_no_time.to_owned()));
    // It has stored the mail, and never answers the goodbye.
    let quick = mail::Limits {
        quit: Duration::ZERO,
        ..patient
    };
    let (port, _served) = mail_server("250 stored\r\n").await;
    assert_eq!(send(port, quick).await, Sent::Delivered("250 stored".to_owned()));
}

#[tokio::test]
async fn a_mail_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let (port, _served) = mail_server("451 try later\r\n").await;
    assert!(matches!(sender(email(port)).send(&parcel()).await, Sent::Again { .. }));
    let (port, _served) = mail_server("550 no such user\r\n").await;
    let sent = sender(email(port)).send(&parcel()).await;
    assert!(
        matches!(&sent, Sent::Refused(problem) if problem.contains("no such user")),
        "{sent:?}"
    );
}
