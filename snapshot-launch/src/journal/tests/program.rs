//! A program in a directory of its own, with a journal: each call does to the levels what the
//! journal does before it performs that call.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::Mode;
use snapshot_core::terms::SnapshotId;
use tempfile::TempDir;

use super::tree::{Tree, paths};
use crate::journal::coverage::Coverage;
use crate::journal::levels::Levels;
use crate::journal::records::{Leaves, Want};
use crate::journal::stat::{Stat, Timestamp};
use crate::journal::store::PREFIX;
use crate::journal::sys;

/// No link is followed, and no FIFO waited for.
const FLAGS: i32 = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;

/// The program, and the snapshots of it.
pub(super) struct Program {
    /// Everything is below it, the stores too.
    place: TempDir,
    pub(super) levels: Levels,
    pub(super) taken: Vec<(SnapshotId, Tree)>,
    /// Open files.
    pub(super) held: Vec<Rc<File>>,
    last_id: u32,
}

/// A name in a directory, as a caller of the levels has it.
struct Entry {
    dir: OwnedFd,
    dir_stat: Stat,
    name: std::ffi::OsString,
    now: Option<Stat>,
}

impl Program {
    /// In the usual directory for temporary files.
    pub(super) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    pub(super) fn within(dir: &Path) -> Self {
        let place = TempDir::new_in(dir).expect("a directory can be made");
        fs::create_dir(place.path().join("tree")).expect("a directory can be made");
        fs::create_dir(place.path().join("stores")).expect("a directory can be made");
        let levels = Self::new_levels(&place);
        Self {
            place,
            levels,
            taken: Vec::new(),
            held: Vec::new(),
            last_id: 0,
        }
    }

    fn new_levels(place: &TempDir) -> Levels {
        Levels::new("test", vec![place.path().join("stores")])
    }

    /// The session dies and another begins.
    pub(super) fn forget_journal(&mut self) {
        self.levels = Self::new_levels(&self.place);
        self.taken.clear();
    }

    pub(super) fn root(&self) -> PathBuf {
        self.place.path().join("tree")
    }

    pub(super) fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    pub(super) fn tree(&self) -> Tree {
        Tree::of(&self.root(), &self.held)
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        paths(&self.root())
    }

