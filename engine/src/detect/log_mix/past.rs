//! What the lines of an entity usually are: shares and invariants, each with how much it varies.

use super::CELLS;
use super::counts::Cell;

/// Patterns that take part in invariants: the first so many of an entity, since pairs grow with the square.
pub(super) const PAIRED: usize = 64;
/// What has never been seen counts as so many lines: it may have been missed by little.
const NEW: f64 = 0.5;
/// and comes in bursts like this.
const NEW_DISPERSION: f64 = 1.5;
/// The past must hold so many lines, in so many cells, before anything is said.
const LEAST_LINES: f64 = 30.0;
const LEAST_CELLS: f64 = 4.0;
/// Two patterns keep a ratio if they have been seen so often,
const LEAST_PAIRED: f64 = 15.0;
/// in so many cells,
const LEAST_PAIRED_CELLS: f64 = 6.0;
/// neither more than so many times the other,
const MOST_RATIO: f64 = 5.0;
/// and vary this much less than independent counts.
const INVARIANT: f64 = 0.35;
/// An invariant is judged from so many lines on.
const LEAST_JUDGED: u32 = 6;
/// Nothing varies less than this: a request may be under way when a cell ends.
const LEAST_DISPERSION: f64 = 0.1;
/// What is taken for granted of a dispersion before cells have shown it, and for how many cells that counts.
const SHARE_PRIOR: (f64, f64) = (2.0, 5.0);
const PAIR_PRIOR: (f64, f64) = (1.0, 4.0);

/// Counts of the past, older ones weighing less.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    lines: f64,
    cells: f64,
    /// By place.
    counts: Vec<Counted>,
    /// Of two patterns that take part in invariants, the `a`-th and the `b`-th of them, a < b: at `b * (b - 1) / 2 + a`.
    pairs: Vec<Varies>,
    /// The cells of the window that is being learnt.
    window: Cell,
    gathered: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    lines: f64,
    varies: Varies,
}

/// From cell to cell, and from window to window: what wanders slowly is calm in the short run only.
#[derive(Clone, Copy, Debug, Default)]
struct Varies {
    cells: Dispersion,
    windows: Dispersion,
}

impl Varies {
    fn fade(&mut self, rate: f32) {
        self.cells.fade(rate);
        self.windows.fade(rate);
    }

    fn value(self, prior: (f64, f64)) -> f64 {
        self.cells.value(prior).max(self.windows.value(prior))
    }
}

/// Sum of the squared deviations in units of independent counts, and of how many cells.
#[derive(Clone, Copy, Debug, Default)]
struct Dispersion {
    squares: f32,
    cells: f32,
}

/// A pattern whose share is not what it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Odd {
    pub place: usize,
    pub beside: Option<usize>,
    pub share: f64,
    pub usual: f64,
    /// About chi-squared with one degree of freedom if nothing changed.
    pub statistic: f64,
}

impl Dispersion {
    /// Takes in `count` of `all`, of which `usual` in `known` were expected.
    fn add(&mut self, count: f64, all: f64, usual: f64, known: f64) {
        if all <= 0.0 || known <= 0.0 || usual <= 0.0 || usual >= 1.0 {
            return;
        }
        // The share is itself only known from so many lines.
        let variance = all * usual * (1.0 - usual) * (1.0 + all / known);
        self.squares += ((count - all * usual).powi(2) / variance) as f32;
        self.cells += 1.0;
    }

    fn fade(&mut self, rate: f32) {
        self.squares *= rate;
        self.cells *= rate;
    }

    fn value(self, (prior, weight): (f64, f64)) -> f64 {
        (f64::from(self.squares) + prior * weight) / (f64::from(self.cells) + weight)
    }
}

