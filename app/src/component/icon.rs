//! Line icons, drawn on a 24 unit grid with the current text colour.

use leptos::prelude::*;

/// What an icon shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    Now,
    Incident,
    Topology,
    Metric,
    Approval,
    Source,
    Wall,
    Search,
    Help,
    Sun,
    Moon,
    Monitor,
    Power,
    Close,
    Check,
    Clock,
    ThumbUp,
    Swap,
    Bell,
    BellOff,
    Person,
    Dash,
    ArrowRight,
    ChevronLeft,
    Fit,
    Plus,
    Minus,
    Copy,
}

impl Symbol {
    fn path(self) -> &'static str {
        match self {
            Self::Now => "M3 12h4l3 8 4-16 3 8h4",
            Self::Incident => "M12 3 2.5 20h19zM12 10v4M12 17v.01",
            Self::Topology => {
                "M12 8V5M8.5 14.5 6 17M15.5 14.5 18 17M12 5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM5 20.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM19 20.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3zM12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8z"
            }
            Self::Metric => "M4 4v16h16M8 15l3-4 3 2 5-7",
            Self::Approval => "M9 11l2.5 2.5L16 9M12 3l8 3v6c0 4.5-3.2 7.8-8 9-4.8-1.2-8-4.5-8-9V6z",
            Self::Source => {
                "M12 8c4.4 0 8-1.3 8-3s-3.6-3-8-3-8 1.3-8 3 3.6 3 8 3zM4 5v14c0 1.7 3.6 3 8 3s8-1.3 8-3V5M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3"
            }
            Self::Wall => "M3 4h18v12H3zM8 20h8M12 16v4",
            Self::Search => "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4",
            Self::Help => {
                "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9.5 9.5a2.5 2.5 0 1 1 3.5 2.3c-.6.3-1 .9-1 1.7M12 17v.01"
            }
            Self::Sun => {
                "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M19 5l-1.4 1.4M6.4 17.6 5 19"
            }
            Self::Moon => "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
            Self::Monitor => "M3 4h18v12H3zM8 20h8M12 16v4M12 4v12",
            Self::Power => "M12 3v9M6.3 6.3a8 8 0 1 0 11.4 0",
            Self::Close => "M6 6l12 12M18 6 6 18",
            Self::Check => "M5 12.5 10 17.5 19 7",
            Self::Clock => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3 2",
            Self::ThumbUp => "M7 11v9H4v-9zM7 11l4-8c1.5 0 2.5 1 2.5 2.5V9H19a2 2 0 0 1 2 2.3l-1.1 7A2 2 0 0 1 18 20H7",
            Self::Swap => "M4 8h15M15 4l4 4-4 4M20 16H5M9 12l-4 4 4 4",
            Self::Bell => "M6 9a6 6 0 0 1 12 0c0 6 2.5 7 2.5 8h-17C3.5 16 6 15 6 9zM10 20a2 2 0 0 0 4 0",
            Self::Person => "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c0-4 3.6-6 8-6s8 2 8 6",
            Self::Dash => "M6 12h12",
            Self::BellOff => {
                "M6.5 6.5A6 6 0 0 0 6 9c0 6-2.5 7-2.5 7H16M18 12.5c-.1-.9 0-2.2 0-3.5a6 6 0 0 0-8.5-5.5M10 20a2 2 0 0 0 4 0M3 3l18 18"
            }
            Self::ArrowRight => "M5 12h14M13 6l6 6-6 6",
            Self::ChevronLeft => "M15 5l-7 7 7 7",
            Self::Fit => "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
            Self::Plus => "M12 5v14M5 12h14",
            Self::Minus => "M5 12h14",
            Self::Copy => "M9 9h11v11H9zM5 15H4V4h11v1",
        }
    }
}

/// An icon beside a word, or alone on a button that has a label.
#[component]
pub(crate) fn Icon(symbol: Symbol) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d=symbol.path() />
        </svg>
    }
}

/// The product's mark: a ring of light that is brightest where something rises.
#[component]
pub(crate) fn Logo() -> impl IntoView {
    view! {
        <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
            <circle class="logo__ring" cx="16" cy="16" r="11" />
            <path class="logo__arc" d="M16 5a11 11 0 0 1 11 11" />
            <circle class="logo__spark" cx="24" cy="8.2" r="2.6" />
        </svg>
    }
}
