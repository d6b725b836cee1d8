//! Colours by what they mean. The values come from the console's style tokens.

use plotters::style::RGBAColor;
use wire::series::Health;

/// An opaque colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Color {
    pub red: u8,
    pub green: u8,
    pub blue: u8,
}

impl Color {
    /// Reads `#rgb`, `#rrggbb`, `rgb(1, 2, 3)` or `rgb(1 2 3)`; an alpha part is ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(hex) = text.strip_prefix('#') {
            return Self::parse_hex(hex);
        }
        let inner = text
            .strip_prefix("rgba")
            .or(text.strip_prefix("rgb"))?
            .trim()
            .strip_prefix('(')?
            .strip_suffix(')')?;
        let mut parts = inner.split([',', ' ', '/']).filter(|p| !p.is_empty());
        let mut next = || {
            parts
                .next()?
                .parse::<f64>()
                .ok()
                .map(|v| v.clamp(0.0, 255.0).round() as u8)
        };
        Some(Self {
            red: next()?,
            green: next()?,
            blue: next()?,
        })
    }

    fn parse_hex(hex: &str) -> Option<Self> {
        let digit = |at: usize| hex.get(at..=at).and_then(|d| u8::from_str_radix(d, 16).ok());
        let pair = |at: usize| hex.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
        match hex.len() {
            3 => Some(Self {
                red: digit(0)? * 17,
                green: digit(1)? * 17,
                blue: digit(2)? * 17,
            }),
            6 | 8 => Some(Self {
                red: pair(0)?,
                green: pair(2)?,
                blue: pair(4)?,
            }),
            _ => None,
        }
    }

    /// This colour over `ground`, `share` of it showing, 0..1. Mixing here keeps drawings free of real transparency, which
    /// would darken where shapes overlap.
    pub fn over(self, ground: Self, share: f64) -> Self {
        let mix = |a: u8, b: u8| (f64::from(a) * share + f64::from(b) * (1.0 - share)).round() as u8;
        Self {
            red: mix(self.red, ground.red),
            green: mix(self.green, ground.green),
            blue: mix(self.blue, ground.blue),
        }
    }

    pub(crate) fn to_plotters(self) -> RGBAColor {
        RGBAColor(self.red, self.green, self.blue, 1.0)
    }
}

macro_rules! palette {
    ($($(#[$doc:meta])* $field:ident = $token:literal,)*) => {
        /// Every colour that a drawing uses.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Palette {
            $($(#[$doc])* pub $field: Color,)*
        }

        impl Palette {
            /// Names of the style tokens it is made of.
            pub const TOKENS: &'static [&'static str] = &[$($token),*];

            /// Asks `token` for the value of each style token. One that is missing or unreadable becomes black, which shows.
            pub fn from_tokens(token: impl Fn(&str) -> Option<String>) -> Self {
                Self { $($field: token($token).and_then(|t| Color::parse(&t)).unwrap_or_default(),)* }
            }
        }
    };
}

palette! {
    /// Behind everything.
    surface = "--surface-1",
    /// Behind a node of the graph.
    raised = "--surface-2",
    outline = "--line-strong",
    text = "--text-1",
    text_quiet = "--text-3",
    accent = "--accent",
    line = "--chart-line",
    band = "--chart-band",
    expected = "--chart-expected",
    grid = "--chart-grid",
    axis = "--chart-axis",
    anomaly = "--chart-anomaly",
    anomaly_ground = "--health-anomalous-soft",
    forecast = "--chart-forecast",
    forecast_band = "--chart-forecast-band",
    limit = "--chart-limit",
    deploy = "--chart-deploy",
    vote_stl = "--chart-vote-stl",
    vote_forest = "--chart-vote-forest",
    vote_autoencoder = "--chart-vote-autoencoder",
    vote_novelty = "--chart-vote-novelty",
    ok = "--health-ok",
    watch = "--health-watch",
    watch_ground = "--health-watch-soft",
    anomalous = "--health-anomalous",
    silent = "--health-silent",
    silent_ground = "--health-silent-soft",
    unknown = "--health-unknown",
}

impl Palette {
    /// The colour of a health.
    pub fn health(&self, health: Health) -> Color {
        match health {
            Health::Unknown => self.unknown,
            Health::Ok => self.ok,
            Health::Watch => self.watch,
            Health::Anomalous => self.anomalous,
            Health::Silent => self.silent,
        }
    }

    /// What lies behind something of that health.
    pub fn health_ground(&self, health: Health) -> Color {
        match health {
            Health::Unknown | Health::Ok => self.raised,
            Health::Watch => self.watch_ground,
            Health::Anomalous => self.anomaly_ground,
            Health::Silent => self.silent_ground,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_as_browsers_write_them() {
        let expected = Some(Color {
            red: 44,
            green: 98,
            blue: 224,
        });
        for text in [
            "#2c62e0",
            " rgb(44, 98, 224)",
            "rgb(44 98 224)",
            "rgba(44, 98, 224, 0.5)",
            "rgb(44 98 224 / 1)",
        ] {
            assert_eq!(Color::parse(text), expected, "{text}");
        }
        assert_eq!(
            Color::parse("#fff"),
            Some(Color {
                red: 255,
                green: 255,
                blue: 255
            })
        );
        for text in ["", "blue", "#12", "rgb(1,2)", "light-dark(#fff, #000)"] {
            assert_eq!(Color::parse(text), None, "{text}");
        }
    }

    #[test]
    fn mixing_ends_at_its_parts() {
        let (white, black) = (
            Color {
                red: 255,
                green: 255,
                blue: 255,
            },
            Color::default(),
        );
        assert_eq!(white.over(black, 1.0), white);
        assert_eq!(white.over(black, 0.0), black);
        assert_eq!(white.over(black, 0.5).red, 128);
    }

    #[test]
    fn a_palette_asks_for_each_token_once() {
        let palette = Palette::from_tokens(|name| Palette::TOKENS.contains(&name).then(|| "#010203".to_owned()));
        assert_eq!(
            palette.silent_ground,
            Color {
                red: 1,
                green: 2,
                blue: 3
            }
        );
        assert_eq!(palette.health(Health::Silent), palette.silent);
    }
}
