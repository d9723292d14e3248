//! The cgroups of the sandboxes: one is made ahead and ended ones are removed while nobody waits for anything.
//!
//! Making two directories and removing them is a tenth of a sandbox's time as root, and neither is anybody's to wait for. A
//! group is of one sandbox and never used again: what its processes left charged to it is nobody else's.
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::cgroup::{Control, Group, Joining};
use crate::message::Limits;
use crate::step::Refusal;

/// Made ahead: a command and the keeper beside it are asked for one after the other.
const AHEAD: usize = 2;
/// Until a group that the kernel was not done with is tried again, in the unit of epoll_wait.
const AGAIN_MS: i32 = 10;

pub struct Groups {
    control: Control,
    ahead: RefCell<VecDeque<(Group, Joining)>>,
    leaving: RefCell<VecDeque<Group>>,
    /// How many of `leaving`, from the front, were just found busy.
    busy: Cell<usize>,
    made: Cell<u64>,
    /// None could be made ahead: not tried again before somebody needs one, who is then told why.
    refused: Cell<bool>,
}

impl Groups {
    pub fn find() -> Self {
        Self {
            control: Control::find(),
            ahead: RefCell::default(),
            leaving: RefCell::default(),
            busy: Cell::new(0),
            made: Cell::new(0),
            refused: Cell::new(false),
        }
    }

    pub fn is_hard(&self) -> bool {
        self.control.is_hard()
    }

    /// A group with these limits; a process comes into it by [`Joining`], before it has done anything.
    pub fn make(&self, limits: &Limits) -> Result<(Option<Group>, Joining), Refusal> {
        self.refused.set(false);
        let ready = self.ahead.borrow_mut().pop_front();
        let made = match ready {
            Some(made) => Some(made),
            None => self.control.create(self.number())?,
        };
        let Some((group, joining)) = made else {
            return Ok((None, Joining::nothing()));
        };
        match group.limit(limits) {
            Ok(()) => Ok((Some(group), joining)),
            Err(refusal) => {
                self.leave(group);
                Err(refusal)
            }
        }
    }

    fn number(&self) -> u64 {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }

    /// Its sandbox has ended, or was never made.
    pub fn leave(&self, group: Group) {
        self.leaving.borrow_mut().push_back(group);
    }

    /// How long the launcher may wait before it should call [`Self::tidy`]; None when there is nothing to do.
    pub fn wait_ms(&self) -> Option<i32> {
        let leaving = self.leaving.borrow().len();
        if !self.is_hard() {
            None
        } else if self.busy.get() < leaving || self.wants_more() {
            Some(0)
        } else if leaving > 0 {
            Some(AGAIN_MS)
        } else {
            None
        }
    }

    fn wants_more(&self) -> bool {
        !self.refused.get() && self.ahead.borrow().len() < AHEAD
    }

    /// One step of what nobody waits for.
    pub fn tidy(&self) {
        if self.wants_more() {
            match self.control.create(self.number()) {
                Ok(made) => self.ahead.borrow_mut().extend(made),
                Err(_) => self.refused.set(true),
            }
            return;
        }
        let Some(group) = self.leaving.borrow_mut().pop_front() else {
            return;
        };
        if group.remove() {
            self.busy.set(0);
        } else {
            self.leave(group);
            let left = self.leaving.borrow().len();
            self.busy.set((self.busy.get() + 1).min(left));
        }
    }

    /// Removes what can be removed, and the directories that held the groups.
    pub fn remove(&self) {
        let ahead = self
            .ahead
            .borrow_mut()
            .drain(..)
            .map(|(group, _)| group)
            .collect::<Vec<_>>();
        for group in ahead.into_iter().chain(self.leaving.borrow_mut().drain(..)) {
            // One whose last process is still being taken down stays; the next launcher removes it.
            let _ = group.remove();
        }
        self.control.remove();
    }
}
