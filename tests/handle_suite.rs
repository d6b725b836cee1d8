//! The contract of [`Handle`], run against every implementation: the same questions must get the same answers in this
//! process, over HTTP and over the desktop's IPC.

use engine::clock::SystemClock;
use engine::config::{Config, ReplayConfig};
use engine::handle::Handle;
use engine::pipeline::{Engine, Payload};
use flate2::read::MultiGzDecoder;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use std::fs::File;
use std::future::Future;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wire::command::Command;
use wire::proposal::ProposalState;
use wire::query::{ApiError, ErrorKind, Query, Reply};
use wire::signal::{Page, SignalFilter};
use wire::status::{Identity, Role};
use wire::stream::{Event, Snapshot};
use wire::topology::{Deploy, Edge};
use wire::{EntityId, IncidentId, ProposalId, SeriesId};

/// Only a hang takes this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Recorded seconds per second.
const REPLAY_SPEED: f64 = 20_000.0;

/// The last row of the recording's first fault.
const CUT_SECS: i64 = 1_694_073_600;

/// One engine as two people see it.
#[derive(Clone)]
pub struct Seats {
    pub operator: Arc<dyn Handle>,
    pub viewer: Arc<dyn Handle>,
}

impl std::fmt::Debug for Seats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seats").finish_non_exhaustive()
    }
}

/// An engine that has replayed the bundled recording up to the middle of its fault, where somebody must decide something.
///
/// # Panics
/// If it does not start, or proposes nothing.
pub async fn engine(folder: &Path) -> Arc<Engine> {
    let recording = folder.join("recording");
    cut_recording(&recording).expect("a part of the bundled recording can be written");
    let mut config = Config::new(folder.join("data"));
    config.replay = Some(ReplayConfig::new(Some(recording), REPLAY_SPEED).at_one_speed());
    // Nothing listens there; the suite approves nothing.
    config.webhook_base = Some("http://127.0.0.1:9".to_owned());
    let engine = Engine::start(config, Arc::new(SystemClock))
        .await
        .expect("the engine starts");
    let lines = br#"[{"log": "first", "app": "suite"}, {"log": "second", "app": "suite"}, {"log": "other"}]"#;
    engine.take(Payload::JsonLogs, lines).await.expect("lines are taken");
    let mut events = soon(engine.handle(identity(Role::Viewer)).watch())
        .await
        .expect("the stream opens");
    let mut copy = Snapshot::default();
    let ready = |copy: &Snapshot| {
        let ended = copy
            .status
            .replay
            .as_ref()
            .is_some_and(|replay| replay.phase == "finished");
        ended && copy.proposals.iter().any(|p| p.state == ProposalState::Pending)
    };
    // Events keep coming while nothing happens: the whole wait needs an end, not only each event.
    soon(async {
        while !ready(&copy) {
            follow(&mut events, &mut copy).await;
        }
    })
    .await;
    engine
}

/// Copies the bundled recording without what comes after [`CUT_SECS`], so that its incident stays open.
fn cut_recording(to: &Path) -> std::io::Result<()> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/recording/petshop");
    std::fs::create_dir_all(to)?;
    for name in ["recording.toml", "edges.csv", "deploys.csv"] {
        std::fs::copy(from.join(name), to.join(name))?;
    }
    let mut text = String::new();
    MultiGzDecoder::new(File::open(from.join("metrics.csv.gz"))?).read_to_string(&mut text)?;
    let before_cut = |line: &&str| {
        let time = line.split(',').next().unwrap_or_default();
        time.parse::<i64>().map_or(true, |secs| secs <= CUT_SECS)
    };
    let kept: Vec<&str> = text.lines().filter(before_cut).collect();
    std::fs::write(to.join("metrics.csv"), kept.join("\n") + "\n")
}

/// The person in each seat.
pub fn identity(role: Role) -> Identity {
    Identity {
        name: format!("suite-{role:?}").to_lowercase(),
        role,
    }
}

/// Runs the whole contract. The engine behind `seats` is one that [`engine`] made.
///
/// # Panics
/// With the first clause that does not hold.
pub async fn run(seats: Seats) {
    both_see_the_same_state(&seats).await;
    series_are_listed_and_opened(&seats).await;
    what_is_not_there_is_not_found(&seats).await;
    lines_are_found_page_by_page(&seats).await;
    a_viewer_changes_nothing(&seats).await;
    a_stream_starts_whole_and_stays_equal(&seats).await;
    an_approval_names_the_plan_that_was_seen(&seats).await;
    orders_are_audited(&seats).await;
}

