//! The arena: slots, and what the members of one batch share.
//!
//! A member is 56 bytes in its slot. Whatever would change it makes it a node of its own first, so a shape is never
//! anything but how its members were born; only an amendment of their parent changes whose budgets back it, for all.

use super::grow::promisers;
use super::{GrantTree, Key, Line, Node};
use crate::decision::GrantId;
use crate::rule::Spec;

#[derive(Debug)]
pub(super) enum Slot {
    Free,
    Full(Box<Node>),
    Member {
        id: GrantId,
        shape: u32,
        /// Where it stands among its parent's children.
        position: u32,
    },
}

#[derive(Debug)]
pub(super) struct Shape {
    /// A member but for its id.
    like: Node,
    members: u64,
}

impl GrantTree {
    pub(super) fn place(&self, grant: &GrantId) -> Option<u32> {
        self.by_id.find(grant, |slot| id_of(&self.slots, slot))
    }

    pub(super) fn key_at(&self, slot: u32) -> Option<Key> {
        let (generation, _) = self.slots.get(slot as usize)?;
        Some(Key {
            slot,
            generation: *generation,
        })
    }

    fn slot(&self, key: Key) -> Option<&Slot> {
        let (generation, slot) = self.slots.get(key.slot as usize)?;
        (*generation == key.generation).then_some(slot)
    }

    /// What the grant says and counts. Of a batch's member it is what all of them share: its `id` is not in it.
    pub(super) fn node(&self, key: Key) -> Option<&Node> {
        match self.slot(key)? {
            Slot::Free => None,
            Slot::Full(node) => Some(node),
            Slot::Member { shape, .. } => self.shapes.get(*shape as usize).map(|shape| &shape.like),
        }
    }

    /// The node, to be changed: a member becomes one of its own.
    pub(super) fn node_mut(&mut self, key: Key) -> Option<&mut Node> {
        if let &Slot::Member {
            id,
            shape,
            position,
        } = self.slot(key)?
        {
            let node = self.stand_alone(id, shape, position)?;
            self.slots.get_mut(key.slot as usize)?.1 = Slot::Full(Box::new(node));
        }
        match self.slots.get_mut(key.slot as usize) {
            Some((generation, Slot::Full(node))) if *generation == key.generation => Some(node),
            _ => None,
        }
    }

    fn stand_alone(&mut self, id: GrantId, shape: u32, position: u32) -> Option<Node> {
        let shared = self.shapes.get_mut(shape as usize)?;
        shared.members = shared.members.saturating_sub(1);
        let like = &shared.like;
        let node = Node {
            id,
            parent: like.parent,
            children: Vec::new(),
            position,
            spec: like.spec.clone(),
            lines: like.lines.iter().map(Line::as_born).collect(),
            next_rule: like.next_rule,
            agents: 0,
            ever: 0,
            revoked_ms: None,
            frozen: false,
        };
        if shared.members == 0 {
            self.free_shapes.push(shape);
        }
        Some(node)
    }

    pub(super) fn id(&self, key: Key) -> Option<GrantId> {
        self.slot(key)?;
        id_of(&self.slots, key.slot).copied()
    }

    pub(super) fn position(&self, key: Key) -> u32 {
        match self.slot(key) {
            Some(Slot::Full(node)) => node.position,
            Some(Slot::Member { position, .. }) => *position,
            _ => u32::MAX,
        }
    }

