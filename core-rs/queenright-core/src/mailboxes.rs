//! The mailboxes that hold something. An agent with an empty one has none, so a million sleepers cost no queues.
use std::num::NonZeroU32;

use crate::mailbox::{Bounds, Lane, Letter, Mailbox};

/// Queues longer than this are given back to the allocator when they are empty.
const KEEP: usize = 64;

/// Names one mailbox of the pool until it is emptied. One more than its index, so that having none costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(NonZeroU32);

impl Place {
    fn of(index: usize) -> Option<Self> {
        u32::try_from(index + 1)
            .ok()
            .and_then(NonZeroU32::new)
            .map(Self)
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

#[derive(Debug)]
pub struct Mailboxes<M> {
    boxes: Vec<Mailbox<M>>,
    free: Vec<Place>,
    bounds: Bounds,
}

impl<M> Mailboxes<M> {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            boxes: Vec::new(),
            free: Vec::new(),
            bounds,
        }
    }

    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Queue a letter for whoever has `place`, making a mailbox where there was none; or hand it back.
    pub fn push(
        &mut self,
        place: &mut Option<Place>,
        letter: Letter<M>,
        lane: Lane,
    ) -> Result<(), Letter<M>> {
        let at = match place.or_else(|| self.free.pop()) {
            Some(at) => at,
            None => {
                let Some(at) = Place::of(self.boxes.len()) else {
                    return Err(letter);
                };
                self.boxes.push(Mailbox::default());
                at
            }
        };
        let Some(mailbox) = self.boxes.get_mut(at.index()) else {
            return Err(letter);
        };
        let pushed = mailbox.push(letter, lane, &self.bounds);
        if pushed.is_ok() {
            *place = Some(at);
        } else if place.is_none() {
            self.free.push(at);
        }
        pushed
    }

    pub fn pop(&mut self, place: &mut Option<Place>) -> Option<Letter<M>> {
        let at = (*place)?;
        let mailbox = self.boxes.get_mut(at.index())?;
        let letter = mailbox.pop();
        if mailbox.is_empty() {
            mailbox.shrink(KEEP);
            self.free.push(at);
            *place = None;
        }
        letter
    }

    /// Everything that waits, in the order it would have been handed out.
    pub fn drain(&mut self, place: &mut Option<Place>) -> Vec<Letter<M>> {
        let mut out = Vec::with_capacity(self.len(*place));
        while let Some(letter) = self.pop(place) {
            out.push(letter);
        }
        out
    }

    fn get(&self, place: Option<Place>) -> Option<&Mailbox<M>> {
        place.and_then(|at| self.boxes.get(at.index()))
    }

    pub fn len(&self, place: Option<Place>) -> usize {
        self.get(place).map_or(0, Mailbox::len)
    }

    pub fn bytes(&self, place: Option<Place>) -> usize {
        self.get(place).map_or(0, Mailbox::bytes)
    }

    pub fn has_reserved_slot(&self, place: Option<Place>) -> bool {
        self.get(place)
            .is_none_or(|mailbox| mailbox.has_reserved_slot(&self.bounds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent_id::AgentId;

    fn letter(message: u32) -> Letter<u32> {
        Letter {
            sender: AgentId::RUNTIME,
            size: 1,
            message,
        }
    }

    #[test]
    fn emptied_mailbox_goes_to_the_next_who_needs_one() {
        let mut boxes = Mailboxes::new(Bounds {
            messages: 2,
            bytes: 10,
            reserved: 1,
        });
        let (mut one, mut two) = (None, None);
        boxes.push(&mut one, letter(1), Lane::Ordinary).unwrap();
        assert_eq!(boxes.pop(&mut one).map(|l| l.message), Some(1));
        assert_eq!(one, None);
        boxes.push(&mut two, letter(2), Lane::Ordinary).unwrap();
        boxes.push(&mut one, letter(3), Lane::Ordinary).unwrap();
        assert_eq!(boxes.boxes.len(), 2);
        assert_ne!(one, two);
        assert_eq!(boxes.drain(&mut two).len(), 1);
        assert_eq!(boxes.len(one), 1);
    }

    #[test]
    fn refused_letter_leaves_no_mailbox_behind() {
        let mut boxes = Mailboxes::new(Bounds {
            messages: 1,
            bytes: 0,
            reserved: 0,
        });
        let mut place = None;
        for _ in 0..3 {
            assert!(boxes.push(&mut place, letter(1), Lane::Ordinary).is_err());
        }
        assert_eq!((place, boxes.boxes.len()), (None, 1));
    }
}
