//! Where people are told, who is on call, and what was sent.

use crate::clock;
use crate::component::{Empty, Failed, Icon, Skeleton, Symbol, Waiting};
use crate::format;
use crate::state::live;
use crate::state::remote::{remote, slice};
use leptos::prelude::*;
use leptos_router::components::A;
use wire::command::Command;
use wire::notify::{Channel, Channels, Delivery, DeliveryState, OnCall, Preview};
use wire::query::{Query, Reply};

/// What an empty page tells a new user to write.
const EXAMPLE: &str = "[[notify.channel]]
name = \"ops\"
kind = \"slack\"              # also teams, pagerduty, opsgenie, sns, email, webhook
url_file = \"/run/secrets/slack\"";

#[component]
pub(crate) fn Notifications() -> impl IntoView {
    super::set_title(|| "Notifications".to_owned());
    let live = live();
    // Asked again every two seconds: a message goes its way whether samples come or not.
    let tried = RwSignal::new(0_u64);
    let channels = remote(
        || Some(Query::Channels),
        move || live.beats() + tried.get(),
        |reply| match reply {
            Reply::Channels(channels) => Some(channels),
            _ => None,
        },
    );
    let data = Memo::new(move |_| channels.data.get());
    let is_there = Memo::new(move |_| data.with(Option::is_some));
    view! {
        <div class="page" data-testid="notifications">
            <header class="page__head"><h1>"Notifications"</h1></header>
            <Waiting>
                {move || match (is_there.get(), channels.error.get()) {
                    (true, _) => view! { <Content data tried /> }.into_any(),
                    (false, Some(error)) => view! { <Failed error /> }.into_any(),
                    (false, None) => view! { <Skeleton lines=6 /> }.into_any(),
                }}
            </Waiting>
        </div>
    }
}

#[component]
fn Content(data: Memo<Option<Channels>>, tried: RwSignal<u64>) -> impl IntoView {
    let channels = slice(data, |data| data.channels.clone());
    let on_call = slice(data, |data| data.on_call.clone());
    let deliveries = slice(data, |data| data.deliveries.clone());
    view! {
        <Show
            when=move || !channels.with(Vec::is_empty)
            fallback=|| view! {
                <section class="card">
                    <Empty
                        symbol=Symbol::BellOff
                        title="Nobody is told of anything"
                        text="Incidents show here and on the wall alone. To tell people, name a channel in halo.toml:"
                        testid="no-channels"
                    />
                    <pre class="code" tabindex="0">{EXAMPLE}</pre>
                </section>
            }
        >
            <ul class="sources" data-testid="channels">
                <For each=move || channels.get() key=|channel| (channel.name.clone(), channel.delivered, channel.failed, channel.waiting) let:channel>
                    <ChannelCard channel tried />
                </For>
            </ul>
            <Show when=move || !on_call.with(Vec::is_empty)>
                <section class="card" aria-labelledby="on-call" data-testid="on-call">
                    <h2 class="card__title" id="on-call">"On call"</h2>
                    <ul class="rows">
                        {move || on_call.get().into_iter().map(|turn| view! { <Turn turn /> }).collect_view()}
                    </ul>
                </section>
            </Show>
            <section class="card" aria-labelledby="deliveries" data-testid="deliveries">
                <h2 class="card__title" id="deliveries">"Latest messages"</h2>
                <Show
                    when=move || !deliveries.with(Vec::is_empty)
                    fallback=|| view! { <p class="card__quiet">"None yet"</p> }
                >
                    <ul class="rows deliveries">
                        {move || deliveries.get().into_iter().map(|delivery| view! { <DeliveryRow delivery /> }).collect_view()}
                    </ul>
                </Show>
            </section>
        </Show>
    }
}

#[component]
fn Turn(turn: OnCall) -> impl IntoView {
    let live = live();
    let until = turn.until;
    view! {
        <li class="turn" data-testid="turn">
            <b>{turn.channel}</b>
            <span class="card__quiet">{turn.schedule}</span>
            <span class="card__quiet num">
                {move || until.map(|until| format!("for {}", format::duration(until.millis_since(live.now()))))}
            </span>
        </li>
    }
}