async fn both_see_the_same_state(seats: &Seats) {
    let (operator, viewer) = (snapshot(&*seats.operator).await, snapshot(&*seats.viewer).await);
    assert_eq!(operator.version, wire::VERSION);
    assert_eq!(operator.status.identity.role, Role::Operator);
    assert_eq!(viewer.status.identity.role, Role::Viewer);
    assert_eq!(operator.entities, viewer.entities);
}

async fn series_are_listed_and_opened(seats: &Seats) {
    let list = Query::SeriesList {
        search: String::new(),
        entity: None,
        limit: Some(5),
    };
    let Ok(Reply::SeriesList(all)) = soon(seats.viewer.query(list)).await else {
        panic!("no list of series")
    };
    let first = all.first().expect("the engine under test has series");
    assert!(all.len() <= 5, "asked for 5 at most, got {}", all.len());
    let list = Query::SeriesList {
        search: String::new(),
        entity: Some(first.info.entity.clone()),
        limit: None,
    };
    let Ok(Reply::SeriesList(some)) = soon(seats.viewer.query(list)).await else {
        panic!("no list of series")
    };
    assert!(some.iter().all(|s| s.info.entity == first.info.entity) && some.iter().any(|s| s.info.id == first.info.id));
    let open = Query::Series {
        id: first.info.id,
        from: None,
        to: None,
        max_points: Some(10),
    };
    let Ok(Reply::Series(detail)) = soon(seats.viewer.query(open)).await else {
        panic!("no series")
    };
    assert_eq!(detail.summary.info.id, first.info.id);
    assert!(
        detail.points.len() <= 10,
        "asked for 10 points at most, got {}",
        detail.points.len()
    );
}

async fn what_is_not_there_is_not_found(seats: &Seats) {
    let nobody = IncidentId::from("INC-999999");
    let queries = [
        Query::Incident { id: nobody.clone() },
        Query::Preview {
            channel: "nobody's".to_owned(),
            incident: None,
        },
        Query::Series {
            id: SeriesId(0),
            from: None,
            to: None,
            max_points: None,
        },
    ];
    for query in queries {
        refused(
            soon(seats.operator.query(query.clone())).await,
            ErrorKind::NotFound,
            &query,
        );
    }
    let commands = [
        Command::Acknowledge {
            incident: nobody.clone(),
        },
        Command::Resolve {
            incident: nobody.clone(),
        },
        Command::Reopen {
            incident: nobody.clone(),
        },
        Command::Assign {
            incident: nobody.clone(),
            to: None,
        },
        Command::Comment {
            incident: nobody.clone(),
            text: "?".to_owned(),
        },
        Command::SetSeverity {
            incident: nobody.clone(),
            severity: None,
        },
        Command::Snooze {
            incident: nobody.clone(),
            until: None,
        },
        Command::Merge {
            incident: nobody.clone(),
            into: nobody.clone(),
        },
        Command::Split {
            incident: nobody.clone(),
            entities: Vec::new(),
        },
        Command::Unmerge { incident: nobody },
        Command::TestChannel {
            channel: "nobody's".to_owned(),
        },
        Command::Reject {
            proposal: ProposalId::from("ACT-999999"),
            reason: String::new(),
        },
    ];
    for command in commands {
        refused(
            soon(seats.operator.command(command.clone())).await,
            ErrorKind::NotFound,
            &command,
        );
    }
}

async fn lines_are_found_page_by_page(seats: &Seats) {
    let mut filter = SignalFilter {
        service: Some("suite".to_owned()),
        limit: Some(1),
        ..SignalFilter::default()
    };
    for expected in ["second", "first"] {
        let Ok(Reply::Logs(page)) = soon(seats.viewer.query(Query::Logs(filter.clone()))).await else {
            panic!("no page of logs")
        };
        let texts: Vec<_> = page.records.iter().map(|log| log.text.as_str()).collect();
        assert_eq!(texts, [expected]);
        filter.page = page.next;
    }
    assert_eq!(filter.page, None, "the last page says so");
    let spans = soon(seats.viewer.query(Query::Spans(SignalFilter::default()))).await;
    assert_eq!(spans, Ok(Reply::Spans(Page::default())));
    filter.page = Some("nobody's".to_owned());
    let query = Query::Logs(filter);
    refused(
        soon(seats.viewer.query(query.clone())).await,
        ErrorKind::Invalid,
        &query,
    );
}

async fn a_viewer_changes_nothing(seats: &Seats) {
    let on = snapshot(&*seats.viewer).await.status.kill_switch;
    let command = Command::SetKillSwitch { on: !on };
    refused(
        soon(seats.viewer.command(command.clone())).await,
        ErrorKind::Forbidden,
        &command,
    );
    assert_eq!(snapshot(&*seats.viewer).await.status.kill_switch, on);
}

