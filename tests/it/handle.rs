//! The handle's contract in this process and over HTTP; `src-tauri/tests/handle.rs` runs it over the desktop's IPC.

use engine::handle::Handle;
use server::auth::Auth;
use server::auth::tokens::TokenFile;
use server::client::HttpHandle;
use server::http::{ServeConfig, Server};
use std::sync::Arc;
use tests::handle_suite::{self, Seats, identity};
use wire::Timestamp;
use wire::status::Role;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_process() {
    let folder = tempfile::tempdir().unwrap();
    let engine = handle_suite::engine(folder.path()).await;
    let seat = |role| -> Arc<dyn Handle> { engine.handle(identity(role)) };
    handle_suite::run(Seats {
        operator: seat(Role::Operator),
        viewer: seat(Role::Viewer),
    })
    .await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http() {
    let folder = tempfile::tempdir().unwrap();
    let engine = handle_suite::engine(folder.path()).await;
    let tokens = TokenFile::open(folder.path()).unwrap();
    let token = |role| tokens.create(&identity(role).name, role, Timestamp(0)).unwrap();
    let (operator, viewer) = (token(Role::Operator), token(Role::Viewer));
    let listen = ([127, 0, 0, 1], 0).into();
    let server = Server::bind(listen, ServeConfig::new(Auth::new(listen, false, tokens).unwrap()))
        .await
        .unwrap();
    let base = format!("http://{}", server.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(engine.clone(), async { stopped.await.unwrap_or_default() }));

    let seat = |token: String| -> Arc<dyn Handle> { Arc::new(HttpHandle::new(&base, Some(token)).unwrap()) };
    handle_suite::run(Seats {
        operator: seat(operator),
        viewer: seat(viewer),
    })
    .await;

    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    engine.shutdown().await;
}
