//! Everything a person can order, once: label, keys, what it does. The palette, the keyboard and the help read this list.

use crate::state::Live;
use crate::state::settings::{Settings, Theme};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

/// An order to the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    GoNow,
    GoIncidents,
    GoTopology,
    GoMetrics,
    GoApprovals,
    GoNotifications,
    GoSources,
    GoWall,
    Search,
    Palette,
    Help,
    Next,
    Previous,
    Open,
    Back,
    Acknowledge,
    Resolve,
    Take,
    Approve,
    Reject,
    Pause,
    KillSwitch,
    ThemeDark,
    ThemeLight,
    ThemeSystem,
}

/// Where a command is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    Go,
    Move,
    Act,
    Console,
}

impl Section {
    pub(crate) const ALL: [Self; 4] = [Self::Go, Self::Move, Self::Act, Self::Console];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Go => "Go to",
            Self::Move => "Move",
            Self::Act => "Act",
            Self::Console => "Console",
        }
    }
}

impl Command {
    pub(crate) const ALL: [Self; 25] = [
        Self::GoNow,
        Self::GoIncidents,
        Self::GoTopology,
        Self::GoMetrics,
        Self::GoApprovals,
        Self::GoNotifications,
        Self::GoSources,
        Self::GoWall,
        Self::Search,
        Self::Palette,
        Self::Help,
        Self::Next,
        Self::Previous,
        Self::Open,
        Self::Back,
        Self::Acknowledge,
        Self::Resolve,
        Self::Take,
        Self::Approve,
        Self::Reject,
        Self::Pause,
        Self::KillSwitch,
        Self::ThemeDark,
        Self::ThemeLight,
        Self::ThemeSystem,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::GoNow => "Now",
            Self::GoIncidents => "Incidents",
            Self::GoTopology => "Topology",
            Self::GoMetrics => "Metrics",
            Self::GoApprovals => "Approvals",
            Self::GoNotifications => "Notifications",
            Self::GoSources => "Sources",
            Self::GoWall => "Wall display",
            Self::Search => "Search this page",
            Self::Palette => "Command palette",
            Self::Help => "Keyboard help",
            Self::Next => "Next row",
            Self::Previous => "Previous row",
            Self::Open => "Open the row",
            Self::Back => "Close, or go back",
            Self::Acknowledge => "Acknowledge incident",
            Self::Resolve => "Resolve incident",
            Self::Take => "Take incident",
            Self::Approve => "Go to Approve; Enter runs it",
            Self::Reject => "Reject proposal…",
            Self::Pause => "Pause or resume live updates",
            Self::KillSwitch => "Kill switch…",
            Self::ThemeDark => "Dark theme",
            Self::ThemeLight => "Light theme",
            Self::ThemeSystem => "Theme of the system",
        }
    }

    /// Key presses, in order; one entry per press. Empty: palette only.
    pub(crate) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::GoNow => &["g", "n"],
            Self::GoIncidents => &["g", "i"],
            Self::GoTopology => &["g", "t"],
            Self::GoMetrics => &["g", "m"],
            Self::GoApprovals => &["g", "a"],
            Self::GoNotifications => &["g", "b"],
            Self::GoSources => &["g", "s"],
            Self::GoWall => &["g", "w"],
            Self::Search => &["/"],
            Self::Palette => &["Ctrl K"],
            Self::Help => &["?"],
            Self::Next => &["j"],
            Self::Previous => &["k"],
            Self::Open => &["Enter"],
            Self::Back => &["Escape"],
            Self::Acknowledge => &["a"],
            Self::Resolve => &["r"],
            Self::Take => &["m"],
            Self::Approve => &["y"],
            Self::Reject => &["x"],
            Self::Pause => &[" "],
            Self::KillSwitch | Self::ThemeDark | Self::ThemeLight | Self::ThemeSystem => &[],
        }
    }

    pub(crate) fn section(self) -> Section {
        match self {
            Self::GoNow
            | Self::GoIncidents
            | Self::GoTopology
            | Self::GoMetrics
            | Self::GoApprovals
            | Self::GoNotifications
            | Self::GoSources
            | Self::GoWall => Section::Go,
            Self::Search | Self::Next | Self::Previous | Self::Open | Self::Back => Section::Move,
            Self::Acknowledge | Self::Resolve | Self::Take | Self::Approve | Self::Reject | Self::KillSwitch => {
                Section::Act
            }
            Self::Palette | Self::Help | Self::Pause | Self::ThemeDark | Self::ThemeLight | Self::ThemeSystem => {
                Section::Console
            }
        }
    }

    /// The route it leads to, if it does.
    pub(crate) fn route(self) -> Option<&'static str> {
        match self {
            Self::GoNow => Some("/"),
            Self::GoIncidents => Some("/incidents"),
            Self::GoTopology => Some("/topology"),
            Self::GoMetrics => Some("/series"),
            Self::GoApprovals => Some("/approvals"),
            Self::GoNotifications => Some("/notifications"),
            Self::GoSources => Some("/sources"),
            Self::GoWall => Some("/wall"),
            _ => None,
        }
    }

    /// `data-command` of the button it presses: the keyboard can do exactly what a button on screen does.
    fn button(self) -> Option<&'static str> {
        match self {
            Self::Acknowledge => Some("acknowledge"),
            Self::Resolve => Some("resolve"),
            Self::Take => Some("take"),
            Self::Approve => Some("approve"),
            Self::Reject => Some("reject"),
            Self::KillSwitch => Some("kill-switch"),
            _ => None,
        }
    }

    /// Whether it can do something on the page as it stands.
    pub(crate) fn is_available(self) -> bool {
        self.button().is_none_or(|name| find_button(name).is_some())
    }
}

