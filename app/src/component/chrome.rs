//! What surrounds every page but the wall: navigation, top bar, messages.

use super::kill_switch::KillSwitchDialog;
use super::palette::{Help, Palette};
use super::{Icon, KillSwitchState, Logo, Symbol};
use crate::clock;
use crate::command::{Command, commander};
use crate::format;
use crate::state::settings::{Theme, settings};
use crate::state::{Connection, live};
use leptos::prelude::*;
use leptos_router::components::A;

/// Navigation at the left, state of the loop at the top, the page below.
#[component]
pub(crate) fn Chrome(children: Children) -> impl IntoView {
    view! {
        <a class="skip" href="#main">"Skip to content"</a>
        <div class="chrome">
            <Navigation />
            <div class="chrome__main">
                <TopBar />
                <ConnectionBanner />
                <main id="main" tabindex="-1">{children()}</main>
            </div>
        </div>
    }
}

/// What lies over every page, the wall included.
#[component]
pub(crate) fn Overlays() -> impl IntoView {
    view! {
        <Palette />
        <Help />
        <KillSwitchDialog />
        <ToastList />
    }
}

#[component]
fn Navigation() -> impl IntoView {
    let live = live();
    let open = Memo::new(move |_| live.open_incidents().len());
    let worst = Memo::new(move |_| live.open_incidents().first().map(|i| i.severity));
    let pending = Memo::new(move |_| live.pending_proposals().len());
    view! {
        <nav class="nav" aria-label="Pages" data-testid="nav">
            <A href="/" attr:class="nav__brand" attr:aria-label="Halo, to the page Now">
                <Logo />
                <span>"Halo"</span>
            </A>
            <NavLink command=Command::GoNow symbol=Symbol::Now />
            <NavLink command=Command::GoIncidents symbol=Symbol::Incident>
                <Show when=move || { open.get() > 0 }>
                    <span
                        class="nav__count"
                        data-tone=move || worst.get().map(super::badge::severity_class)
                        data-testid="nav-open-incidents"
                    >
                        {move || open.get()}
                    </span>
                </Show>
            </NavLink>
            <NavLink command=Command::GoTopology symbol=Symbol::Topology />
            <NavLink command=Command::GoMetrics symbol=Symbol::Metric />
            <NavLink command=Command::GoApprovals symbol=Symbol::Approval>
                <Show when=move || { pending.get() > 0 }>
                    <span class="nav__count" data-tone="accent" data-testid="nav-pending">{move || pending.get()}</span>
                </Show>
            </NavLink>
            <NavLink command=Command::GoNotifications symbol=Symbol::Bell />
            <NavLink command=Command::GoSources symbol=Symbol::Source />
            <span class="nav__gap"></span>
            <NavLink command=Command::GoWall symbol=Symbol::Wall />
            <div class="nav__foot">
                <span class="nav__identity" data-testid="identity">
                    {move || live.status.with(|s| s.identity.name.clone())}
                </span>
                <span class="nav__version">
                    {move || live.status.with(|s| (!s.version.is_empty()).then(|| format!("Halo {}", s.version)))}
                </span>
            </div>
        </nav>
    }
}

#[component]
fn NavLink(command: Command, symbol: Symbol, #[prop(optional)] children: Option<Children>) -> impl IntoView {
    let route = command.route().unwrap_or("/");
    let keys = command.keys().join(" ");
    let testid = format!("nav-{}", if route == "/" { "now" } else { &route[1..] });
    view! {
        <A
            href=route
            exact=route == "/"
            attr:class="nav__link"
            attr:title=format!("{} ({keys})", command.label())
            attr:data-testid=testid
        >
            <Icon symbol />
            <span class="nav__label">{command.label()}</span>
            {children.map(|children| children())}
        </A>
    }
}

#[component]
fn TopBar() -> impl IntoView {
    let commander = commander();
    view! {
        <header class="top">
            <button
                class="top__search"
                data-testid="open-palette"
                on:click=move |_| commander.run(Command::Palette)
            >
                <Icon symbol=Symbol::Search />
                <span>"Search or jump to…"</span>
                <kbd>"Ctrl K"</kbd>
            </button>
            <span class="top__gap"></span>
            <ReplayClock />
            <ConnectionState />
            <KillSwitchState />
            <ThemeButton />
            <button
                class="icon-button"
                aria-label="Keyboard help"
                title="Keyboard help (?)"
                data-testid="open-help"
                on:click=move |_| commander.run(Command::Help)
            >
                <Icon symbol=Symbol::Help />
            </button>
        </header>
    }
}

