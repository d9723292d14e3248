//! Who may write to whom: a bit for each pair of behaviours, and who wrote lately. What kin is, the caller knows.
use std::collections::HashMap;

use crate::agent_id::AgentId;

/// Who wrote may be answered for an hour.
pub const ANSWER_MS: u64 = 3_600_000;
/// Senders remembered for answering; beyond it reach is narrower, never wider.
const HEARD: usize = 1000;

/// Pairs of behaviours, sender first, by the index that whoever keeps the behaviours gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    rows: Vec<Vec<u64>>,
}

impl Talk {
    pub fn allow(&mut self, sender: u16, target: u16) {
        let (row, word) = (usize::from(sender), usize::from(target) / 64);
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Vec::new);
        }
        if let Some(row) = self.rows.get_mut(row) {
            if row.len() <= word {
                row.resize(word + 1, 0);
            }
            if let Some(word) = row.get_mut(word) {
                *word |= 1 << (target % 64);
            }
        }
    }

    /// False for a pair that was never allowed.
    pub fn allows(&self, sender: u16, target: u16) -> bool {
        self.rows
            .get(usize::from(sender))
            .and_then(|row| row.get(usize::from(target) / 64))
            .is_some_and(|word| word >> (target % 64) & 1 == 1)
    }
}

/// Who wrote to one agent and when, in the ms of whatever clock the caller reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    at: HashMap<AgentId, u64>,
}

impl Heard {
    pub fn note(&mut self, sender: AgentId, now_ms: u64) {
        if self.at.len() >= HEARD {
            self.forget(now_ms);
            if self.at.len() >= HEARD && !self.at.contains_key(&sender) {
                return;
            }
        }
        self.at.insert(sender, now_ms);
    }

    pub fn lately(&self, sender: &AgentId, now_ms: u64) -> bool {
        self.at
            .get(sender)
            .is_some_and(|at| now_ms.saturating_sub(*at) <= ANSWER_MS)
    }

    /// Drop what is too old to count; whether nothing is left.
    pub fn forget(&mut self, now_ms: u64) -> bool {
        self.at
            .retain(|_, at| now_ms.saturating_sub(*at) <= ANSWER_MS);
        self.at.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_that_were_allowed_may_talk_and_only_in_that_direction() {
        let mut talk = Talk::default();
        talk.allow(0, 130);
        talk.allow(3, 3);
        assert!(talk.allows(0, 130) && talk.allows(3, 3));
        for (sender, target) in [(130, 0), (0, 129), (0, 66), (1, 130), (9, 9)] {
            assert!(!talk.allows(sender, target), "{sender} to {target}");
        }
    }

    #[test]
    fn who_wrote_is_answered_for_an_hour() {
        let mut heard = Heard::default();
        let who = AgentId([1; 32]);
        heard.note(who, 5);
        assert!(heard.lately(&who, 5 + ANSWER_MS));
        assert!(!heard.lately(&who, 6 + ANSWER_MS));
        assert!(!heard.lately(&AgentId([2; 32]), 5));
        assert!(heard.forget(6 + ANSWER_MS));
    }

    #[test]
    fn a_crowd_of_writers_narrows_reach_and_takes_no_more_room() {
        let mut heard = Heard::default();
        for n in 0..2 * HEARD {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(n as u64).to_le_bytes());
            heard.note(AgentId(id), 1);
        }
        assert_eq!(heard.at.len(), HEARD);
        let mut last = [0; 32];
        last[..8].copy_from_slice(&(2 * HEARD as u64 - 1).to_le_bytes());
        assert!(!heard.lately(&AgentId(last), 1));
    }
}
