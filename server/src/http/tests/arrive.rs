//! Requests that come in pieces, slowly, or not at all.

use super::*;
use axum::body::Bytes;
use futures::stream;
use std::time::Duration;

fn impatient(read_timeout: Duration) -> Router {
    let auth = Auth::new(
        ([127, 0, 0, 1], 7700).into(),
        false,
        TokenFile::open(std::path::Path::new("/nowhere")).unwrap(),
    );
    let mut config = ServeConfig::new(auth.unwrap());
    config.write_limits.read_timeout = read_timeout;
    router(config, Arc::new(Stub::fine()), signal::channel(false).1)
}

async fn post(app: &Router, path: &str, body: Body) -> Response {
    let request = Request::post(path)
        .header("host", "127.0.0.1:7700")
        .header("content-type", "application/x-protobuf")
        .body(body);
    app.clone().oneshot(request.unwrap()).await.unwrap()
}

fn pieces(pieces: &[&'static [u8]]) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> + use<> {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
    stream::iter(pieces)
}

#[tokio::test]
async fn what_never_comes_to_its_end_is_put_off() {
    let app = impatient(Duration::ZERO);
    for path in ["/api/v1/write", "/v1/metrics", "/write", "/loki/api/v1/push"] {
        let endless = Body::from_stream(pieces(&[b"some"]).chain(stream::pending()));
        let answer = post(&app, path, endless).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.headers()["retry-after"], "1");
        assert_eq!(answer.headers()["connection"], "close");
    }
}

#[tokio::test]
async fn pieces_become_one_request() {
    let app = impatient(Duration::from_secs(60));
    let stub_says_so = StatusCode::NO_CONTENT;
    let cases: [&[&'static [u8]]; 3] = [&[], &[b"whole"], &[b"in ", b"three ", b"pieces"]];
    for parts in cases {
        let answer = post(&app, "/api/v1/write", Body::from_stream(pieces(parts))).await;
        assert_eq!(answer.status(), stub_says_so);
    }
    // A sender that hangs up gets no further, and breaks nothing.
    let broken = pieces(&[b"some"]).chain(stream::once(async { Err(std::io::Error::other("gone")) }));
    let answer = post(&app, "/api/v1/write", Body::from_stream(broken)).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_is_too_large_is_refused_in_the_words_of_its_route() {
    let app = impatient(Duration::from_secs(60));
    // Over the limit of the route; the rest never comes, and is not waited for.
    static PIECE: [u8; 1 << 20] = [0; 1 << 20];
    let endless = Body::from_stream(pieces(&[PIECE.as_slice(); 34]).chain(stream::pending()));
    let answer = post(&app, "/v1/metrics", endless).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.headers()["content-type"], "application/x-protobuf");
}
