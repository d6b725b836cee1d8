//! Calls as they are on the wire: a frame in, a frame and a status out. A real client of gRPC is in `tests/real/`.

use super::*;
use crate::auth::tokens::TokenFile;
use crate::otlp::{self, Any};
use async_trait::async_trait;
use engine::handle::Handle;
use engine::ingest::prometheus::Version;
use engine::ingest::registry::Registry;
use engine::ingest::{IngestBatch, RejectReason, Rejection};
use engine::pipeline::{IngestReport, Payload, Question, TakeError, Told, WriteOutcome};
use engine::promql::QueryError;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::sync::Mutex;
use tower::ServiceExt as _;
use wire::Timestamp;
use wire::status::Identity;

const PATHS: [(&str, Payload); 3] = [
    (
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Payload::OtlpMetrics(Encoding::Protobuf),
    ),
    (
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Payload::OtlpLogs(Encoding::Protobuf),
    ),
    (
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Payload::OtlpSpans(Encoding::Protobuf),
    ),
];

/// Remembers what it was given.
#[derive(Default)]
struct Stub {
    outcome: Mutex<Option<Result<IngestReport, TakeError>>>,
    taken: Mutex<Vec<(Payload, Vec<u8>)>>,
    refused: Mutex<Vec<(String, RejectReason)>>,
}

#[async_trait]
impl Backend for Stub {
    fn handle(self: Arc<Self>, _: Identity) -> Arc<dyn Handle> {
        unreachable!("nobody asks")
    }

    async fn remote_write(&self, _: Version, _: &[u8]) -> WriteOutcome {
        unreachable!("nobody writes")
    }

    async fn take(&self, payload: Payload, body: &[u8]) -> Result<IngestReport, TakeError> {
        self.taken.lock().unwrap().push((payload, body.to_vec()));
        let outcome = self.outcome.lock().unwrap().take();
        outcome.unwrap_or_else(|| Ok(IngestReport::default()))
    }

    fn max_request_bytes(&self) -> usize {
        1000
    }

    async fn ingest(&self, _: &str, _: IngestBatch) -> Result<IngestReport, engine::Error> {
        unreachable!("nobody sends samples of another protocol")
    }

    async fn ask(&self, _: Question, _: Duration) -> Result<Told, QueryError> {
        Err(QueryError::Execution("as the test wishes".to_owned()))
    }

    fn registry(&self) -> &Registry {
        unreachable!("nobody decodes")
    }

    async fn refused(&self, source: &str, _: &'static str, rejections: Vec<Rejection>) {
        let all = rejections.iter().map(|one| (source.to_owned(), one.reason));
        self.refused.lock().unwrap().extend(all);
    }

    fn now(&self) -> Timestamp {
        Timestamp(1)
    }

    fn metrics_text(&self) -> String {
        String::new()
    }
}

struct Answer {
    code: i32,
    message: String,
    details: Vec<u8>,
    body: Vec<u8>,
}

fn frame(message: &[u8], is_compressed: bool) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[u8::from(is_compressed)], length.as_slice(), message].concat()
}

fn open() -> Auth {
    let file = TokenFile::open(std::path::Path::new("/nowhere")).unwrap();
    Auth::new(([127, 0, 0, 1], 4317).into(), false, file).unwrap()
}

async fn call(router: Router, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut request = axum::http::Request::builder()
        .method("POST")
        .uri(path)
        .header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    assert_eq!(parts.status, 200, "gRPC says everything in its own status");
    let mut body = Box::pin(body);
    let (mut bytes, mut headers) = (Vec::new(), parts.headers);
    while let Some(frame) =
        std::future::poll_fn(|context| axum::body::HttpBody::poll_frame(body.as_mut(), context)).await
    {
        match frame.unwrap().into_data() {
            Ok(data) => bytes.extend(data),
            Err(frame) => headers.extend(frame.into_trailers().unwrap()),
        }
    }
    let status = Status::from_header_map(&headers).unwrap();
    Answer {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: status.details().to_vec(),
        body: bytes,
    }
}

#[tokio::test]
async fn each_service_hands_on_its_message() {
    let stub = Arc::new(Stub::default());
    for (path, payload) in PATHS {
        let services = || router(open(), stub.clone(), WriteLimits::default());
        let plain = call(services(), path, &[], frame(b"hello", false)).await;
        assert_eq!((plain.code, plain.body), (0, frame(b"", false)));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"hello").unwrap();
        let zipped = frame(&gzip.finish().unwrap(), true);
        assert_eq!(
            call(services(), path, &[("grpc-encoding", "gzip")], zipped).await.code,
            0
        );
        let taken = std::mem::take(&mut *stub.taken.lock().unwrap());
        assert_eq!(taken, [(payload, b"hello".to_vec()), (payload, b"hello".to_vec())]);
    }
}