#[component]
fn ChannelCard(channel: Channel, tried: RwSignal<u64>) -> impl IntoView {
    let live = live();
    let name = StoredValue::new(channel.name.clone());
    let shown = RwSignal::new(None::<Preview>);
    let test = move |_| {
        let channel = name.get_value();
        live.order_then(Command::TestChannel { channel }, move |_| tried.update(|n| *n += 1));
    };
    let preview = move |_| {
        if shown.with_untracked(Option::is_some) {
            shown.set(None);
            return;
        }
        let question = Query::Preview {
            channel: name.get_value(),
            incident: None,
        };
        leptos::task::spawn_local(async move {
            match live.transport.query(&question).await {
                Ok(Reply::Preview(preview)) => shown.set(Some(preview)),
                Ok(_) => {}
                Err(error) => live.toasts.failed(error.message),
            }
        });
    };
    let failing = matches!(
        channel.last.as_ref().map(|last| &last.state),
        Some(DeliveryState::Failed { .. })
    );
    let (class, word) = match (failing, channel.waiting, channel.delivered) {
        (true, ..) => ("stale", "Failing"),
        (false, 1.., _) => ("waiting", "Sending"),
        (false, 0, 0) => ("waiting", "Not used yet"),
        (false, 0, _) => ("live", "Working"),
    };
    view! {
        <li class="card source" data-testid="channel" data-name=channel.name.clone() data-state=class>
            <div class="card__head">
                <h2 class="card__title">{channel.name.clone()}</h2>
                <span class="source__state"><span class=format!("pulse pulse--{class}") aria-hidden="true"></span>{word}</span>
            </div>
            <p class="card__quiet channel__target">{channel.kind.as_str()} ": " {channel.target.clone()}</p>
            <dl class="source__facts">
                <div><dt>"Delivered"</dt><dd class="num" data-testid="channel-delivered">{format::count(channel.delivered)}</dd></div>
                <div><dt>"Waiting"</dt><dd class="num">{format::count(channel.waiting)}</dd></div>
                <div><dt>"Failed"</dt><dd class="num">{format::count(channel.failed)}</dd></div>
            </dl>
            <div class="channel__acts">
                <button
                    class="button button--quiet"
                    data-testid="channel-test"
                    disabled=move || !live.may_operate()
                    on:click=test
                >
                    "Send a test"
                </button>
                <button
                    class="button button--quiet"
                    data-testid="channel-preview"
                    aria-expanded=move || shown.with(Option::is_some).to_string()
                    on:click=preview
                >
                    {move || if shown.with(Option::is_some) { "Hide the message" } else { "Show a message" }}
                </button>
            </div>
            {move || shown.get().map(|preview| view! {
                <pre class="code channel__preview" tabindex="0" data-testid="preview">{preview.message}</pre>
            })}
        </li>
    }
}

/// One message: what, where to, what became of it.
#[component]
pub(super) fn DeliveryRow(delivery: Delivery) -> impl IntoView {
    let (class, symbol, word) = match &delivery.state {
        DeliveryState::Waiting { .. } => ("waiting", Symbol::Clock, "waiting"),
        DeliveryState::Sending => ("waiting", Symbol::ArrowRight, "sending"),
        DeliveryState::Delivered { .. } => ("delivered", Symbol::Check, "delivered"),
        DeliveryState::Failed { .. } => ("failed", Symbol::Close, "failed"),
        DeliveryState::Superseded { .. } => ("superseded", Symbol::Dash, "replaced by a newer one"),
    };
    let said = match &delivery.state {
        DeliveryState::Delivered { receipt, .. } => receipt.clone(),
        _ => delivery.problem.clone(),
    };
    let tries = (delivery.tries > 1).then(|| format!(", {} tries", delivery.tries));
    view! {
        <li class="delivery" data-testid="delivery" data-state=class>
            <time class="num">{format::clock(delivery.created, clock::zone_offset_minutes(delivery.created.as_millis()))}</time>
            <span class=format!("delivery__mark delivery__mark--{class}")><Icon symbol /></span>
            <div>
                <p>
                    <b>{delivery.channel}</b> " · " {delivery.occasion.as_str()}
                    {delivery.incident.map(|id| view! { " " <A href=format!("/incidents/{id}")>{id.to_string()}</A> })}
                </p>
                <p class="card__quiet">{word} {tries} {(!said.is_empty()).then(|| format!(": {said}"))}</p>
            </div>
        </li>
    }
}