/// Key presses so far, and what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    None,
    /// The first key of a longer sequence.
    Prefix,
    Found(Command),
}

/// Looks a sequence of key presses up.
pub(crate) fn lookup(pressed: &[&str]) -> Match {
    if pressed.is_empty() {
        return Match::None;
    }
    let mut prefix = false;
    for command in Command::ALL {
        let keys = command.keys();
        if keys == pressed {
            return Match::Found(command);
        }
        prefix |= keys.len() > pressed.len() && keys.starts_with(pressed);
    }
    if prefix { Match::Prefix } else { Match::None }
}

/// Which of the console's overlays is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlay {
    Palette,
    Help,
    KillSwitch,
}

/// What commands act on.
#[derive(Clone, Copy)]
pub(crate) struct Commander {
    pub(crate) live: Live,
    pub(crate) settings: Settings,
    pub(crate) overlay: RwSignal<Option<Overlay>>,
    /// The route to go to; the router watches it. Navigation must start inside the router's context.
    pub(crate) go: RwSignal<Option<String>>,
}

/// The commander of this page.
pub(crate) fn commander() -> Commander {
    expect_context()
}

impl Commander {
    pub(crate) fn run(self, command: Command) {
        if let Some(route) = command.route() {
            self.go.set(Some(route.to_owned()));
            return;
        }
        match command {
            Command::Search => focus_search(),
            Command::Palette => self.overlay.set(Some(Overlay::Palette)),
            Command::Help => self.overlay.set(Some(Overlay::Help)),
            Command::Next => move_row(1),
            Command::Previous => move_row(-1),
            // A focused link opens by the browser's own hand.
            Command::Open => {}
            Command::Back => self.back(),
            Command::Pause => self.live.toggle_pause(),
            Command::ThemeDark => self.settings.set_theme(Theme::Dark),
            Command::ThemeLight => self.settings.set_theme(Theme::Light),
            Command::ThemeSystem => self.settings.set_theme(Theme::System),
            // Something will run in the real world: bring the button under the finger, do not press it.
            Command::Approve => {
                if let Some(button) = find_button("approve") {
                    let _ = button.focus();
                    button.scroll_into_view();
                }
            }
            other => {
                if let Some(button) = other.button().and_then(find_button) {
                    button.click();
                }
            }
        }
    }

    /// Closes what lies over the page. Closing the dialog, not just removing it, gives the focus back to where it was.
    pub(crate) fn close_overlay(self) {
        let open = document().query_selector("dialog[open]").ok().flatten();
        if let Some(dialog) = open.and_then(|d| d.dyn_into::<web_sys::HtmlDialogElement>().ok()) {
            dialog.close();
        }
        self.overlay.set(None);
    }

    fn back(self) {
        if let Some(input) = active_element().filter(is_text_field) {
            let _ = input.blur();
        } else if let Some(close) = query("[data-command=back]") {
            close.click();
        } else if let Ok(history) = window().history() {
            let _ = history.back();
        }
    }

    /// Listens to the keyboard for the life of the page.
    pub(crate) fn listen(self) {
        let pressed = StoredValue::new((Vec::<String>::new(), 0.0_f64));
        window_event_listener(leptos::ev::keydown, move |event| {
            let chord = event.ctrl_key() || event.meta_key();
            if chord && event.key().eq_ignore_ascii_case("k") {
                event.prevent_default();
                self.run(Command::Palette);
                return;
            }
            // An open dialog has the keyboard to itself.
            if chord || event.alt_key() || self.overlay.get_untracked().is_some() {
                return;
            }
            let target = event.target().and_then(|t| t.dyn_into::<HtmlElement>().ok());
            let typing = target.as_ref().is_some_and(is_text_field);
            let key = event.key();
            if typing && key != "Escape" {
                return;
            }
            // The browser presses focused controls with these; a second meaning would be a trap.
            if (key == " " || key == "Enter") && target.as_ref().is_some_and(is_pressable) {
                return;
            }
            let now = event.time_stamp();
            let found = pressed.try_update_value(|(keys, last)| {
                if now - *last > 1500.0 {
                    keys.clear();
                }
                *last = now;
                keys.push(key.clone());
                let sequence: Vec<&str> = keys.iter().map(String::as_str).collect();
                let found = match lookup(&sequence) {
                    Match::None => lookup(&[key.as_str()]),
                    found => found,
                };
                match found {
                    Match::Prefix => *keys = vec![key.clone()],
                    _ => keys.clear(),
                }
                found
            });
            if let Some(Match::Found(command)) = found {
                if command != Command::Open {
                    event.prevent_default();
                }
                self.run(command);
            }
        });
    }
}

