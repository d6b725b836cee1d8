//! A plotters backend addressed in CSS pixels.

use crate::palette::Color;
use plotters::backend::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle, ShapeStyle, TextStyle};
use plotters_backend::{BackendCoord, DrawingErrorKind};

/// The backend's own error.
pub type Failure<DB> = DrawingErrorKind<<DB as DrawingBackend>::ErrorType>;

/// Draws on `backend`, whose pixels are `ratio` to a CSS pixel.
#[derive(Debug)]
pub struct Canvas<'a, DB: DrawingBackend> {
    backend: &'a mut DB,
    ratio: f64,
    font: &'a str,
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Align {
    Left,
    Center,
    Right,
}

impl<'a, DB: DrawingBackend> Canvas<'a, DB> {
    /// `font` is a CSS font family list.
    pub fn new(backend: &'a mut DB, ratio: f64, font: &'a str) -> Self {
        Self {
            backend,
            ratio: ratio.max(0.1),
            font,
        }
    }

    /// Width and height in CSS pixels.
    pub fn size(&self) -> (f64, f64) {
        let (width, height) = self.backend.get_size();
        (f64::from(width) / self.ratio, f64::from(height) / self.ratio)
    }

    pub(crate) fn clear(&mut self, color: Color) -> Result<(), Failure<DB>> {
        let (width, height) = self.backend.get_size();
        self.backend
            .draw_rect((0, 0), (width as i32, height as i32), &color.to_plotters(), true)
    }

    pub(crate) fn line(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        color: Color,
        width: f64,
    ) -> Result<(), Failure<DB>> {
        let (from, to) = (self.at(from), self.at(to));
        self.backend.draw_line(from, to, &self.stroke(color, width))
    }

    /// Dashes of `on` pixels, `off` pixels apart.
    pub(crate) fn dashes(
        &mut self,
        points: &[(f64, f64)],
        (on, off): (f64, f64),
        color: Color,
        width: f64,
    ) -> Result<(), Failure<DB>> {
        for dash in dash(points, on, off) {
            self.path(&dash, color, width)?;
        }
        Ok(())
    }

    pub(crate) fn path(&mut self, points: &[(f64, f64)], color: Color, width: f64) -> Result<(), Failure<DB>> {
        if points.len() < 2 {
            return Ok(());
        }
        let path: Vec<BackendCoord> = points.iter().map(|p| self.at(*p)).collect();
        let style = self.stroke(color, width);
        self.backend.draw_path(path, &style)
    }

    pub(crate) fn fill(&mut self, points: &[(f64, f64)], color: Color) -> Result<(), Failure<DB>> {
        if points.len() < 3 {
            return Ok(());
        }
        let path: Vec<BackendCoord> = points.iter().map(|p| self.at(*p)).collect();
        self.backend.fill_polygon(path, &color.to_plotters())
    }

    pub(crate) fn rect(&mut self, corner: (f64, f64), size: (f64, f64), color: Color) -> Result<(), Failure<DB>> {
        let from = self.at(corner);
        let to = self.at((corner.0 + size.0, corner.1 + size.1));
        // A thing that exists is at least one pixel.
        let to = (to.0.max(from.0 + 1), to.1.max(from.1 + 1));
        self.backend.draw_rect(from, to, &color.to_plotters(), true)
    }

    pub(crate) fn disc(&mut self, center: (f64, f64), radius: f64, color: Color) -> Result<(), Failure<DB>> {
        let center = self.at(center);
        let radius = (radius * self.ratio).round().max(1.0) as u32;
        self.backend.draw_circle(center, radius, &color.to_plotters(), true)
    }

    pub(crate) fn text(
        &mut self,
        text: &str,
        at: (f64, f64),
        align: Align,
        size: f64,
        color: Color,
    ) -> Result<(), Failure<DB>> {
        let h_pos = match align {
            Align::Left => HPos::Left,
            Align::Center => HPos::Center,
            Align::Right => HPos::Right,
        };
        let at = self.at(at);
        let font = FontDesc::new(FontFamily::Name(self.font), size * self.ratio, FontStyle::Normal);
        let color = color.to_plotters();
        let style = TextStyle::from(font).color(&color).pos(Pos::new(h_pos, VPos::Center));
        self.backend.draw_text(text, &style, at)
    }

    fn at(&self, point: (f64, f64)) -> BackendCoord {
        (
            (point.0 * self.ratio).round() as i32,
            (point.1 * self.ratio).round() as i32,
        )
    }

    fn stroke(&self, color: Color, width: f64) -> ShapeStyle {
        ShapeStyle {
            color: color.to_plotters(),
            filled: false,
            stroke_width: (width * self.ratio).round().max(1.0) as u32,
        }
    }
}

/// Cuts a path into dashes.
fn dash(points: &[(f64, f64)], on: f64, off: f64) -> Vec<Vec<(f64, f64)>> {
    let mut dashes = Vec::new();
    let mut current: Vec<(f64, f64)> = Vec::new();
    let (mut drawing, mut left) = (true, on);
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let (dx, dy) = (to.0 - from.0, to.1 - from.1);
            let length = dx.hypot(dy);
            if drawing && current.is_empty() {
                current.push(from);
            }
            if length <= left || !length.is_finite() {
                left -= length;
                if drawing {
                    current.push(to);
                }
                break;
            }
            let share = left / length;
            from = (from.0 + dx * share, from.1 + dy * share);
            if drawing {
                current.push(from);
                dashes.push(std::mem::take(&mut current));
            }
            drawing = !drawing;
            left = if drawing { on } else { off };
        }
    }
    if current.len() > 1 {
        dashes.push(current);
    }
    dashes
}

#[cfg(test)]
mod tests {
    use super::dash;

    #[test]
    fn dashes_cover_their_share() {
        let dashes = dash(&[(0.0, 0.0), (10.0, 0.0)], 3.0, 2.0);
        assert_eq!(dashes, [[(0.0, 0.0), (3.0, 0.0)], [(5.0, 0.0), (8.0, 0.0)]]);
    }

    #[test]
    fn dashes_turn_corners() {
        let dashes = dash(&[(0.0, 0.0), (2.0, 0.0), (2.0, 4.0)], 4.0, 1.0);
        assert_eq!(dashes[0], [(0.0, 0.0), (2.0, 0.0), (2.0, 2.0)]);
        assert_eq!(dashes.len(), 2);
    }
}
