//! What a person has chosen for this browser, kept in its local storage.

use leptos::prelude::*;

/// Dark, light, or as the system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    System,
    Dark,
    Light,
}

impl Theme {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::System => "System theme",
            Self::Dark => "Dark theme",
            Self::Light => "Light theme",
        }
    }

    /// The value of `data-theme`; `index.html` applies it before the first paint.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Dark => "dark",
            Self::Light => "light",
        }
    }

    pub(crate) fn next(self) -> Self {
        match self {
            Self::System => Self::Dark,
            Self::Dark => Self::Light,
            Self::Light => Self::System,
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "dark" => Self::Dark,
            "light" => Self::Light,
            _ => Self::System,
        }
    }
}

/// Choices as signals.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) theme: RwSignal<Theme>,
    /// Grows when colours change, by choice or because the system's scheme did: canvases read their colours again.
    pub(crate) palette_version: RwSignal<u64>,
}

const THEME_KEY: &str = "halo.theme";

impl Settings {
    /// Reads what was stored and follows the system's colour scheme.
    pub(crate) fn load() -> Self {
        let stored = storage()
            .and_then(|s| s.get_item(THEME_KEY).ok().flatten())
            .unwrap_or_default();
        let settings = Self {
            theme: RwSignal::new(Theme::parse(&stored)),
            palette_version: RwSignal::new(0),
        };
        settings.follow_system();
        settings
    }

    pub(crate) fn set_theme(self, theme: Theme) {
        if let Some(root) = document().document_element() {
            // Refusals of storage or attribute cost only the persistence of a colour scheme.
            let _ = root.set_attribute("data-theme", theme.as_str());
        }
        if let Some(storage) = storage() {
            let _ = storage.set_item(THEME_KEY, theme.as_str());
        }
        self.theme.set(theme);
        self.palette_version.update(|v| *v += 1);
    }

    fn follow_system(self) {
        use wasm_bindgen::prelude::*;
        let Ok(Some(query)) = window().match_media("(prefers-color-scheme: dark)") else {
            return;
        };
        let on_change = Closure::<dyn FnMut()>::new(move || self.palette_version.update(|v| *v += 1));
        query.set_onchange(Some(on_change.as_ref().unchecked_ref()));
        // Listens for the life of the page.
        on_change.forget();
        std::mem::forget(query);
    }
}

/// The settings of this page.
pub(crate) fn settings() -> Settings {
    expect_context()
}

fn storage() -> Option<web_sys::Storage> {
    window().local_storage().ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_theme_survives_storage() {
        for theme in [Theme::System, Theme::Dark, Theme::Light] {
            assert_eq!(Theme::parse(theme.as_str()), theme);
        }
        assert_eq!(Theme::parse("anything else"), Theme::System);
    }
}