#[tokio::test]
async fn what_was_refused_in_part_is_said() {
    let report = IngestReport {
        accepted: 1,
        rejections: vec![Rejection {
            reason: RejectReason::TooOld,
            samples: 2,
            example: "x".to_owned(),
        }],
    };
    let stub = Stub::default();
    *stub.outcome.lock().unwrap() = Some(Ok(report));
    let services = router(open(), Arc::new(stub), WriteLimits::default());
    let answer = call(services, PATHS[1].0, &[], frame(b"", false)).await;
    let partial = ExportResponse::decode(&answer.body[5..])
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!((answer.code, partial.rejected), (0, 2));
    assert_eq!(partial.message, "2 of 3 log records refused: 2 too_old (x)");
}

#[tokio::test]
async fn overload_asks_to_come_again_and_nothing_else_does() {
    let check = async |error: TakeError, code: Code, retry: bool| {
        let stub = Stub::default();
        *stub.outcome.lock().unwrap() = Some(Err(error));
        let services = router(open(), Arc::new(stub), WriteLimits::default());
        let answer = call(services, PATHS[0].0, &[], frame(b"", false)).await;
        assert_eq!(answer.code, code as i32, "{}", answer.message);
        let details = otlp::Status::decode(&*answer.details).unwrap().details;
        let expected = Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            // A delay of one second.
            value: vec![0x0a, 0x02, 0x08, 0x01],
        };
        assert_eq!(
            details,
            if retry { vec![expected] } else { vec![] },
            "{}",
            answer.message
        );
    };
    check(
        engine::Error::Unavailable("full".into()).into(),
        Code::Unavailable,
        true,
    )
    .await;
    check(
        engine::ingest::otlp::OtlpError::TooManyObjects.into(),
        Code::InvalidArgument,
        false,
    )
    .await;
    let busy = WriteLimits {
        concurrent: 0,
        patience: Duration::ZERO,
        ..WriteLimits::default()
    };
    let stub = Arc::new(Stub::default());
    let services = router(open(), stub.clone(), busy);
    let answer = call(services, PATHS[0].0, &[], frame(b"", false)).await;
    assert_eq!(answer.code, Code::Unavailable as i32);
    assert!(!answer.details.is_empty());
    assert_eq!(
        *stub.refused.lock().unwrap(),
        [("grpc".to_owned(), RejectReason::Overloaded)]
    );
}

#[tokio::test]
async fn too_large_is_said_so_before_and_after_decompression() {
    let stub = Arc::new(Stub::default());
    let services = || router(open(), stub.clone(), WriteLimits::default());
    let plain = call(services(), PATHS[0].0, &[], frame(&[0; 1001], false)).await;
    assert_eq!(plain.code, Code::ResourceExhausted as i32, "{}", plain.message);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&[0; 100_000]).unwrap();
    let bomb = frame(&gzip.finish().unwrap(), true);
    let bomb = call(services(), PATHS[0].0, &[("grpc-encoding", "gzip")], bomb).await;
    assert_eq!(bomb.code, Code::ResourceExhausted as i32, "{}", bomb.message);
    let unknown = call(services(), "/other.Service/Call", &[], frame(b"", false)).await;
    assert_eq!(unknown.code, Code::Unimplemented as i32);
    assert!(stub.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn tokens_and_roles_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = TokenFile::open(dir.path()).unwrap();
    let viewer = file.create("viewer", Role::Viewer, Timestamp(0)).unwrap();
    let operator = file.create("operator", Role::Operator, Timestamp(0)).unwrap();
    let auth = Auth::new(([127, 0, 0, 1], 4317).into(), false, file).unwrap();
    let services = || router(auth.clone(), Arc::new(Stub::default()), WriteLimits::default());
    let mut codes = vec![call(services(), PATHS[0].0, &[], frame(b"", false)).await.code];
    for token in [viewer, operator] {
        let value = format!("Bearer {token}");
        codes.push(
            call(services(), PATHS[0].0, &[("authorization", &value)], frame(b"", false))
                .await
                .code,
        );
    }
    assert_eq!(codes, [16, 7, 0]);
}
