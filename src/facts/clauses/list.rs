//! Lists of phrases: which list a phrase continues.

use super::{
    lexeme::Tag,
    phrase::{PhraseShape, ROLES, Slot, View, is_work, shape, tail_name},
    predicate::Reader,
};

impl Reader<'_> {
    /// Adds a phrase: a new item, or one of a list.
    pub(super) fn add(&mut self, item: View) {
        let joined = self.joined;
        let is_region = joined && self.is_region(&item);
        let lexemes = self.lexemes;
        if self.found.slots.is_empty() {
            self.found.slots.push(Slot::default());
        }
        let own = shape(&item, self.lexemes);
        if is_region {
            if let Some(place) = self.last_item() {
                self.found.regions.push((tail_name(&place, lexemes), item));
            }
            return;
        }
        let last = self.found.slots.len() - 1;
        if joined && self.names_last(&item) {
            let slot = &mut self.found.slots[last];
            if let Some(before) = slot.examples.last_mut().or(slot.items.last_mut()) {
                before.extend(item);
            }
            return;
        }
        if let Some(of) = self.examples_of.filter(|of| self.continues(*of, &item)) {
            self.found.slots[of].examples.push(item);
            return;
        }
        if joined && self.ends_between(&item) {
            return;
        }
        if !joined && self.goes_on(&item) {
            return;
        }
        let slot = &self.found.slots[last];
        if !joined || slot.items.is_empty() {
            self.found.slots[last].items.push(item);
            return;
        }
        // The list whose items look like it: the nearest one, else one before.
        let place = (0..=last).rev().find(|place| {
            let slot = &self.found.slots[*place];
            slot.items.last().is_some_and(|before| {
                // `gold in 1990, silver in 1992`
                let is_number = |item: &View| lexemes[item[0]].tag == Tag::Number;
                (is_number(before) == is_number(&item) && shape(before, self.lexemes) == own)
                    || self
                        .inner(before)
                        .is_some_and(|at| shape(&before[at..], self.lexemes) == own)
            })
        });
        // `his ethic, commitment to excellence, and perspective`: the first list goes on.
        let begun = slot_with_list(&self.found.slots);
        let place = match begun {
            Some(begun) if begun < last && self.found.slots[last].items.len() == 1 => begun,
            _ => place.unwrap_or(last),
        };
        let before = self.found.slots[place].items.last().cloned().unwrap_or_default();
        let inner = self.inner(&before).filter(|at| {
            shape(&before, self.lexemes) != own && shape(&before[*at..], self.lexemes) == own
        });
        let item = match inner {
            Some(at) => [before[..at].to_vec(), item].concat(),
            None => item,
        };
        self.found.slots[place].items.push(item);
    }

    /// Adds a second object to the first: `gave Bo a book`, `called Bo a genius`.
    fn goes_on(&mut self, item: &[usize]) -> bool {
        let lexemes = self.lexemes;
        let quoted = |view: &[usize]| view.iter().any(|at| lexemes[*at].quoted());
        let slot = self.found.slots.last_mut().filter(|slot| slot.is_object());
        let Some(slot) = slot.filter(|slot| slot.examples.is_empty() && !quoted(item)) else {
            return false;
        };
        let before = slot.items.last_mut().filter(|before| !quoted(before));
        before.map(|before| before.extend(item)).is_some()
    }

    /// Adds the second end of what lies between two: `between 1990 and 1995` is one time.
    fn ends_between(&mut self, item: &[usize]) -> bool {
        let Some(slot) = self.found.slots.last_mut() else { return false };
        let between = slot.preposition.last().is_some_and(|at| self.lexemes[*at].is(&["between"]));
        let [begin] = &mut slot.items[..] else { return false };
        let (Some(from), Some(to)) = (begin.last().copied(), item.last().copied()) else {
            return false;
        };
        if between {
            begin.extend(self.view.iter().filter(|at| (from + 1..=to).contains(at)));
        }
        between
    }

    /// Whether a phrase is one more example in a slot, and no item of one after it.
    pub(super) fn continues(&self, of: usize, item: &[usize]) -> bool {
        let last = self.found.slots.len() - 1;
        let slot = &self.found.slots[of];
        if slot.examples.is_empty() {
            return true;
        }
        if last == of {
            return self.joined;
        }
        // After a preposition the next one of a list looks like the examples before.
        let alike = slot
            .examples
            .iter()
            .any(|example| self.lexemes[example[0]].word == self.lexemes[item[0]].word);
        let begun = !self.found.slots[last].items.is_empty();
        let other = self.found.slots[last]
            .items
            .last()
            .is_some_and(|before| shape(before, self.lexemes) != shape(item, self.lexemes));
        let shape = slot
            .examples
            .last()
            .is_some_and(|example| shape(example, self.lexemes) == shape(item, self.lexemes));
        self.joined && begun && (alike || (other && shape))
    }

    /// Whether a name after a comma is that of the work before: `the film, Ghost`.
    pub(super) fn names_last(&self, item: &[usize]) -> bool {
        let after_comma = self
            .view
            .iter()
            .position(|at| Some(at) == item.first())
            .is_some_and(|at| self.tag(at.wrapping_sub(1)) == Some(Tag::Comma));
        let Some(before) = self.last_item() else { return false };
        let singular = self.lexemes[before[0]].is(&["the", "a", "an"])
            || self.lexemes[before[0]].has(&[Tag::Owner, Tag::Number]);
        let last = &self.lexemes[*before.last().unwrap_or(&before[0])];
        let noun = last.tag == Tag::Word && (singular || last.word.ends_with('s'));
        let listed = self.tag(self.at) == Some(Tag::And)
            || (self.tag(self.at) == Some(Tag::Comma)
                && matches!(self.tag(self.at + 1), Some(Tag::Name | Tag::And | Tag::Number)));
        let is_one = self.lexemes[before[0]].is(&["the"]) && !last.word.ends_with('s');
        after_comma
            && noun
            && !listed
            && shape(item, self.lexemes) == PhraseShape::Name
            && (is_one || is_work(&[*before.last().unwrap_or(&before[0])], self.lexemes))
    }

    /// Where the last phrase inside of one begins: `the role of Ann` at `Ann`.
    pub(super) fn inner(&self, item: &[usize]) -> Option<usize> {
        let tie = item.iter().rposition(|at| {
            self.lexemes[*at].is(&["of"]) || self.lexemes[*at].tag == Tag::Gerund
        })?;
        (tie + 1 < item.len()).then_some(tie + 1)
    }

    /// Whether a name after a comma is where the place before lies: `Oslo, Norway`.
    pub(super) fn is_region(&self, item: &[usize]) -> bool {
        let comma = item.first().is_some_and(|first| {
            self.view.iter().position(|at| at == first).is_some_and(|at| {
                self.tag(at.wrapping_sub(1)) == Some(Tag::Comma)
                    && !(at > 1 && self.tag(at - 2) == Some(Tag::Comma))
            })
        });
        let names =
            item.iter().all(|at| self.lexemes[*at].tag == Tag::Name && !self.lexemes[*at].quoted());
        // In a list an `and` follows.
        let after = self.view[self.at..].iter().take_while(|at| {
            !self.lexemes[**at].has(&[Tag::Preposition, Tag::Relative, Tag::Verb])
        });
        let listed = after.clone().any(|at| self.lexemes[*at].tag == Tag::And)
            && self.tag(self.at) == Some(Tag::Comma);
        let next_and = self.tag(self.at) == Some(Tag::And);
        let placed = self.found.slots.last().is_some_and(|slot| {
            let by = slot.preposition.last().map(|at| &self.lexemes[*at]);
            let place = slot.examples.last().or(slot.items.last());
            let named = place.and_then(|item| item.last()).is_some_and(|at| {
                self.lexemes[*at].tag == Tag::Name && !self.lexemes[*at].quoted()
            });
            named
                && by.is_some_and(|by| by.is(&["in", "at", "near", "from", "to", "of", "outside"]))
                || named && slot.items.len() == 1 && slot.examples.is_empty() && item.len() <= 2
        });
        let role = item.last().is_some_and(|at| self.lexemes[*at].is(ROLES));
        let tied = self.lexeme(self.at).is_some_and(|next| next.is(&["of", "to", "for"]));
        comma && names && placed && !role && !tied && !listed && (!next_and || self.verb_follows())
    }

    /// Whether a verb comes after the `and` that stands here.
    pub(super) fn verb_follows(&self) -> bool {
        matches!(self.tag(self.at + 1), Some(Tag::Verb | Tag::Be | Tag::Auxiliary | Tag::Gerund))
    }
}

/// The last slot with a list.
fn slot_with_list(slots: &[Slot]) -> Option<usize> {
    slots.iter().rposition(|slot| slot.items.len() > 1)
}