impl Past {
    /// Takes a cell in. `paired`: the places of the patterns that take part in invariants. `memory`: after so many cells a cell
    /// weighs 1/e.
    pub(super) fn learn(&mut self, cell: &Cell, paired: &[usize], memory: i64) {
        if cell.lines == 0 {
            return;
        }
        let highest = cell.places().last().map_or(0, |place| place + 1);
        if highest > self.counts.len() {
            self.counts.resize(highest, Counted::default());
        }
        let paired = &paired[..paired.partition_point(|place| *place < self.counts.len())];
        let pairs = paired.len() * paired.len().saturating_sub(1) / 2;
        self.pairs.resize(pairs.max(self.pairs.len()), Varies::default());
        self.compare(cell, paired, |varies| &mut varies.cells);
        self.window.merge(cell);
        self.gathered += 1;
        if self.gathered == CELLS {
            self.gathered = 0;
            let window = std::mem::take(&mut self.window);
            self.compare(&window, paired, |varies| &mut varies.windows);
        }
        let lines = f64::from(cell.lines);
        let rate = 1.0 - 1.0 / memory.max(2) as f64;
        self.lines = self.lines * rate + lines;
        self.cells = self.cells * rate + 1.0;
        for (place, counted) in self.counts.iter_mut().enumerate() {
            counted.lines = counted.lines * rate + f64::from(cell.of(place));
            counted.varies.fade(rate as f32);
        }
        for pair in &mut self.pairs {
            pair.fade(rate as f32);
        }
    }

    /// Notes how far the counts of a cell, or of a window, are from the shares so far.
    fn compare(&mut self, cell: &Cell, paired: &[usize], part: impl Fn(&mut Varies) -> &mut Dispersion) {
        let lines = f64::from(cell.lines);
        for (place, counted) in self.counts.iter_mut().enumerate() {
            let usual = counted.lines / self.lines.max(1.0);
            part(&mut counted.varies).add(f64::from(cell.of(place)), lines, usual, self.lines);
        }
        for (b, of_b) in paired.iter().enumerate() {
            let (count_b, known_b) = (f64::from(cell.of(*of_b)), self.counts[*of_b].lines);
            for (a, of_a) in paired[..b].iter().enumerate() {
                let (count_a, known_a) = (f64::from(cell.of(*of_a)), self.counts[*of_a].lines);
                let (all, known) = (count_a + count_b, known_a + known_b);
                if all > 0.0 && known > 0.0 {
                    let pair = &mut self.pairs[b * b.saturating_sub(1) / 2 + a];
                    part(pair).add(count_a, all, known_a / known, known);
                }
            }
        }
    }

    /// Counts the pattern at one place as that at another. How that varies is not known: as much as the part that varied most. What
    /// ratio either kept with others is forgotten.
    pub(super) fn merge(&mut self, from: usize, into: usize, paired: &[usize]) {
        let Some(gone) = self.counts.get_mut(from).map(std::mem::take) else {
            return;
        };
        if into >= self.counts.len() {
            self.counts.resize(into + 1, Counted::default());
        }
        let kept = &mut self.counts[into];
        kept.lines += gone.lines;
        if gone.varies.value(SHARE_PRIOR) > kept.varies.value(SHARE_PRIOR) {
            kept.varies = gone.varies;
        }
        self.window.move_count(from, into);
        for (b, of_b) in paired.iter().enumerate() {
            for (a, of_a) in paired[..b].iter().enumerate() {
                let touches = [from, into].iter().any(|place| place == of_a || place == of_b);
                if let Some(pair) = self.pairs.get_mut(b * b.saturating_sub(1) / 2 + a).filter(|_| touches) {
                    *pair = Varies::default();
                }
            }
        }
    }

