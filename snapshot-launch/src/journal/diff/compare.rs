//! Compares two moments, thing by thing that has a record between them.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::moment::{Directory, Moment, State};
use crate::journal::records::{Level, Name};
use crate::journal::stat::{FileId, Kind, Stat};
use crate::journal::store::PREFIX;
use crate::journal::sys;
use crate::talk::file_changes::{Change, FileChange, Text};

/// So many paths are listed.
const MOST: usize = 20_000;
/// The longest text that is shown, and the sum of all.
const LONGEST_TEXT: u64 = 512 * 1024;
const ALL_TEXT: u64 = 8 * 1024 * 1024;
/// Files up to this size are read to see whether they differ. Of larger ones the times decide.
const COMPARED: u64 = 4 * 1024 * 1024;

/// What differs between the takes of two levels, with texts if they are wanted. The index
/// behind the last level is live. The flag says whether there is more.
pub(crate) fn compare(
    levels: &[Level],
    from: usize,
    to: usize,
    with_text: bool,
) -> (Vec<FileChange>, bool) {
    let mut comparison = Comparison {
        before: Moment::new(levels, from),
        now: Moment::new(levels, to),
        changes: Vec::new(),
        text_left: if with_text { ALL_TEXT } else { 0 },
        with_text,
        is_cut: false,
    };
    let between = levels.get(from..to.min(levels.len())).unwrap_or_default();
    let named = comparison.compare_names(between);
    comparison.compare_objects(between, &named);
    let Comparison {
        mut changes,
        is_cut,
        ..
    } = comparison;
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    (changes, is_cut)
}

/// An object at one moment, with its path.
struct Side {
    path: PathBuf,
    id: FileId,
    pin: Option<OwnedFd>,
    state: Option<State>,
}

struct Comparison<'a> {
    before: Moment<'a>,
    now: Moment<'a>,
    changes: Vec<FileChange>,
    text_left: u64,
    with_text: bool,
    is_cut: bool,
}