    /// The journal's stores.
    pub(super) fn stores(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.place.path().join("stores")).expect("it is there");
        let paths = entries.map(|entry| entry.expect("it can be listed").path());
        paths
            .filter(|path| path.to_string_lossy().contains(PREFIX))
            .collect()
    }

    pub(super) fn take(&mut self) -> SnapshotId {
        self.last_id += 1;
        let id = SnapshotId::new(self.last_id);
        self.taken.push((id, self.tree()));
        self.levels.begin(id);
        id
    }

    /// Reverts and compares. Panics if anything differs.
    pub(super) fn revert(&mut self, id: SnapshotId, keep: bool) {
        let tree = self.before_revert(id, keep);
        let outcome = self.levels.revert_to(id, keep, false);
        assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
        assert_eq!(outcome.outsiders, Vec::<String>::new());
        self.sweep();
        self.must_be(&tree);
    }

    /// What the tree must be after a revert.
    pub(super) fn before_revert(&mut self, id: SnapshotId, keep: bool) -> Tree {
        let index = self
            .taken
            .iter()
            .position(|(known, _)| *known == id)
            .expect("it was taken");
        let tree = self.taken[index].1.clone();
        self.taken.truncate(index + usize::from(keep));
        self.held = tree.held();
        tree
    }

    pub(super) fn must_be(&self, tree: &Tree) {
        let differences = tree.difference(&self.tree());
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }

    pub(super) fn drop_level(&mut self, id: SnapshotId) {
        self.levels.drop_level(id);
        self.taken.retain(|(known, _)| *known != id);
    }

    pub(super) fn commit(&mut self) {
        let tree = self.tree();
        self.levels.commit();
        self.taken.clear();
        self.sweep();
        self.must_be(&tree);
        let links = self.tree().wrong_link_counts();
        assert_eq!(links, Vec::<PathBuf>::new());
    }

    pub(super) fn sweep(&mut self) {
        while self.levels.sweep_some(7) {}
    }

    fn entry(path: &Path) -> io::Result<Entry> {
        let dir = sys::pin_directory(path.parent().expect("it is below the root"))?;
        let name = path.file_name().expect("it has a name").to_owned();
        Ok(Entry {
            dir_stat: Stat::of_fd(dir.as_fd())?,
            now: Stat::of(dir.as_fd(), &name)?,
            dir,
            name,
        })
    }

    fn touch(&mut self, entry: &Entry) -> io::Result<()> {
        let (dir, name) = (entry.dir.as_fd(), entry.name.as_os_str());
        let touched = self
            .levels
            .touch_entry(dir, &entry.dir_stat, name, entry.now.as_ref());
        covered(touched)
    }

    fn make(&mut self, path: &Path, make: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let entry = Self::entry(path)?;
        if entry.now.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.touch(&entry)?;
        make()?;
        let made = Stat::of(entry.dir.as_fd(), &entry.name)?.expect("it was made");
        self.levels.born(&made, entry.dir.as_fd(), &entry.name);
        Ok(())
    }

    pub(super) fn create(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.make(path, || fs::write(path, bytes))
    }

    pub(super) fn make_directory(&mut self, path: &Path) -> io::Result<()> {
        self.make(path, || fs::create_dir(path))
    }

    pub(super) fn make_symlink(&mut self, target: &OsStr, path: &Path) -> io::Result<()> {
        self.make(path, || symlink(target, path))
    }

    pub(super) fn make_fifo(&mut self, path: &Path) -> io::Result<()> {
        self.make(path, || Ok(nix::unistd::mkfifo(path, Mode::S_IRWXU)?))
    }

    /// Another name for a file.
    pub(super) fn link(&mut self, from: &Path, path: &Path) -> io::Result<()> {
        let entry = Self::entry(path)?;
        self.touch(&entry)?;
        fs::hard_link(from, path)?;
        if let Some(stat) = Self::entry(path)?.now {
            self.levels.placed(&stat);
        }
        Ok(())
    }

    fn keep_content(&mut self, path: &Path, want: Want) -> io::Result<()> {
        let pin = File::from(open_path(path)?);
        let stat = Stat::of_fd(pin.as_fd())?;
        covered(self.levels.keep_content(pin.as_fd(), &stat, want))
    }

    pub(super) fn write(&mut self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(FLAGS)
            .open(path)?;
        self.keep_content(path, Want::All)?;
        file.write_all_at(bytes, at)
    }

    pub(super) fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new()
            .append(true)
            .custom_flags(FLAGS)
            .open(path)?;
        self.keep_content(path, Want::Size)?;
        io::Write::write_all(&mut &file, bytes)
    }

    pub(super) fn set_length(&mut self, path: &Path, length: u64) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(FLAGS)
            .open(path)?;
        self.keep_content(path, Want::All)?;
        file.set_len(length)
    }

    pub(super) fn hold(&mut self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .custom_flags(FLAGS)
            .open(path)?;
        self.keep_content(path, Want::All)?;
        self.held.push(Rc::new(file));
        Ok(())
    }

    /// Closes what is held, and no snapshot has it open.
    pub(super) fn let_go_of_held(&mut self) {
        self.held.clear();
        for (_, tree) in &mut self.taken {
            tree.forget_held();
        }
    }

    pub(super) fn write_held(&mut self, index: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let file = Rc::clone(&self.held[index]);
        let stat = Stat::of_fd(file.as_fd())?;
        covered(self.levels.keep_content(file.as_fd(), &stat, Want::All))?;
        file.write_all_at(bytes, at)
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let entry = Self::entry(path)?;
        let now = entry.now.ok_or(io::ErrorKind::NotFound)?;
        if now.is_directory() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.touch(&entry)?;
        self.before_last_link(&entry, &now)?;
        fs::remove_file(path)?;
        self.after_last_link(&now);
        Ok(())
    }

    fn before_last_link(&mut self, entry: &Entry, now: &Stat) -> io::Result<()> {
        covered(self.levels.keep_link(entry.dir.as_fd(), &entry.name, now))
    }

    fn after_last_link(&mut self, before: &Stat) {
        if self.levels.is_born(before) && before.nlink == 1 {
            self.levels.gone(before);
        }
    }

    pub(super) fn remove_directory(&mut self, path: &Path) -> io::Result<()> {
        let entry = Self::entry(path)?;
        let now = entry.now.ok_or(io::ErrorKind::NotFound)?;
        if !now.is_directory() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        self.touch(&entry)?;
        let is_born = self.levels.is_born(&now);
        covered(self.levels.move_directory_away(
            entry.dir.as_fd(),
            &entry.name,
            &now,
            Leaves::Nothing,
        ))?;
        if is_born {
            self.levels.gone(&now);
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (old, new) = (Self::entry(from)?, Self::entry(to)?);
        let moved = old.now.ok_or(io::ErrorKind::NotFound)?;
        if new.now.is_some_and(|over| over.id == moved.id)
            || to.starts_with(from)
            || from.starts_with(to)
        {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if new
            .now
            .is_some_and(|over| over.is_directory() != moved.is_directory())
        {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.touch(&old)?;
        self.touch(&new)?;
        match new.now {
            Some(over) if over.is_directory() => self.remove_directory(to)?,
            Some(over) => self.before_last_link(&new, &over)?,
            None => {}
        }
        self.levels.placed(&moved);
        fs::rename(from, to)?;
        if let Some(over) = new.now.filter(|over| !over.is_directory()) {
            self.after_last_link(&over);
        }
        Ok(())
    }

    pub(super) fn exchange(&mut self, one: &Path, other: &Path) -> io::Result<()> {
        let (first, second) = (Self::entry(one)?, Self::entry(other)?);
        if first.now.is_none()
            || second.now.is_none()
            || one.starts_with(other)
            || other.starts_with(one)
        {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.touch(&first)?;
        self.touch(&second)?;
        for stat in [first.now, second.now].into_iter().flatten() {
            self.levels.placed(&stat);
        }
        Ok(renameat2(
            AT_FDCWD,
            one,
            AT_FDCWD,
            other,
            RenameFlags::RENAME_EXCHANGE,
        )?)
    }

    fn with_properties(
        &mut self,
        path: &Path,
        change: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let pin = open_path(path)?;
        let stat = Stat::of_fd(pin.as_fd())?;
        covered(self.levels.keep_properties(pin.as_fd(), &stat))?;
        self.levels.loses_sight_of(&stat);
        change(pin.as_fd())
    }

    pub(super) fn set_mode(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_symlink() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.with_properties(path, |_| {
            fs::set_permissions(path, PermissionsExt::from_mode(mode))
        })
    }

    pub(super) fn set_times(&mut self, path: &Path, seconds: i64) -> io::Result<()> {
        let time = Timestamp {
            seconds,
            nanoseconds: 5,
        };
        self.with_properties(path, |pin| sys::set_times(pin, time, time))
    }

    pub(super) fn set_owner(&mut self, path: &Path, owner: u32) -> io::Result<()> {
        self.with_properties(path, |pin| sys::set_owner(pin, owner, owner))
    }

    pub(super) fn set_xattr(
        &mut self,
        path: &Path,
        name: &str,
        value: Option<&[u8]>,
    ) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_symlink() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.with_properties(path, |pin| match value {
            Some(value) => sys::set_xattr(pin, OsStr::new(name), value),
            None => sys::remove_xattr(pin, OsStr::new(name)),
        })
    }
}

/// A test that finds something not covered has a journal that can't do its work.
fn covered(kept: io::Result<Coverage>) -> io::Result<()> {
    let kept = kept?;
    assert_eq!(kept, Coverage::Covered);
    Ok(())
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    let dir = sys::pin_directory(path.parent().expect("it is below the root"))?;
    sys::pin(dir.as_fd(), path.file_name().expect("it has a name"))
}

/// Inode numbers, for tests of identity.
pub(super) fn ino(path: &Path) -> u64 {
    fs::symlink_metadata(path).expect("it is there").ino()
}