/// Recorded time and speed, so that nobody takes a replay for the present.
#[component]
fn ReplayClock() -> impl IntoView {
    let live = live();
    let present = Memo::new(move |_| live.status.with(|s| s.replay.is_some()));
    let text = move || {
        live.replay_clock()
            .map(|at| format::date_clock(at, clock::zone_offset_minutes(at.as_millis())))
    };
    view! {
        <Show when=move || present.get()>
            <span class="chip chip--replay" data-testid="replay-clock" title="A recording is being replayed; this is its time">
                <span class="chip__name">"Replay"</span>
                <span class="num">{text}</span>
                <span class="chip__speed num">
                    {move || {
                        live.status.with(|s| s.replay.as_ref().map(|r| match r.phase.as_str() {
                            "finished" => "finished".to_owned(),
                            _ => format!("×{}", format::si(r.speed)),
                        }))
                    }}
                </span>
            </span>
        </Show>
    }
}

#[component]
fn ConnectionState() -> impl IntoView {
    let live = live();
    let state = move || {
        if live.paused.get() {
            return ("paused", "Paused");
        }
        match live.connection.get() {
            Connection::Connecting => ("waiting", "Connecting"),
            Connection::Live => ("live", "Live"),
            Connection::Lost { .. } => ("lost", "Reconnecting"),
            Connection::Incompatible { .. } => ("lost", "Incompatible"),
        }
    };
    let title = move || {
        let rate = format::si(live.status.with(|s| s.samples_per_sec));
        let lost = live.dropped.get();
        let loss = if lost > 0 {
            format!(", {lost} updates lost and replaced")
        } else {
            String::new()
        };
        format!("{rate} samples/s{loss}. Pause with Space")
    };
    view! {
        <button
            class="chip chip--button"
            data-testid="connection"
            data-state=move || state().0
            aria-pressed=move || live.paused.get().to_string()
            title=title
            on:click=move |_| live.toggle_pause()
        >
            <span class=move || format!("pulse pulse--{}", state().0) aria-hidden="true"></span>
            {move || state().1}
        </button>
    }
}

#[component]
fn ThemeButton() -> impl IntoView {
    let settings = settings();
    let label = move || {
        format!(
            "{}; press for {}",
            settings.theme.get().label(),
            settings.theme.get().next().label()
        )
    };
    view! {
        <button
            class="icon-button"
            aria-label=label
            title=label
            data-testid="theme"
            data-theme=move || settings.theme.get().as_str()
            on:click=move |_| settings.set_theme(settings.theme.get_untracked().next())
        >
            {move || match settings.theme.get() {
                Theme::System => view! { <Icon symbol=Symbol::Monitor /> },
                Theme::Dark => view! { <Icon symbol=Symbol::Moon /> },
                Theme::Light => view! { <Icon symbol=Symbol::Sun /> },
            }}
        </button>
    }
}

/// Says that what is on screen is old, and since when.
#[component]
fn ConnectionBanner() -> impl IntoView {
    let live = live();
    let text = move || match live.connection.get() {
        Connection::Lost { attempt, reason } if attempt > 1 => Some(format!(
            "Not connected: {reason}. What you see may be old; trying again."
        )),
        Connection::Incompatible { engine } => Some(format!(
            "This console speaks protocol {} and the engine speaks {engine}. Reload the page.",
            wire::VERSION
        )),
        _ => None,
    };
    view! {
        <div role="status" class="banner-slot">
            {move || {
                text().map(|text| {
                    view! {
                        <div class="banner banner--danger" data-testid="connection-banner">
                            <Icon symbol=Symbol::Power />
                            {text}
                        </div>
                    }
                })
            }}
        </div>
    }
}

#[component]
fn ToastList() -> impl IntoView {
    let toasts = live().toasts;
    view! {
        <div class="toasts" data-testid="toasts">
            <For each=move || toasts.list.get() key=|toast| toast.id let:toast>
                <div
                    class="toast"
                    class:toast--failed=toast.failed
                    role=if toast.failed { "alert" } else { "status" }
                    data-testid=if toast.failed { "toast-failed" } else { "toast-done" }
                >
                    <Icon symbol=if toast.failed { Symbol::Incident } else { Symbol::Check } />
                    <span>{toast.text.clone()}</span>
                    <button
                        class="icon-button"
                        aria-label="Dismiss"
                        on:click=move |_| toasts.dismiss(toast.id)
                    >
                        <Icon symbol=Symbol::Close />
                    </button>
                </div>
            </For>
        </div>
    }
}
