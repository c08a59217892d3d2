//! A tree of files as it is at one moment, to be compared with itself later.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::journal::stat::{Kind, Stat};
use crate::journal::sys;

/// All that a revert must bring back of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    ino: u64,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    rdev: u64,
    length: usize,
    content: u64,
    xattrs: Vec<(std::ffi::OsString, Vec<u8>)>,
}

impl Node {
    /// Whether the other has the same bytes and properties, whatever it is.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let Self { ino, .. } = self;
        let other = Self {
            ino: *ino,
            ..other.clone()
        };
        *self == other
    }

    /// The same for a directory in which something may have been put.
    pub(super) fn is_same_directory(&self, other: &Self) -> bool {
        let Self { modified, .. } = self;
        let other = Self {
            modified: *modified,
            ..other.clone()
        };
        *self == other
    }
}

/// A tree, and files that a program holds open.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
    /// Link counts, but for directories. A link on a shelf of a level below counts.
    links: BTreeMap<PathBuf, u64>,
    held: Vec<(Rc<File>, Node)>,
}

impl Tree {
    pub(super) fn of(root: &Path, held: &[Rc<File>]) -> Self {
        let mut tree = Self {
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            held: Vec::new(),
        };
        tree.add(root);
        tree.held = held
            .iter()
            .map(|file| (Rc::clone(file), node_of_open(file)))
            .collect();
        tree
    }

    fn add(&mut self, path: &Path) {
        let data = fs::symlink_metadata(path).expect("it is there");
        let dir = sys::pin_directory(path.parent().expect("it has one")).expect("it is there");
        let name = path.file_name().expect("it has one");
        let stat = Stat::of(dir.as_fd(), name)
            .expect("it may be looked at")
            .expect("it is there");
        let pin = sys::pin(dir.as_fd(), name).expect("it is there");
        // An ordinary user may have locked it.
        let open = |extra: u32| {
            if stat.kind != Kind::Symlink && data.mode() & extra != extra {
                sys::set_mode(pin.as_fd(), (data.mode() & 0o7777) | extra).expect("it is our own");
                return true;
            }
            false
        };
        let content = match stat.kind {
            Kind::File => {
                let opened = open(0o600);
                let bytes = fs::read(path).expect("it can be read");
                close(opened, &pin, &data);
                bytes
            }
            Kind::Symlink => fs::read_link(path)
                .expect("it is a link")
                .into_os_string()
                .into_encoded_bytes(),
            _ => Vec::new(),
        };
        let node = node(&data, content, xattrs(&stat, pin.as_fd()));
        self.nodes.insert(path.to_owned(), node);
        if !stat.is_directory() {
            self.links.insert(path.to_owned(), data.nlink());
        }
        if stat.is_directory() {
            let opened = open(0o700);
            for entry in fs::read_dir(path).expect("it can be listed") {
                self.add(&entry.expect("it can be listed").path());
            }
            close(opened, &pin, &data);
        }
    }

    /// What is under a path.
    pub(super) fn node(&self, path: &Path) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// All paths in it.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.nodes.keys()
    }

    /// The files that were held.
    pub(super) fn held(&self) -> Vec<Rc<File>> {
        self.held.iter().map(|(file, _)| Rc::clone(file)).collect()
    }

    /// Leaves out files without a name, which only an open descriptor leads to.
    pub(super) fn forget_held(&mut self) {
        self.held.clear();
    }

    /// What differs, for people.
    pub(super) fn difference(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (path, was) in &self.nodes {
            match now.nodes.get(path) {
                None => found.push(format!("{} is missing: {was:?}", path.display())),
                Some(is) if is != was => {
                    found.push(format!("{}:\n was {was:?}\n is  {is:?}", path.display()))
                }
                Some(_) => {}
            }
        }
        for path in now
            .nodes
            .keys()
            .filter(|path| !self.nodes.contains_key(*path))
        {
            found.push(format!("{} is new", path.display()));
        }
        for (file, was) in &self.held {
            let is = node_of_open(file);
            if is != *was {
                found.push(format!("an open file:\n was {was:?}\n is  {is:?}"));
            }
        }
        for line in &mut found {
            line.truncate(600);
        }
        found
    }

    /// Objects with another number of links than names here.
    pub(super) fn wrong_link_counts(&self) -> Vec<PathBuf> {
        let mut names: BTreeMap<u64, u64> = BTreeMap::new();
        for node in self.nodes.values() {
            *names.entry(node.ino).or_default() += 1;
        }
        let is_wrong = |path: &PathBuf| {
            let links = self.links.get(path).copied();
            links.is_some_and(|links| names.get(&self.nodes[path].ino) != Some(&links))
        };
        self.nodes
            .keys()
            .filter(|path| is_wrong(path))
            .cloned()
            .collect()
    }
}

/// All paths in a tree, without a look at the objects.
pub(super) fn paths(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while next < found.len() {
        // What isn't a directory, or is closed, has nothing below.
        let dir = &found[next];
        let is_link = dir.is_symlink();
        for entry in fs::read_dir(dir)
            .ok()
            .filter(|_| !is_link)
            .into_iter()
            .flatten()
            .flatten()
        {
            found.push(entry.path());
        }
        next += 1;
    }
    found
}

fn close(opened: bool, pin: &std::os::fd::OwnedFd, data: &fs::Metadata) {
    if opened {
        sys::set_mode(pin.as_fd(), data.mode() & 0o7777).expect("it is our own");
    }
}

fn xattrs(stat: &Stat, pin: std::os::fd::BorrowedFd<'_>) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    if stat.kind == Kind::Symlink {
        return Vec::new();
    }
    let value = |name: &OsStr| sys::xattr(pin, name).unwrap_or_default();
    let names = sys::xattr_names(pin).expect("they can be listed");
    let mut all: Vec<_> = names
        .into_iter()
        .map(|name| (name.clone(), value(&name)))
        .collect();
    all.sort();
    all
}

fn node(data: &fs::Metadata, content: Vec<u8>, xattrs: Vec<(std::ffi::OsString, Vec<u8>)>) -> Node {
    Node {
        ino: data.ino(),
        mode: data.mode(),
        owner: (data.uid(), data.gid()),
        modified: (data.mtime(), data.mtime_nsec()),
        rdev: data.rdev(),
        length: content.len(),
        content: hash(&content),
        xattrs,
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

fn node_of_open(file: &File) -> Node {
    let data = file.metadata().expect("it is open");
    let mut content = vec![0; usize::try_from(data.len()).expect("it is small")];
    file.read_exact_at(&mut content, 0).expect("it can be read");
    node(&data, content, Vec::new())
}
