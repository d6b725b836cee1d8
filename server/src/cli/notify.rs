//! `halo notify`: whom a running server tells, whether that works, and why somebody was told or not.

use crate::client::HttpHandle;
use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use engine::handle::Handle as _;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use wire::command::Command;
use wire::notify::{Channels, Delivery, DeliveryState, Notifications};
use wire::query::{Query, Reply};
use wire::{DeliveryId, IncidentId};

/// So long a test is waited for; a channel that does not answer is tried again by the server all the same.
const TEST_WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Arguments of `halo notify`.
#[derive(Debug, Args)]
pub(super) struct NotifyArgs {
    /// The server
    #[arg(long, env = "HALO_URL", default_value = "http://127.0.0.1:7700", global = true)]
    url: String,
    /// A token of it, where it asks for one; `test` takes an operator's
    #[arg(long, env = "HALO_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the channels, how they do, and who is on call
    Channels,
    /// Send an example over a channel, and wait for what becomes of it
    Test { channel: String },
    /// Show what a channel would be sent, secrets masked
    Preview {
        channel: String,
        /// About this incident instead of an example
        #[arg(long)]
        incident: Option<String>,
    },
    /// Say why people were told of an incident, or why not
    Why { incident: String },
}

pub(super) fn run(args: NotifyArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let handle = HttpHandle::new(&args.url, args.token)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(follow(&handle, args.action, out))
}

async fn follow(handle: &HttpHandle, action: Action, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match action {
        Action::Channels => write!(out, "{}", channels_text(&channels(handle).await?))?,
        Action::Test { channel } => return test(handle, channel, out).await,
        Action::Preview { channel, incident } => {
            let incident = incident.map(IncidentId);
            match handle.query(Query::Preview { channel, incident }).await? {
                Reply::Preview(preview) => writeln!(out, "{}", preview.message)?,
                other => bail!("the server answered something else: {other:?}"),
            }
        }
        Action::Why { incident } => {
            let incident = IncidentId(incident);
            match handle.query(Query::Notifications { incident }).await? {
                Reply::Notifications(told) => write!(out, "{}", why_text(&told))?,
                other => bail!("the server answered something else: {other:?}"),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn channels(handle: &HttpHandle) -> anyhow::Result<Channels> {
    match handle.query(Query::Channels).await? {
        Reply::Channels(channels) => Ok(channels),
        other => Err(anyhow!("the server answered something else: {other:?}")),
    }
}

async fn test(handle: &HttpHandle, channel: String, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let Reply::Done(said) = handle.command(Command::TestChannel { channel }).await? else {
        bail!("the server did not say which message it sends");
    };
    let id = DeliveryId::from(said.split(' ').next().unwrap_or_default());
    let waited = tokio::time::timeout(TEST_WAIT, async {
        loop {
            let found = channels(handle).await?.deliveries.into_iter().find(|d| d.id == id);
            let delivery = found.context("the message is gone from the server's list")?;
            // A first failure is what a person who tries wants to know, not that it is tried again.
            if !delivery.state.is_live() || !delivery.problem.is_empty() {
                return anyhow::Ok(delivery);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    let Ok(delivery) = waited.await else {
        bail!("{id} is still on its way after {} s", TEST_WAIT.as_secs());
    };
    let delivery = delivery?;
    writeln!(out, "{}", line(&delivery))?;
    Ok(match delivery.state {
        DeliveryState::Delivered { .. } => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn channels_text(all: &Channels) -> String {
    if all.channels.is_empty() {
        return "nobody is told of anything: the configuration has no [[notify.channel]]\n".to_owned();
    }
    let mut text = String::new();
    for channel in &all.channels {
        text += &format!(
            "{:<20} {:<10} {} delivered, {} waiting, {} failed; {}\n",
            channel.name,
            channel.kind.as_str(),
            channel.delivered,
            channel.waiting,
            channel.failed,
            channel.target
        );
    }
    for turn in &all.on_call {
        text += &format!("{:<20} on call    {}\n", turn.schedule, turn.channel);
    }
    text
}

fn why_text(told: &Notifications) -> String {
    let mut text = format!("{}\n", told.summary);
    for decision in &told.decisions {
        let mark = if decision.passed { '+' } else { '-' };
        text += &format!("{mark} {:<10} {}\n", decision.stage.as_str(), decision.text);
    }
    for delivery in &told.deliveries {
        text += &format!("{}\n", line(delivery));
    }
    text
}

fn line(delivery: &Delivery) -> String {
    let head = format!("{} {} to {}", delivery.id, delivery.occasion.as_str(), delivery.channel);
    match &delivery.state {
        DeliveryState::Delivered { receipt, .. } => format!("{head}: delivered, {receipt}"),
        DeliveryState::Failed { .. } => format!("{head}: failed, {}", delivery.problem),
        DeliveryState::Superseded { .. } => format!("{head}: a newer one took its place"),
        DeliveryState::Sending => format!("{head}: on its way"),
        DeliveryState::Waiting { .. } => format!("{head}: waits, {}", delivery.problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Timestamp;
    use wire::incident::Severity;
    use wire::notify::{ChannelKind, Decision, Occasion, Stage};

    #[test]
    fn the_whole_way_is_shown() {
        let told = Notifications {
            summary: "Told to ops".to_owned(),
            decisions: vec![
                Decision {
                    at: Timestamp(0),
                    stage: Stage::Silence,
                    passed: false,
                    text: "put off until noon".to_owned(),
                },
                Decision {
                    at: Timestamp(1),
                    stage: Stage::Route,
                    passed: true,
                    text: "P1, shop's: route 1 leads to ops".to_owned(),
                },
            ],
            deliveries: vec![Delivery {
                id: "NTF-000001".into(),
                channel: "ops".to_owned(),
                kind: ChannelKind::Slack,
                occasion: Occasion::Opened,
                incident: Some("INC-000001".into()),
                severity: Severity::P1,
                created: Timestamp(2),
                tries: 1,
                problem: String::new(),
                state: DeliveryState::Delivered {
                    at: Timestamp(3),
                    receipt: "200 OK: ok".to_owned(),
                },
            }],
        };
        assert_eq!(
            why_text(&told),
            "Told to ops\n- silence    put off until noon\n+ route      P1, shop's: route 1 leads to ops\n\
             NTF-000001 opened to ops: delivered, 200 OK: ok\n"
        );
        assert!(channels_text(&Channels::default()).contains("[[notify.channel]]"));
    }
}
