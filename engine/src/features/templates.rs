//! Lines of logs as events: which template each line was printed from.
//!
//! [`Templates`] learns while it reads, as Drain does (He et al., "Drain: An online log parsing approach with fixed depth tree",
//! ICWS 2017), with one set of masks for all programs instead of one for each. It has no tree. What is no value by its form
//! (see `templates/values.rs`) makes up the looks of a line, whose sum of hashes finds its template at once. Templates that
//! differ in one word are kept apart until so many words have been seen there that it can only be a value (see
//! `templates/evidence.rs`); then they become one, and lines are looked up without that word, too: tuple space search
//! (Srinivasan et al., SIGCOMM 1999).
//!
//! The same lines in the same order give the same templates. Two lines that look different have the same sum once in 2^64.

mod evidence;
mod hash;
mod merge;
mod scan;
mod values;

use hash::{ByHash, fold, value_at};
use merge::places;
use scan::Scan;

/// What stands for a value in a template.
const MASK: &str = "<*>";
/// Words of a line at most: as many as [`Template::merged`] has bits.
const MOST_WORDS: usize = 128;
/// Places of the cache, a power of two.
const CACHE: usize = 1 << 13;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateConfig {
    /// Ids that are issued at most, those that were merged later included; 1 or more. What comes after that and is like none of
    /// them is counted as one template, the *catch-all*.
    pub max_templates: usize,
    /// Bytes of a line that are read; the rest is one value. 1 or more.
    pub max_line_bytes: usize,
    /// Words of a line that are read, from 1 to 128; the rest is one value.
    pub max_words: usize,
}

impl Default for TemplateConfig {
    fn default() -> Self {
        Self {
            max_templates: 20_000,
            max_line_bytes: 2048,
            max_words: MOST_WORDS,
        }
    }
}

/// A template, in order of first appearance. It stays good when templates are merged: it is then another name of the first of
/// them, see [`Templates::resolve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateId(pub u32);

/// A word of a template and the glue before it.
#[derive(Clone, Debug)]
struct Piece {
    glue: Box<str>,
    text: Box<str>,
    is_value: bool,
    part: u64,
}

impl Piece {
    /// Neither a value nor a mere sign.
    fn is_word(&self) -> bool {
        !self.is_value && self.text.chars().any(char::is_alphanumeric)
    }
}

#[derive(Clone, Debug)]
struct Template {
    pieces: Vec<Piece>,
    tail: Box<str>,
    sum: u64,
    /// Places whose words were taken for values because there were many.
    merged: u128,
    /// Itself, or what it was merged into.
    parent: u32,
    count: u64,
}

impl Template {
    /// The same for all templates that differ from this one at `place` alone.
    fn without(&self, place: usize) -> Option<u64> {
        let piece = self.pieces.get(place)?;
        Some(fold(self.sum.wrapping_sub(piece.part) ^ place as u64))
    }
}

/// Templates learnt from lines.
///
/// Memory: at most about `max_templates * (max_line_bytes + 10 KiB)`, in practice some kilobytes a template.
#[derive(Clone, Debug)]
pub struct Templates {
    config: TemplateConfig,
    scan: Scan,
    templates: Vec<Template>,
    /// Templates by their sum.
    by_sum: ByHash<u32>,
    /// By the number of words: sets of places without whose words lines are looked up, the smallest first.
    masks: Vec<Vec<u128>>,
    /// Templates by [`Template::without`].
    alike: ByHash<Vec<u32>>,
    /// What was found last by its sum; `u32::MAX` where there is nothing.
    cache: Vec<(u64, u32)>,
    /// The template of what was too much.
    catch_all: Option<u32>,
    live: usize,
}

impl Templates {
    /// Without any template. Numbers out of range are brought into it.
    pub fn new(config: TemplateConfig) -> Self {
        Self {
            config: TemplateConfig {
                // The last number stands for none.
                max_templates: config.max_templates.clamp(1, u32::MAX as usize - 2),
                // Places in a line are kept as 32 bits.
                max_line_bytes: config.max_line_bytes.clamp(1, 1 << 20),
                max_words: config.max_words.clamp(1, MOST_WORDS),
            },
            scan: Scan::default(),
            templates: Vec::new(),
            by_sum: ByHash::default(),
            masks: vec![Vec::new(); MOST_WORDS + 1],
            alike: ByHash::default(),
            cache: vec![(0, u32::MAX); CACHE],
            catch_all: None,
            live: 0,
        }
    }

