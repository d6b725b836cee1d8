//! Lines of a file become lines that can be asked for, once each, also over a restart.

use super::*;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use wire::signal::SignalFilter;

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// All lines, once there are `count`.
async fn lines(engine: &Arc<Engine>, count: usize) -> Vec<String> {
    let mut events = engine.handle(operator()).watch().await.unwrap();
    loop {
        let query = Query::Logs(SignalFilter::default());
        let Reply::Logs(page) = engine.handle(operator()).query(query).await.unwrap() else {
            panic!("logs were asked for")
        };
        if page.records.len() >= count {
            let mut lines: Vec<_> = page
                .records
                .into_iter()
                .map(|line| format!("{} {}", line.service, line.text))
                .collect();
            lines.sort();
            return lines;
        }
        events.next().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_taken_once_over_rotation_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("shop.log"), dir.path().join("data"));
    let config = || {
        let text = format!(
            "[host]\nenabled = false\n[[logs.file]]\nname = \"shop\"\npaths = [\"{}*\"]\nread_from = \"beginning\"\n",
            file.display()
        );
        let config = Config::try_from(RawConfig::parse(&text).unwrap()).unwrap();
        Config {
            data_dir: data.clone(),
            ..config
        }
    };
    append(&file, "one\n");
    let engine = start(config()).await;
    assert_eq!(lines(&engine, 1).await, ["shop one"]);
    fs::rename(&file, dir.path().join("shop.log.1")).unwrap();
    append(&file, "two\n");
    assert_eq!(lines(&engine, 2).await, ["shop one", "shop two"]);
    let status = engine.status();
    let source = status.sources.iter().find(|source| source.name == "file shop").unwrap();
    assert_eq!((source.kind.as_str(), source.note.as_str()), ("log files", "2 files"));
    engine.shutdown().await;
    drop(engine);
    append(&file, "three\n");
    let engine = start(config()).await;
    assert_eq!(lines(&engine, 3).await, ["shop one", "shop three", "shop two"]);
    engine.shutdown().await;
}