/// Carries out navigation orders. Call once, inside the router.
pub(crate) fn follow_navigation(commander: Commander) {
    let navigate = leptos_router::hooks::use_navigate();
    Effect::new(move |_| {
        if let Some(path) = commander.go.get() {
            navigate(&path, NavigateOptions::default());
            commander.go.set(None);
        }
    });
}

fn query(selector: &str) -> Option<HtmlElement> {
    document()
        .query_selector(selector)
        .ok()
        .flatten()
        .and_then(|e| e.dyn_into().ok())
}

/// The button of that name in the focused row, else the first one on the page.
fn find_button(name: &str) -> Option<HtmlElement> {
    let selector = format!("[data-command={name}]:not(:disabled)");
    active_element()
        .and_then(|e| e.closest("[data-row]").ok().flatten())
        .and_then(|row| row.query_selector(&selector).ok().flatten())
        .and_then(|e| e.dyn_into().ok())
        .or_else(|| query(&selector))
}

fn active_element() -> Option<HtmlElement> {
    document().active_element().and_then(|e| e.dyn_into().ok())
}

fn focus_search() {
    if let Some(field) = query("main [type=search]") {
        let _ = field.focus();
    } else if let Some(button) = query("[data-testid=open-palette]") {
        button.click();
    }
}

/// Moves the focus among everything on the page that calls itself a row.
fn move_row(step: i32) {
    let Ok(rows) = document().query_selector_all("main [data-row]") else {
        return;
    };
    let count = rows.length() as i32;
    if count == 0 {
        return;
    }
    let focused = active_element().and_then(|e| e.closest("[data-row]").ok().flatten());
    let selected = (0..count).find(|&at| {
        let row = rows.get(at as u32).and_then(|n| n.dyn_into::<web_sys::Element>().ok());
        match (&focused, row) {
            (Some(focused), Some(row)) => *focused == row,
            (None, Some(row)) => row.get_attribute("aria-current").is_some(),
            _ => false,
        }
    });
    let next = match selected {
        Some(at) => (at + step).clamp(0, count - 1),
        None => 0,
    };
    let Some(row) = rows.get(next as u32).and_then(|n| n.dyn_into::<HtmlElement>().ok()) else {
        return;
    };
    let target = if row.tab_index() >= 0 {
        Some(row)
    } else {
        row.query_selector("a, button")
            .ok()
            .flatten()
            .and_then(|e| e.dyn_into().ok())
    };
    if let Some(target) = target {
        let _ = target.focus();
    }
}

fn is_text_field(element: &HtmlElement) -> bool {
    match element.tag_name().as_str() {
        "TEXTAREA" | "SELECT" => true,
        "INPUT" => !matches!(
            element.get_attribute("type").as_deref(),
            Some("checkbox" | "radio" | "button")
        ),
        _ => element.is_content_editable(),
    }
}

fn is_pressable(element: &HtmlElement) -> bool {
    matches!(element.tag_name().as_str(), "A" | "BUTTON" | "SUMMARY" | "INPUT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unambiguous() {
        for (at, a) in Command::ALL.iter().enumerate() {
            for b in &Command::ALL[at + 1..] {
                if a.keys().is_empty() || b.keys().is_empty() {
                    continue;
                }
                let shorter = a.keys().len().min(b.keys().len());
                assert_ne!(a.keys()[..shorter], b.keys()[..shorter], "{a:?} and {b:?} share keys");
            }
        }
    }

    #[test]
    fn sequences_are_found_key_by_key() {
        assert_eq!(lookup(&["g"]), Match::Prefix);
        assert_eq!(lookup(&["g", "i"]), Match::Found(Command::GoIncidents));
        assert_eq!(lookup(&["g", "j"]), Match::None);
        assert_eq!(lookup(&["a"]), Match::Found(Command::Acknowledge));
        assert_eq!(lookup(&[]), Match::None);
    }

    #[test]
    fn every_command_is_listed_once() {
        for command in Command::ALL {
            assert_eq!(Command::ALL.iter().filter(|c| **c == command).count(), 1);
            assert!(!command.label().is_empty());
        }
    }
}