impl Comparison<'_> {
    /// Names that lead somewhere else. Returns the objects that are named in a change.
    fn compare_names(&mut self, between: &[Level]) -> HashSet<FileId> {
        let mut seen: HashSet<(FileId, &Name)> = HashSet::new();
        let mut named = HashSet::new();
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for level in between {
            for object in level.objects.values() {
                if object.entries.is_empty() || self.before.lacks(object.id) {
                    continue;
                }
                let Some(fd) = self.now.reach(object.id, None) else {
                    continue;
                };
                let dir = Directory { id: object.id, fd };
                for name in object.entries.keys() {
                    if !seen.insert((object.id, name)) {
                        continue;
                    }
                    let before = self.before.entry(&dir, name.as_os());
                    let now = self.now.entry(&dir, name.as_os());
                    if before == now {
                        continue;
                    }
                    let before = before.map(|id| self.side(id, &dir, name.as_os(), false));
                    let now = now.map(|id| self.side(id, &dir, name.as_os(), true));
                    match (before, now) {
                        (Some(before), Some(now)) => {
                            named.extend([before.id, now.id]);
                            self.add(Change::Changed, Some(&before), Some(&now));
                        }
                        (Some(before), None) => removed.push(before),
                        (None, Some(now)) => added.push(now),
                        (None, None) => {}
                    }
                }
            }
        }
        let mut gone: HashMap<FileId, Vec<Side>> = HashMap::new();
        for side in removed {
            named.insert(side.id);
            gone.entry(side.id).or_default().push(side);
        }
        for now in added {
            named.insert(now.id);
            match gone.get_mut(&now.id).and_then(Vec::pop) {
                Some(before) => self.add(Change::Renamed, Some(&before), Some(&now)),
                None => self.add_whole(&now),
            }
        }
        for before in gone.into_values().flatten() {
            self.add(Change::Removed, Some(&before), None);
        }
        named
    }

    /// A new thing, with all below.
    fn add_whole(&mut self, now: &Side) {
        self.add(Change::Added, None, Some(now));
        let is_directory = now.state.is_some_and(|state| state.kind == Kind::Directory);
        let Some(fd) = now.pin.as_ref().filter(|_| is_directory) else {
            return;
        };
        let Ok(fd) = fd.try_clone() else { return };
        let dir = Directory { id: now.id, fd };
        for (name, id) in self.now.entries(&dir) {
            // An old one that has moved here has a record where it was.
            let is_old = !self.before.lacks(id) && !self.before.names_of(id).is_empty();
            if self.is_cut || is_old {
                continue;
            }
            let pin = self.now.reach(id, Some((&dir, name.as_os())));
            let side = Side {
                path: now.path.join(name.as_os()),
                id,
                state: self.now.state(id, pin.as_ref().map(AsFd::as_fd)),
                pin,
            };
            self.add_whole(&side);
        }
    }

    fn side(&self, id: FileId, dir: &Directory, name: &OsStr, is_now: bool) -> Side {
        let moment = if is_now { &self.now } else { &self.before };
        let pin = moment.reach(id, Some((dir, name)));
        let parent = moment
            .path(dir.id)
            .unwrap_or_else(|| sys::path_of(dir.fd.as_fd()));
        Side {
            path: parent.join(name),
            id,
            state: moment.state(id, pin.as_ref().map(AsFd::as_fd)),
            pin,
        }
    }

    /// Objects that are where they were, with another content or other properties.
    fn compare_objects(&mut self, between: &[Level], named: &HashSet<FileId>) {
        let mut seen = HashSet::new();
        for level in between {
            for object in level.objects.values() {
                let id = object.id;
                if named.contains(&id) || self.before.lacks(id) || !seen.insert(id) {
                    continue;
                }
                let Some(pin) = self.now.reach(id, None) else {
                    continue;
                };
                let Some(path) = self.path_of_object(id, &pin) else {
                    continue;
                };
                let side = |moment: &Moment<'_>| Side {
                    path: path.clone(),
                    id,
                    state: moment.state(id, Some(pin.as_fd())),
                    pin: pin.try_clone().ok(),
                };
                let (before, now) = (side(&self.before), side(&self.now));
                self.add(Change::Changed, Some(&before), Some(&now));
            }
        }
    }

    /// `None` if it has no name any more.
    fn path_of_object(&self, id: FileId, pin: &OwnedFd) -> Option<PathBuf> {
        if let Some((dir, name)) = self.now.names_of(id).first() {
            return Some(self.now.path(*dir)?.join(name.as_os()));
        }
        let path = sys::path_of(pin.as_fd());
        if path
            .iter()
            .any(|name| name.as_bytes().starts_with(PREFIX.as_bytes()))
        {
            return None;
        }
        let dir = sys::pin_directory(path.parent()?).ok()?;
        let there = Stat::of(dir.as_fd(), path.file_name()?).ok()??;
        (there.id == id).then_some(path)
    }

    fn add(&mut self, change: Change, before: Option<&Side>, now: Option<&Side>) {
        if self.changes.len() >= MOST {
            self.is_cut = true;
            return;
        }
        let state = |side: Option<&Side>| side.and_then(|side| side.state);
        let (was, is) = (state(before), state(now));
        if change == Change::Changed
            && let (Some(was), Some(is), Some(before), Some(now)) = (was, is, before, now)
            && self.is_same(before, &was, now, &is)
        {
            return;
        }
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let Some(side) = now.or(before) else { return };
        let size = |state: Option<State>| {
            let state = state.filter(|state| state.kind != Kind::Directory);
            state.map(|state| state.size)
        };
        let mode = |state: Option<State>| state.map(|state| format!("{:06o}", state.mode));
        self.changes.push(FileChange {
            path: shown(&side.path),
            change,
            renamed_from: before
                .filter(|_| change == Change::Renamed)
                .map(|before| shown(&before.path)),
            size_before: size(was),
            size_now: size(is),
            mode_before: mode(was),
            mode_now: mode(is),
            text: None,
        });
        if self.with_text {
            let text = self.text(before, now);
            if let Some(change) = self.changes.last_mut() {
                change.text = text;
            }
        }
    }

    fn is_same(&self, before: &Side, was: &State, now: &Side, is: &State) -> bool {
        if was.mode != is.mode || was.owner != is.owner {
            return false;
        }
        if was.kind == Kind::Directory {
            return before.id == now.id;
        }
        if was.size != is.size {
            return false;
        }
        if before.id == now.id && was.modified == is.modified {
            return true;
        }
        if was.size > COMPARED {
            return false;
        }
        if !matches!(was.kind, Kind::File | Kind::Symlink) {
            return before.id == now.id;
        }
        let bytes = |moment: &Moment<'_>, side: &Side, state: &State| {
            let pin = side.pin.as_ref().map(AsFd::as_fd);
            moment.bytes(side.id, pin, state.size).ok()
        };
        let old = bytes(&self.before, before, was);
        old.is_some() && old == bytes(&self.now, now, is)
    }

    /// The texts of a file; `None` if it is none, or only its properties differ.
    fn text(&mut self, before: Option<&Side>, now: Option<&Side>) -> Option<Text> {
        let sides = [(&self.before, before), (&self.now, now)];
        let mut texts = Vec::new();
        for (moment, side) in sides {
            let Some(side) = side else {
                texts.push(String::new());
                continue;
            };
            let state = side.state.filter(|state| state.kind == Kind::File)?;
            if state.size > LONGEST_TEXT || state.size > self.text_left {
                return Some(Text::Large);
            }
            let pin = side.pin.as_ref().map(AsFd::as_fd);
            let bytes = moment.bytes(side.id, pin, state.size).ok()?;
            match String::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => texts.push(text),
                _ => return Some(Text::Binary),
            }
        }
        let length: usize = texts.iter().map(String::len).sum();
        self.text_left = self.text_left.saturating_sub(length as u64);
        let [before, now] = <[String; 2]>::try_from(texts).ok()?;
        (before != now).then_some(Text::Of { before, now })
    }
}
