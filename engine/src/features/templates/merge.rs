//! Templates that turn out to be one.

use super::evidence::needed;
use super::hash::{VALUE, value_at, word_at};
use super::{MASK, Piece, Template, Templates};

/// Sets of places that are looked up without their words, for lines of a length. A merge that would need one more does not happen.
const MOST_MASKS: usize = 32;
/// Templates that differ at one place and are remembered for it: more than evidence ever needs.
const MOST_ALIKE: usize = 32;
/// Places remembered for a template that may be issued, on average.
const PLACES: usize = 16;

/// The places in a set, in order.
pub(super) fn places(mut mask: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (place < 128).then_some(place)
    })
}

impl Templates {
    pub(super) fn push(&mut self, pieces: Vec<Piece>, tail: Box<str>, sum: u64) -> u32 {
        let id = self.templates.len() as u32;
        self.templates.push(Template {
            pieces,
            tail,
            sum,
            merged: 0,
            parent: id,
            count: 0,
        });
        self.live += 1;
        id
    }

    /// The template of what is too much.
    pub(super) fn overflow(&mut self) -> u32 {
        if let Some(id) = self.catch_all {
            return id;
        }
        let id = self.push(Vec::new(), MASK.into(), 0);
        self.catch_all = Some(id);
        id
    }

    /// Remembers a template for each of its places, and merges it with those that differ there alone once that is evident.
    /// Returns what came out of it, to be compared in turn. O(words * templates alike), once a template.
    pub(super) fn compare(&mut self, id: u32) -> Option<u32> {
        let room = self.config.max_templates.saturating_mul(PLACES);
        for place in 0..self.templates[id as usize].pieces.len() {
            let template = &self.templates[id as usize];
            let piece = &template.pieces[place];
            if !piece.is_value && !piece.is_word() {
                continue;
            }
            let Some(key) = template.without(place) else {
                continue;
            };
            if self.alike.len() >= room && !self.alike.contains_key(&key) {
                continue;
            }
            let alike = self.alike.entry(key).or_default();
            // Some were merged since they came here.
            alike.retain(|other| {
                let own = &self.templates[*other as usize];
                own.parent == *other && *other != id && own.without(place) == Some(key)
            });
            if alike.len() < MOST_ALIKE {
                alike.push(id);
            }
            if alike.len() < 2 {
                continue;
            }
            let members: Vec<&Template> = alike.iter().map(|id| &self.templates[*id as usize]).collect();
            let is_evident = needed(&members, place).is_some_and(|needed| alike.len() >= needed);
            if is_evident && let Some(merged) = self.merge(key, place) {
                return Some(merged);
            }
        }
        None
    }

    /// Makes one of all templates that differ at `place` alone: the first of them.
    fn merge(&mut self, key: u64, place: usize) -> Option<u32> {
        let mut members = self.alike.get(&key)?.clone();
        let first = &self.templates[*members.first()? as usize];
        let words = first.pieces.len();
        let sum = first
            .sum
            .wrapping_sub(first.pieces[place].part)
            .wrapping_add(value_at(place));
        // One that has a value there already.
        if let Some(known) = self.by_sum.get(&sum).filter(|known| !members.contains(known)) {
            members.push(*known);
        }
        let own = members.iter().map(|id| self.templates[*id as usize].merged);
        let mask = own.fold(1 << place, |all, own| all | own);
        let masks = &mut self.masks[words];
        if !masks.contains(&mask) {
            if masks.len() >= MOST_MASKS {
                return None;
            }
            masks.push(mask);
            masks.sort_by_key(|mask| mask.count_ones());
        }
        self.alike.remove(&key);
        let target = members.iter().copied().min()?;
        let mut count = 0;
        for id in &members {
            let member = &mut self.templates[*id as usize];
            count += std::mem::take(&mut member.count);
            member.parent = target;
            self.by_sum.remove(&member.sum);
            if *id != target {
                // It is known by the other's text from now on.
                member.pieces = Vec::new();
                member.tail = Box::default();
            }
        }
        self.live -= members.len() - 1;
        let template = &mut self.templates[target as usize];
        template.count = count;
        template.sum = sum;
        template.merged = mask;
        let piece = &mut template.pieces[place];
        piece.text = MASK.into();
        piece.is_value = true;
        piece.part = word_at(VALUE, place);
        self.by_sum.insert(sum, target);
        Some(target)
    }
}