    /// The template of a line, a new one if there is none; counts it. The id may be merged into another at any later line.
    ///
    /// O(bytes) for lines that look like one before, which nearly all do.
    pub fn learn(&mut self, line: &str) -> TemplateId {
        let mut scan = std::mem::take(&mut self.scan);
        scan.read(line, self.config.max_line_bytes, self.config.max_words);
        let place = (scan.sum as usize) & (CACHE - 1);
        let id = match self.cache[place] {
            (sum, id) if sum == scan.sum && id != u32::MAX => self.root(id),
            _ => {
                let id = self.find(&scan).unwrap_or_else(|| self.add(line, &scan));
                self.cache[place] = (scan.sum, id);
                id
            }
        };
        self.scan = scan;
        self.templates[id as usize].count += 1;
        TemplateId(id)
    }

    /// The template of a line, if it is known; neither learns nor counts. O(bytes).
    pub fn match_only(&self, line: &str) -> Option<TemplateId> {
        let mut scan = Scan {
            words: Vec::with_capacity(32),
            ..Scan::default()
        };
        scan.read(line, self.config.max_line_bytes, self.config.max_words);
        self.find(&scan).map(TemplateId)
    }

    /// What an id stands for now: itself, or the template that it was merged into. The id must come from here.
    pub fn resolve(&self, id: TemplateId) -> TemplateId {
        TemplateId(self.root(id.0))
    }

    /// Its words, with `<*>` for values and one blank for several.
    pub fn text(&self, id: TemplateId) -> String {
        let template = &self.templates[self.root(id.0) as usize];
        let pieces = template.pieces.iter().flat_map(|piece| [&*piece.glue, &*piece.text]);
        pieces.chain([&*template.tail]).collect()
    }

    /// Lines that were learnt as this template.
    pub fn count(&self, id: TemplateId) -> u64 {
        self.templates[self.root(id.0) as usize].count
    }

    /// Templates there are now.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Templates that were merged into others so far.
    pub fn merges(&self) -> usize {
        self.templates.len() - self.live
    }

    /// Whether no line was learnt.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Templates there are now, in order of first appearance.
    pub fn ids(&self) -> impl Iterator<Item = TemplateId> {
        let own = (0_u32..).zip(&self.templates);
        own.filter(|(id, template)| template.parent == *id)
            .map(|(id, _)| TemplateId(id))
    }

    /// The template of lines for which there was no room, once there is one.
    pub fn catch_all(&self) -> Option<TemplateId> {
        self.catch_all.map(TemplateId)
    }

    /// Few steps: each is a merge that took the word of one more place.
    fn root(&self, mut id: u32) -> u32 {
        loop {
            let parent = self.templates[id as usize].parent;
            if parent == id {
                return id;
            }
            id = parent;
        }
    }

    /// The template that a line looks like; of several the one with the fewest places merged.
    fn find(&self, scan: &Scan) -> Option<u32> {
        if let Some(id) = self.by_sum.get(&scan.sum) {
            return Some(*id);
        }
        self.masks[scan.words.len()].iter().find_map(|mask| {
            let sum = places(*mask).fold(scan.sum, |sum, place| {
                sum.wrapping_sub(scan.words[place].part).wrapping_add(value_at(place))
            });
            self.by_sum.get(&sum).copied()
        })
    }

    /// A template for a line that is like none.
    fn add(&mut self, line: &str, scan: &Scan) -> u32 {
        if self.templates.len() >= self.config.max_templates {
            return self.overflow();
        }
        let pieces = scan.words.iter().map(|word| Piece {
            glue: one_blank(&line[word.glue.0 as usize..word.glue.1 as usize], word.glue.0 == 0),
            text: if word.is_value {
                MASK.into()
            } else {
                line[word.start as usize..word.end as usize].into()
            },
            is_value: word.is_value,
            part: word.part,
        });
        let tail = one_blank(&line[scan.tail.0 as usize..scan.tail.1 as usize], scan.tail.0 == 0);
        let tail = if scan.is_cut {
            format!("{tail}{MASK}")
        } else {
            tail.trim_end().to_owned()
        };
        let id = self.push(pieces.collect(), tail.into(), scan.sum);
        self.by_sum.insert(scan.sum, id);
        let mut new = Some(id);
        while let Some(one) = new {
            new = self.compare(one);
        }
        self.root(id)
    }
}

/// Glue with one blank for several, and none at the beginning of a line.
fn one_blank(glue: &str, is_first: bool) -> Box<str> {
    let mut was_blank = is_first;
    let kept = glue.chars().filter_map(|own| {
        let is_blank = own.is_ascii_whitespace() || own == '\x0b';
        let is_more = is_blank && was_blank;
        was_blank = is_blank;
        (!is_more).then_some(if is_blank { ' ' } else { own })
    });
    kept.collect::<String>().into()
}

#[cfg(test)]
mod tests;
