//! Signatures as botocore makes them (`oracle.py`), and a server that behaves as AWS documents its refusals.

use super::*;
use crate::clock::ManualClock;
use crate::ingest::cloudwatch::poll::CredentialsPlace;
use std::collections::{BTreeMap, VecDeque};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wire::Timestamp;

#[test]
fn a_signature_is_the_one_that_botocore_makes() {
    let check = |token: Option<&str>, signed: &str, signature: &str| {
        let keys = aws_credential_types::Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            token.map(str::to_owned),
            None,
            "test",
        );
        let headers = super::signature(
            monitoring("eu-west-1"),
            "https://monitoring.eu-west-1.amazonaws.com",
            &[
                ("content-type", TYPE),
                ("x-amz-target", "GraniteServiceVersion20100801.ListMetrics"),
            ],
            r#"{"Namespace":"AWS/EC2"}"#,
            keys,
            Timestamp(1_700_000_000_000),
        );
        let headers: BTreeMap<_, _> = headers.unwrap().into_iter().collect();
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20231114/eu-west-1/monitoring/aws4_request, \
             SignedHeaders={signed}, Signature={signature}"
        );
        assert_eq!(headers.get("authorization"), Some(&expected));
        assert_eq!(headers.get("x-amz-date").map(String::as_str), Some("20231114T221320Z"));
        assert_eq!(headers.get("x-amz-security-token").map(String::as_str), token);
    };
    check(
        None,
        "content-type;host;x-amz-date;x-amz-target",
        "af078d1ab958065cc1a9d150fa8418643f6cdc7f2b14f1db9fa692b73c00d829",
    );
    check(
        Some("session"),
        "content-type;host;x-amz-date;x-amz-security-token;x-amz-target",
        "0c6de20f4e442bce341531bec500c1f8e2beed6e8dad1e49ca95626d7dcbea04",
    );
}

/// Answers requests in turn, and gives back what they were.
async fn server(answers: Vec<(u16, &'static str)>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut answers: VecDeque<_> = answers.into();
        let mut seen = Vec::new();
        while let Some((status, body)) = answers.pop_front() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut request, mut part) = (Vec::new(), [0; 4096]);
            // Every body of these tests ends with a brace.
            while !request.ends_with(b"}") {
                let read = stream.read(&mut part).await.unwrap();
                assert!(read > 0, "{}", String::from_utf8_lossy(&request));
                request.extend_from_slice(&part[..read]);
            }
            seen.push(String::from_utf8(request).unwrap());
            let answer = format!(
                "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        seen
    });
    (address, serving)
}

fn client(endpoint: String, dir: &tempfile::TempDir) -> Client {
    let path = dir.path().join("credentials");
    std::fs::write(&path, "[default]\naws_access_key_id=A\naws_secret_access_key=B\n").unwrap();
    let config = CloudwatchConfig {
        name: "cloudwatch".into(),
        region: "eu-west-1".into(),
        endpoint: Some(endpoint),
        namespaces: vec!["AWS/EC2".into()],
        metrics: Vec::new(),
        dimensions: BTreeMap::new(),
        statistics: vec!["Average".into()],
        period_ms: 60_000,
        delay_ms: 0,
        account: String::new(),
        max_metrics: 10,
        credentials: CredentialsPlace::Profile {
            file: Some(path),
            profile: "default".into(),
        },
    };
    let mut client = Client::new(&config, Arc::new(ManualClock::new(Timestamp(1_700_000_000_000)))).unwrap();
    client.first_pause = Duration::from_millis(1);
    client
}

const THROTTLED: (u16, &str) = (
    400,
    r#"{"__type":"com.amazonaws.cloudwatch#ThrottlingException","message":"Rate exceeded"}"#,
);
const ONE: &str = r#"{"Namespace":"AWS/EC2","MetricName":"A","Dimensions":[]}"#;

#[tokio::test]
async fn what_comes_too_fast_is_asked_again_and_every_page_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let first: &'static str = Box::leak(format!(r#"{{"Metrics":[{ONE}],"NextToken":"t"}}"#).into_boxed_str());
    let second: &'static str = Box::leak(format!(r#"{{"Metrics":[{ONE}]}}"#).into_boxed_str());
    let (address, serving) = server(vec![THROTTLED, (503, "busy"), (200, first), (200, second)]).await;
    let metrics = client(address, &dir).metrics().await.unwrap();
    assert_eq!(metrics.len(), 2);
    let seen = serving.await.unwrap();
    assert!(
        seen[0].contains("x-amz-target: GraniteServiceVersion20100801.ListMetrics"),
        "{}",
        seen[0]
    );
    assert!(
        seen[0].contains("authorization: AWS4-HMAC-SHA256 Credential=A/"),
        "{}",
        seen[0]
    );
    assert!(
        !seen[2].contains("NextToken") && seen[3].contains(r#""NextToken":"t""#),
        "{seen:?}"
    );
}

#[tokio::test]
async fn what_is_refused_is_not_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let denied = r#"{"__type":"AccessDeniedException","Message":"not allowed"}"#;
    let (address, serving) = server(vec![(403, denied)]).await;
    let error = client(address, &dir).metrics().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "ListMetrics was refused with 403 AccessDeniedException: not allowed"
    );
    assert_eq!(serving.await.unwrap().len(), 1);
    let (address, serving) = server(vec![THROTTLED; TRIES as usize]).await;
    let error = client(address, &dir).metrics().await.unwrap_err().to_string();
    assert!(error.contains("ThrottlingException: Rate exceeded"), "{error}");
    assert_eq!(serving.await.unwrap().len(), TRIES as usize);
}
