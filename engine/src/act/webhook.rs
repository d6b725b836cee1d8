//! Sends the request that the dry run showed, byte for byte.

use std::time::Duration;

/// Tries of one step: the first, and two more after a failure that may pass.
const TRIES: u32 = 3;

/// Pause before the second try; doubled before the third.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Sends a planned request with an idempotency key. 2xx is success; 5xx, 429 and network failures are tried again; anything
/// else fails at once.
pub(super) async fn send(
    client: &reqwest::Client,
    planned: &str,
    key: &str,
    killed: &(dyn Fn() -> bool + Send + Sync),
) -> Result<String, String> {
    let (url, body) = parse(planned)?;
    let mut last = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(FIRST_PAUSE * 2u32.pow(attempt - 1)).await;
        }
        if killed() {
            return Err(match attempt {
                0 => "the kill switch is on: nothing was sent".to_owned(),
                _ => format!("the kill switch is on: not tried again after {last}"),
            });
        }
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(body.to_owned());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => return Ok(format!("{} from {url}", answer.status())),
            Ok(answer) if answer.status().is_server_error() || answer.status().as_u16() == 429 => {
                last = format!("{} from {url}", answer.status());
            }
            Ok(answer) => return Err(format!("{} from {url}: not tried again", answer.status())),
            Err(error) => last = format!("{url} cannot be reached: {error}"),
        }
    }
    Err(format!("{last}, {TRIES} tries"))
}

/// Address and body of a dry run.
fn parse(planned: &str) -> Result<(&str, &str), String> {
    let (head, body) = planned.split_once("\n\n").ok_or("the plan has no body")?;
    let line = head.lines().next().unwrap_or_default();
    let url = line
        .strip_prefix("POST ")
        .ok_or_else(|| format!("the plan is not a POST: {line}"))?;
    Ok((url, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A loopback server that answers one status after the other and keeps what it was sent.
    async fn server(statuses: &'static [&'static str]) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = tokio::spawn(async move {
            let mut requests = Vec::new();
            for status in statuses {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; 4096];
                let mut used = 0;
                loop {
                    used += stream.read(&mut bytes[used..]).await.unwrap();
                    if String::from_utf8_lossy(&bytes[..used]).ends_with('}') {
                        break;
                    }
                }
                requests.push(String::from_utf8_lossy(&bytes[..used]).into_owned());
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            requests
        });
        (
            format!("POST http://{address}/restart\ncontent-type: application/json\n\n{{\"target\":\"web\"}}"),
            requests,
        )
    }

    #[tokio::test]
    async fn what_was_planned_is_sent_with_its_key() {
        let (plan, requests) = server(&["200 OK"]).await;
        let said = send(&reqwest::Client::new(), &plan, "ACT-1-abc-0", &|| false)
            .await
            .unwrap();
        assert!(said.starts_with("200 OK from http://127.0.0.1:"), "{said}");
        let request = requests.await.unwrap().remove(0);
        assert!(request.starts_with("POST /restart HTTP/1.1\r\n") && request.ends_with("{\"target\":\"web\"}"));
        assert!(request.contains("idempotency-key: ACT-1-abc-0\r\n"));
    }

    #[tokio::test]
    async fn a_failure_that_may_pass_is_tried_again() {
        let (plan, requests) = server(&["503 Busy", "500 Oops", "202 Accepted"]).await;
        assert!(
            send(&reqwest::Client::new(), &plan, "k", &|| false)
                .await
                .unwrap()
                .starts_with("202")
        );
        assert_eq!(requests.await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        let (plan, requests) = server(&["403 Forbidden"]).await;
        assert!(
            send(&reqwest::Client::new(), &plan, "k", &|| false)
                .await
                .unwrap_err()
                .contains("not tried again")
        );
        assert_eq!(requests.await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_kill_switch_stops_a_retry() {
        let (plan, requests) = server(&["503 Busy"]).await;
        let asked = AtomicU32::new(0);
        let killed = || asked.fetch_add(1, Ordering::SeqCst) > 0;
        assert!(
            send(&reqwest::Client::new(), &plan, "k", &killed)
                .await
                .unwrap_err()
                .contains("not tried again after 503")
        );
        assert_eq!(requests.await.unwrap().len(), 1);
    }
}
