//! Undoing: the changes that put earlier marks back, and what stands against them.
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;

use super::beneath::{Cursor, names};
use super::change::{Change, join, split};
use super::error::{Error, Kind, Result, shown};
use super::live;
use super::log::Log;
use super::mark::Mark;
use super::record::MAX_CHANGES;

/// Conflicts that a message names; the rest are counted.
const NAMED: usize = 5;

/// What putting a path back starts from and ends in.
pub struct Wish {
    pub expected: Option<Mark>,
    pub wanted: Option<Mark>,
}

pub type Wishes = BTreeMap<Vec<u8>, Wish>;

/// For every path that the versions after `first` changed: what it is now, by them, and what it was at `first`.
pub fn back_to(log: &Log, first: u64, head: u64) -> Result<Wishes> {
    let mut wishes = Wishes::new();
    for number in (first + 1..=head).rev() {
        for change in log.record(number)?.changes {
            match wishes.get_mut(&change.path) {
                Some(wish) => wish.wanted = change.before,
                None => {
                    let (expected, wanted) = (change.after, change.before);
                    wishes.insert(change.path, Wish { expected, wanted });
                }
            }
            if wishes.len() > MAX_CHANGES {
                let why = format!("more than {MAX_CHANGES} paths changed since version {first}");
                return Err(Error::malformed(why).hint("go back in smaller steps"));
            }
        }
    }
    Ok(wishes)
}

/// For every path that one version changed: what it left, and what was before.
pub fn inverse(log: &Log, number: u64) -> Result<Wishes> {
    let changes = log.record(number)?.changes;
    Ok(changes
        .into_iter()
        .map(|change| {
            let (expected, wanted) = (change.after, change.before);
            (change.path, Wish { expected, wanted })
        })
        .collect())
}

/// The changes that fulfil `wishes`. Raises `Conflict` when a path is no longer what is expected of it, naming the
/// version that changed it since; nothing has been touched then.
pub fn changes(
    log: &Log,
    place: &mut Cursor<'_>,
    wishes: Wishes,
    since: u64,
    head: u64,
) -> Result<Vec<Change>> {
    let mut odd: Vec<Vec<u8>> = Vec::new();
    let mut found = Vec::new();
    for (path, wish) in &wishes {
        let now = live::mark_at(place, path)?;
        if !agree(now.as_ref(), wish.expected.as_ref())
            || (wish.wanted.is_some() && !stands(place, &wishes, path)?)
        {
            odd.push(path.clone());
            continue;
        }
        let emptied = now.as_ref().is_some_and(Mark::is_directory)
            && !wish.wanted.as_ref().is_some_and(Mark::is_directory);
        if emptied {
            odd.extend(others_in(place, &wishes, path)?);
        }
        if now != wish.wanted {
            found.push(Change {
                path: path.clone(),
                before: now,
                after: wish.wanted.clone(),
            });
        }
    }
    match odd.is_empty() {
        true => Ok(found),
        false => Err(conflict(log, &odd, since, head)?),
    }
}

fn agree(one: Option<&Mark>, other: Option<&Mark>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.same(other),
        (None, None) => true,
        _ => false,
    }
}

/// Will there be a directory for `path` to lie in?
fn stands(place: &mut Cursor<'_>, wishes: &Wishes, path: &[u8]) -> Result<bool> {
    let (parent, _) = split(path);
    if let Some(wish) = wishes.get(parent) {
        return Ok(wish.wanted.as_ref().is_some_and(Mark::is_directory));
    }
    Ok(live::parent_of(place, parent)?.is_some())
}

/// What lies in a directory that is to go and is not to go with it: somebody put it there since.
fn others_in(place: &mut Cursor<'_>, wishes: &Wishes, path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let Some(here) = live::parent_of(place, path)? else {
        return Ok(Vec::new());
    };
    let inside = names(here.as_fd(), MAX_CHANGES)?;
    Ok(inside
        .into_iter()
        .map(|name| join(path, &name))
        .filter(|full| wishes.get(full).is_none_or(|wish| wish.wanted.is_some()))
        .collect())
}

fn conflict(log: &Log, odd: &[Vec<u8>], since: u64, head: u64) -> Result<Error> {
    let named: BTreeSet<&[u8]> = odd.iter().take(NAMED).map(Vec::as_slice).collect();
    let mut by: BTreeMap<&[u8], u64> = BTreeMap::new();
    for number in (since + 1..=head).rev() {
        let record = log.record(number)?;
        for change in &record.changes {
            if let Some(path) = named.get(change.path.as_slice()) {
                by.entry(path).or_insert(number);
            }
        }
    }
    let said: Vec<String> = named
        .iter()
        .map(|path| match by.get(path) {
            Some(number) => format!("{} was changed since, by version {number}", shown(path)),
            None => format!("{} was changed since", shown(path)),
        })
        .collect();
    let more = match odd.len().saturating_sub(NAMED) {
        0 => String::new(),
        count => format!("; and {count} more"),
    };
    Ok(
        Error::new(Kind::Conflict, format!("{}{more}", said.join("; ")))
            .hint("undo the later version first"),
    )
}