    /// Every pattern and invariant, compared with `seen`.
    pub(super) fn odd(&self, seen: &Cell, paired: &[usize]) -> Vec<Odd> {
        let mut odd = Vec::new();
        if seen.lines == 0 || self.lines < LEAST_LINES || self.cells < LEAST_CELLS {
            return odd;
        }
        let lines = f64::from(seen.lines);
        // How often something new comes along: as often as what came only once (Good and Turing). So many chances has the new.
        let once = self
            .counts
            .iter()
            .filter(|counted| counted.lines > 0.0 && counted.lines <= 1.0);
        let once = once.count() as f64;
        let news = seen.places().filter(|place| *place >= self.counts.len());
        for place in (0..self.counts.len()).chain(news) {
            let known = self.counts.get(place).copied().unwrap_or_default();
            let count = f64::from(seen.of(place));
            let is_new = known.lines <= 0.0;
            let (before, all) = if is_new {
                (NEW, self.lines + NEW)
            } else {
                (known.lines, self.lines)
            };
            let dispersion = if is_new {
                NEW_DISPERSION
            } else {
                known.varies.value(SHARE_PRIOR).max(1.0)
            };
            let chances = if is_new { 2.0 * once.ln_1p() } else { 0.0 };
            odd.push(Odd {
                place,
                beside: None,
                share: count / lines,
                usual: known.lines / self.lines,
                statistic: likelihood_ratio((count, lines), (before, all)) / dispersion - chances,
            });
        }
        let paired = &paired[..paired.partition_point(|place| *place < self.counts.len())];
        for (second, b) in paired.iter().enumerate() {
            for (first, a) in paired[..second].iter().enumerate() {
                let pair = self.pairs.get(second * second.saturating_sub(1) / 2 + first);
                odd.extend(pair.and_then(|pair| self.pair(*a, *b, *pair, seen)));
            }
        }
        odd
    }

    /// The patterns at places `a` and `b`, whose ratio varies by `pair`.
    fn pair(&self, a: usize, b: usize, pair: Varies, seen: &Cell) -> Option<Odd> {
        let (of_a, of_b) = (seen.of(a), seen.of(b));
        let (past_a, past_b) = (self.counts[a].lines, self.counts[b].lines);
        let (less, more) = if past_a < past_b {
            (past_a, past_b)
        } else {
            (past_b, past_a)
        };
        if of_a + of_b < LEAST_JUDGED
            || less < LEAST_PAIRED
            || more > MOST_RATIO * less
            || f64::from(pair.cells.cells) < LEAST_PAIRED_CELLS
        {
            return None;
        }
        let dispersion = pair.value(PAIR_PRIOR).max(LEAST_DISPERSION);
        if dispersion > INVARIANT {
            return None;
        }
        let (all, known) = (f64::from(of_a + of_b), past_a + past_b);
        // Told of the one that comes without the other.
        let (place, beside, count, before) = if f64::from(of_a) / all > past_a / known {
            (a, b, f64::from(of_a), past_a)
        } else {
            (b, a, f64::from(of_b), past_b)
        };
        Some(Odd {
            place,
            beside: Some(beside),
            share: count / all,
            usual: before / known,
            statistic: likelihood_ratio((count, all), (before, known)) / dispersion,
        })
    }
}

/// Twice the logarithm of how much likelier two shares are than one common one; each as how many of how many.
fn likelihood_ratio((a, all_a): (f64, f64), (b, all_b): (f64, f64)) -> f64 {
    let log = |count: f64, all: f64, share: f64| {
        let of = |n: f64, p: f64| {
            if n > 0.0 {
                n * p.max(f64::MIN_POSITIVE).ln()
            } else {
                0.0
            }
        };
        of(count, share) + of(all - count, 1.0 - share)
    };
    if all_a <= 0.0 || all_b <= 0.0 {
        return 0.0;
    }
    let common = (a + b) / (all_a + all_b);
    let apart = log(a, all_a, a / all_a) + log(b, all_b, b / all_b);
    let together = log(a, all_a, common) + log(b, all_b, common);
    (2.0 * (apart - together)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likelihood_ratio_is_that_of_a_g_test() {
        // scipy.stats.chi2_contingency([[15, 85], [40, 960]], lambda_="log-likelihood", correction=False)
        let g = likelihood_ratio((15.0, 100.0), (40.0, 1000.0));
        assert!((g - 16.303_422_331_375_607).abs() < 1e-6, "{g}");
        assert!(likelihood_ratio((5.0, 50.0), (100.0, 1000.0)).abs() < 1e-9);
    }
}