async fn a_stream_starts_whole_and_stays_equal(seats: &Seats) {
    let mut events = soon(seats.operator.watch()).await.expect("the stream opens");
    let Some(Event::Snapshot(mut copy)) = soon(events.next()).await else {
        panic!("a stream starts with a snapshot")
    };
    let on = !copy.status.kill_switch;
    done(seats, Command::SetKillSwitch { on }).await;
    let edge = Edge {
        caller: EntityId::from("suite-caller"),
        callee: EntityId::from("suite-callee"),
    };
    done(seats, Command::DeclareEdge { edge: edge.clone() }).await;
    let deploy = Deploy::new(copy.status.now, edge.callee.clone(), "2");
    done(seats, Command::RecordDeploy { deploy: deploy.clone() }).await;
    let arrived =
        |copy: &Snapshot| copy.status.kill_switch == on && copy.edges.contains(&edge) && copy.deploys.contains(&deploy);
    while !arrived(&copy) {
        follow(&mut events, &mut copy).await;
    }
    let asked = snapshot(&*seats.operator).await;
    while copy.seq < asked.seq {
        follow(&mut events, &mut copy).await;
    }
    if copy.seq == asked.seq {
        assert_eq!(copy.entities, asked.entities);
        assert_eq!(copy.edges, asked.edges);
        assert_eq!(copy.incidents, asked.incidents);
        assert_eq!(copy.proposals, asked.proposals);
        assert_eq!(copy.predictions, asked.predictions);
        assert_eq!(copy.deploys, asked.deploys);
    }
    done(seats, Command::SetKillSwitch { on: !on }).await;
    while copy.status.kill_switch == on {
        follow(&mut events, &mut copy).await;
    }
}

async fn an_approval_names_the_plan_that_was_seen(seats: &Seats) {
    let proposals = snapshot(&*seats.operator).await.proposals;
    let pending = proposals
        .iter()
        .find(|p| p.state == ProposalState::Pending)
        .expect("the engine has a pending proposal");
    let other_plan = Command::Approve {
        proposal: pending.id.clone(),
        plan_hash: "0".repeat(64),
    };
    refused(
        soon(seats.operator.command(other_plan.clone())).await,
        ErrorKind::Conflict,
        &other_plan,
    );
    done(
        seats,
        Command::Reject {
            proposal: pending.id.clone(),
            reason: "the suite says no".into(),
        },
    )
    .await;
    let too_late = Command::Approve {
        proposal: pending.id.clone(),
        plan_hash: pending.plan_hash.clone(),
    };
    refused(
        soon(seats.operator.command(too_late.clone())).await,
        ErrorKind::Conflict,
        &too_late,
    );
}

async fn orders_are_audited(seats: &Seats) {
    let name = snapshot(&*seats.operator).await.status.identity.name;
    let Ok(Reply::Audit(entries)) = soon(seats.viewer.query(Query::Audit { limit: Some(20) })).await else {
        panic!("no audit")
    };
    assert!(
        entries.iter().any(|entry| entry.actor == name),
        "nothing by {name} in {entries:?}"
    );
    assert!(
        entries.windows(2).all(|pair| pair[0].seq > pair[1].seq),
        "not newest first"
    );
}

/// Applies the next event; a gap is a failure here, where every event is read.
async fn follow(events: &mut BoxStream<'static, Event>, copy: &mut Snapshot) {
    match soon(events.next()).await.expect("the stream goes on") {
        Event::Snapshot(snapshot) => *copy = snapshot,
        Event::Delta(delta) => copy.apply(delta).expect("deltas follow each other"),
    }
}

async fn snapshot(handle: &dyn Handle) -> Snapshot {
    match soon(handle.query(Query::Snapshot)).await {
        Ok(Reply::Snapshot(snapshot)) => snapshot,
        other => panic!("no snapshot: {other:?}"),
    }
}

async fn done(seats: &Seats, command: Command) {
    let reply = soon(seats.operator.command(command.clone())).await;
    assert!(matches!(reply, Ok(Reply::Done(_))), "{command:?}: {reply:?}");
}

fn refused(reply: Result<Reply, ApiError>, kind: ErrorKind, what: &dyn std::fmt::Debug) {
    match reply {
        Err(error) => {
            assert_eq!(error.kind, kind, "{what:?}: {error}");
            assert!(!error.message.is_empty(), "{what:?}: no message");
        }
        Ok(reply) => panic!("{what:?} was answered by {reply:?}, expected {kind:?}"),
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("an answer in time")
}
