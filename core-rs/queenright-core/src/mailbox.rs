//! A bounded mailbox with two lanes. A full one hands the message back; nothing is dropped here.
use std::collections::VecDeque;

use crate::agent_id::AgentId;

/// What every mailbox of a scheduler may hold. `messages` and `bytes` bound the ordinary lane; `reserved` is how many
/// stop, timer, operator and reply messages fit on top of it, so that a flood cannot keep them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub messages: usize,
    pub bytes: usize,
    pub reserved: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Ordinary,
    /// Own slots, and handed out before the ordinary lane: a stop overtakes what waits.
    Reserved,
}

/// A message with the sender that the core stamped on it. `size` is what it counts against the bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter<M> {
    pub sender: AgentId,
    pub size: usize,
    pub message: M,
}

#[derive(Debug)]
pub struct Mailbox<M> {
    reserved: VecDeque<Letter<M>>,
    ordinary: VecDeque<Letter<M>>,
    bytes: usize,
}

impl<M> Default for Mailbox<M> {
    fn default() -> Self {
        Self {
            reserved: VecDeque::new(),
            ordinary: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<M> Mailbox<M> {
    pub fn len(&self) -> usize {
        self.reserved.len() + self.ordinary.len()
    }

    pub fn is_empty(&self) -> bool {
        self.reserved.is_empty() && self.ordinary.is_empty()
    }

    /// Bytes waiting in both lanes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn has_reserved_slot(&self, bounds: &Bounds) -> bool {
        self.reserved.len() < bounds.reserved
    }

    /// Queue a letter, or hand it back. A message larger than the whole mailbox never fits.
    pub fn push(
        &mut self,
        letter: Letter<M>,
        lane: Lane,
        bounds: &Bounds,
    ) -> Result<(), Letter<M>> {
        let queue = match lane {
            Lane::Reserved if self.reserved.len() >= bounds.reserved => return Err(letter),
            Lane::Ordinary if self.ordinary.len() >= bounds.messages => return Err(letter),
            Lane::Ordinary if self.bytes.saturating_add(letter.size) > bounds.bytes => {
                return Err(letter);
            }
            Lane::Reserved => &mut self.reserved,
            Lane::Ordinary => &mut self.ordinary,
        };
        self.bytes = self.bytes.saturating_add(letter.size);
        queue.push_back(letter);
        Ok(())
    }

    pub fn pop(&mut self) -> Option<Letter<M>> {
        let letter = self
            .reserved
            .pop_front()
            .or_else(|| self.ordinary.pop_front())?;
        self.bytes = self.bytes.saturating_sub(letter.size);
        Some(letter)
    }

    /// Give back room for more than `keep` letters in each lane.
    pub fn shrink(&mut self, keep: usize) {
        for queue in [&mut self.reserved, &mut self.ordinary] {
            if queue.capacity() > keep {
                queue.shrink_to(keep);
            }
        }
    }

    /// Everything that waits, in the order it would have been handed out.
    #[cfg(test)]
    fn drain(self) -> impl Iterator<Item = Letter<M>> {
        self.reserved.into_iter().chain(self.ordinary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        messages: 2,
        bytes: 10,
        reserved: 1,
    };

    fn letter(message: u32, size: usize) -> Letter<u32> {
        Letter {
            sender: AgentId::RUNTIME,
            size,
            message,
        }
    }

    #[test]
    fn full_mailbox_hands_the_message_back() {
        let mut mailbox = Mailbox::default();
        mailbox.push(letter(1, 1), Lane::Ordinary, &BOUNDS).unwrap();
        mailbox.push(letter(2, 1), Lane::Ordinary, &BOUNDS).unwrap();
        assert_eq!(
            mailbox.push(letter(3, 1), Lane::Ordinary, &BOUNDS),
            Err(letter(3, 1))
        );
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let mut mailbox = Mailbox::default();
        assert!(
            mailbox
                .push(letter(1, 11), Lane::Ordinary, &BOUNDS)
                .is_err()
        );
        mailbox
            .push(letter(1, 10), Lane::Ordinary, &BOUNDS)
            .unwrap();
        assert!(mailbox.push(letter(2, 1), Lane::Ordinary, &BOUNDS).is_err());
        assert!(mailbox.pop().is_some());
        assert_eq!(mailbox.bytes(), 0);
        mailbox.push(letter(2, 1), Lane::Ordinary, &BOUNDS).unwrap();
    }

    #[test]
    fn flood_cannot_keep_a_reserved_message_out_and_stop_overtakes_it() {
        let mut mailbox = Mailbox::default();
        mailbox.push(letter(1, 5), Lane::Ordinary, &BOUNDS).unwrap();
        mailbox.push(letter(2, 5), Lane::Ordinary, &BOUNDS).unwrap();
        mailbox.push(letter(9, 5), Lane::Reserved, &BOUNDS).unwrap();
        assert!(
            mailbox
                .push(letter(10, 0), Lane::Reserved, &BOUNDS)
                .is_err()
        );
        assert_eq!(mailbox.pop().map(|l| l.message), Some(9));
        assert_eq!(
            mailbox.drain().map(|l| l.message).collect::<Vec<_>>(),
            [1, 2]
        );
    }
}