    pub(super) fn occupy(&mut self, grant: &GrantId, filled: Slot) -> Key {
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize].1 = filled;
            slot
        } else {
            self.slots.push((0, filled));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        };
        let slots = &self.slots;
        self.by_id.insert(grant, slot, |slot| id_of(slots, slot));
        Key {
            slot,
            generation: self.slots[slot as usize].0,
        }
    }

    pub(super) fn vacate(&mut self, grant: &GrantId, key: Key) {
        let slots = &self.slots;
        self.by_id.remove(grant, |slot| id_of(slots, slot));
        let entry = &mut self.slots[key.slot as usize];
        entry.1 = Slot::Free;
        // A slot whose generations are used up is left empty: a stale key must never find a new grant.
        if let Some(next) = entry.0.checked_add(1) {
            entry.0 = next;
            self.free.push(key.slot);
        }
    }

    /// Makes `child` the last of the parent's children.
    pub(super) fn join(&mut self, parent: Option<Key>, child: Key) {
        let Some(above) = parent.and_then(|above| self.node_mut(above)) else {
            return;
        };
        let last = u32::try_from(above.children.len()).unwrap_or(u32::MAX);
        above.children.push(child);
        self.stand_at(child, last);
    }

    /// Takes the child at that place away; the last one takes its place.
    pub(super) fn leave(&mut self, parent: Option<Key>, position: u32) {
        let Some(above) = parent.and_then(|above| self.node_mut(above)) else {
            return;
        };
        let place = position as usize;
        if place >= above.children.len() {
            return;
        }
        above.children.swap_remove(place);
        if let Some(moved) = above.children.get(place).copied() {
            self.stand_at(moved, position);
        }
    }

    fn stand_at(&mut self, child: Key, place: u32) {
        match self.slots.get_mut(child.slot as usize) {
            Some((_, Slot::Full(node))) => node.position = place,
            Some((_, Slot::Member { position, .. })) => *position = place,
            _ => {}
        }
    }

    pub(super) fn insert_members(&mut self, grants: &[GrantId], parent: Key, spec: Spec) {
        if grants.is_empty() {
            return;
        }
        let shape = Shape {
            like: self.make([0; 32], Some(parent), spec),
            members: grants.len() as u64,
        };
        let number = if let Some(free) = self.free_shapes.pop() {
            self.shapes[free as usize] = shape;
            free
        } else {
            self.shapes.push(shape);
            u32::try_from(self.shapes.len() - 1).unwrap_or(u32::MAX)
        };
        let slots = &self.slots;
        self.by_id.reserve(grants.len(), |slot| id_of(slots, slot));
        for grant in grants {
            let member = Slot::Member {
                id: *grant,
                shape: number,
                position: 0,
            };
            let key = self.occupy(grant, member);
            self.join(Some(parent), key);
        }
        self.promise_shape(number);
    }

    /// The children that are nodes of their own, and the shapes of all others.
    pub(super) fn brood(&self, parent: Key) -> (Vec<Key>, Vec<u32>) {
        let (mut own, mut shapes) = (Vec::new(), Vec::new());
        for child in self.node(parent).map_or(&[][..], |node| &node.children) {
            match self.slot(*child) {
                Some(Slot::Member { shape, .. }) => {
                    if shapes.last() != Some(shape) {
                        shapes.push(*shape);
                    }
                }
                _ => own.push(*child),
            }
        }
        shapes.sort_unstable();
        shapes.dedup();
        (own, shapes)
    }

    /// Links a shape's limited rules to the parent's that cover them, and promises what each member may use.
    pub(super) fn promise_shape(&mut self, shape: u32) {
        let Some(shared) = self.shapes.get(shape as usize) else {
            return;
        };
        let Some((above, holder)) = shared
            .like
            .parent
            .and_then(|key| Some((key, self.node(key)?)))
        else {
            return;
        };
        let links: Vec<Vec<u32>> = shared
            .like
            .lines
            .iter()
            .map(|line| promisers(holder, &line.rule))
            .collect();
        let amounts: Vec<u64> = shared
            .like
            .lines
            .iter()
            .map(|line| line.unspent())
            .collect();
        let members = shared.members;
        for (ids, amount) in links.iter().zip(amounts) {
            for id in ids {
                if let Some(line) = self
                    .node_mut(above)
                    .and_then(|node| node.lines.iter_mut().find(|line| line.id == *id))
                {
                    let budget = &mut line.counters.get_or_insert_default().budget;
                    budget.given = budget.given.saturating_add(amount.saturating_mul(members));
                }
            }
        }
        if let Some(shared) = self.shapes.get_mut(shape as usize) {
            for (line, ids) in shared.like.lines.iter_mut().zip(links) {
                line.promised_by = ids;
            }
        }
    }

    /// Gives what a shape's members were promised back: none of them has used anything.
    pub(super) fn unpromise_shape(&mut self, shape: u32) {
        let Some(shared) = self.shapes.get_mut(shape as usize) else {
            return;
        };
        let members = shared.members;
        let Some(above) = shared.like.parent else {
            return;
        };
        let back: Vec<(Vec<u32>, u64)> = shared
            .like
            .lines
            .iter_mut()
            .map(|line| (std::mem::take(&mut line.promised_by), line.unspent()))
            .collect();
        for (ids, amount) in back {
            for id in ids {
                let line = self
                    .node_mut(above)
                    .and_then(|node| node.lines.iter_mut().find(|line| line.id == id));
                if let Some(counters) = line.and_then(|line| line.counters.as_mut()) {
                    let back = amount.saturating_mul(members);
                    counters.budget.given = counters.budget.given.saturating_sub(back);
                }
            }
        }
    }
}

fn id_of(slots: &[(u32, Slot)], slot: u32) -> Option<&GrantId> {
    match &slots.get(slot as usize)?.1 {
        Slot::Free => None,
        Slot::Full(node) => Some(&node.id),
        Slot::Member { id, .. } => Some(id),
    }
}
