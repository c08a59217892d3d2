//! A picture of a directory tree: all that a revert must bring back of it. Two pictures tell
//! what differs, a line a difference.
//!
//! Not in the picture: the times of the last change of properties and of the last access, which
//! no program can set back, and the size of a directory, which says how many entries it ever had.
#![expect(unsafe_code, reason = "the wrappers know no extended attributes")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::fmt::Debug;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The part of a file that one sum stands for.
const BLOCK: usize = 4096;

/// A directory and everything below it, at one moment at which nothing changes it.
#[derive(Debug, Clone, Default)]
pub struct Tree(BTreeMap<PathBuf, Node>);

/// One file of any kind.
#[derive(Debug, Clone)]
struct Node {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    device: u64,
    size: u64,
    modified: (i64, i64),
    links: u64,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    content: Content,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing to read: a directory, a device, a FIFO, a socket.
    None,
    /// The path in a symbolic link.
    Target(PathBuf),
    /// A sum for each block.
    Blocks(Vec<u64>),
}

impl Tree {
    /// Takes the picture.
    ///
    /// # Panics
    /// When a part of it can't be read.
    pub fn of(root: &Path) -> Self {
        let mut tree = Self::default();
        tree.add(root, Path::new("."));
        tree
    }

    fn add(&mut self, path: &Path, name: &Path) {
        let node = Node::of(path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let is_directory = node.is_directory();
        self.0.insert(name.to_owned(), node);
        if is_directory {
            let entries = fs::read_dir(path)
                .unwrap_or_else(|error| panic!("cannot list {}: {error}", path.display()));
            for entry in entries {
                let entry = entry.expect("nothing changes the tree now");
                self.add(&entry.path(), &name.join(entry.file_name()));
            }
        }
    }

    /// How many files of any kind it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none; a tree has at least its root.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many kinds of files it has: of files, directories, symbolic links, FIFOs, sockets and
    /// devices.
    pub fn kinds(&self) -> usize {
        let kinds: BTreeSet<u32> = self
            .0
            .values()
            .map(|node| node.mode & libc::S_IFMT)
            .collect();
        kinds.len()
    }

    /// The same without one directory at the top and what is in it.
    pub fn without(mut self, directory: &str) -> Self {
        let directory = Path::new(".").join(directory);
        self.0.retain(|path, _| !path.starts_with(&directory));
        self
    }

    /// What is different `now`, in the order of the paths.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let paths: BTreeSet<&PathBuf> = self.0.keys().chain(now.0.keys()).collect();
        let mut differences = Vec::new();
        for path in paths {
            let mut note = |what: String| {
                differences.push(Difference {
                    path: path.clone(),
                    what,
                });
            };
            match (self.0.get(path), now.0.get(path)) {
                (Some(then), Some(now)) => then.differences(now, &mut note),
                (Some(then), None) => note(format!("is missing; it was {}", then.summary())),
                (None, Some(now)) => note(format!("is new: {}", now.summary())),
                (None, None) => {}
            }
        }
        differences
    }

    /// The files with more or fewer links than the tree has names for them. While a snapshot
    /// exists, a name that was removed since may be one of a file's links.
    pub fn foreign_links(&self) -> Vec<Difference> {
        let mut names: BTreeMap<u64, u64> = BTreeMap::new();
        for node in self.0.values() {
            *names.entry(node.inode).or_default() += 1;
        }
        let nodes = self.0.iter().filter(|(_, node)| !node.is_directory());
        nodes
            .filter(|(_, node)| node.links != names[&node.inode])
            .map(|(path, node)| Difference {
                path: path.clone(),
                what: format!("{} links, {} names", node.links, names[&node.inode]),
            })
            .collect()
    }
}

/// One thing that is different about one path.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The path below the tree's root.
    pub path: PathBuf,
    /// What it was and what it is now.
    pub what: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.path, self.what)
    }
}

impl Node {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        let is_directory = metadata.is_dir();
        let content = if metadata.is_file() {
            Content::Blocks(sums(&mut File::open(path)?)?)
        } else if metadata.is_symlink() {
            Content::Target(fs::read_link(path)?)
        } else {
            Content::None
        };
        Ok(Self {
            inode: metadata.ino(),
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            device: metadata.rdev(),
            size: if is_directory { 0 } else { metadata.size() },
            modified: modified(&metadata),
            links: metadata.nlink(),
            attributes: attributes(path)?,
            content,
        })
    }

    fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    fn differences(&self, now: &Self, note: &mut impl FnMut(String)) {
        compare("inode", &self.inode, &now.inode, note);
        if self.mode != now.mode {
            note(format!("mode: {:o}, now {:o}", self.mode, now.mode));
        }
        compare("owner and group", &self.owner, &now.owner, note);
        compare("device", &self.device, &now.device, note);
        compare("size", &self.size, &now.size, note);
        compare("modified", &self.modified, &now.modified, note);
        compare("attributes", &self.attributes, &now.attributes, note);
        self.content.differences(&now.content, note);
        // Those of other files are for `foreign_links`.
        if self.is_directory() {
            compare("number of links", &self.links, &now.links, note);
        }
    }

    fn summary(&self) -> String {
        format!(
            "mode {:o}, inode {}, {} bytes, {} links, modified {:?}",
            self.mode, self.inode, self.size, self.links, self.modified
        )
    }
}

impl Content {
    /// Says where two contents differ.
    pub(crate) fn differences(&self, now: &Self, note: &mut impl FnMut(String)) {
        match (self, now) {
            (Self::Blocks(then), Self::Blocks(now)) if then != now => {
                let different = (0..then.len().max(now.len()))
                    .filter(|&block| then.get(block) != now.get(block))
                    .collect::<Vec<_>>();
                note(format!("content of the 4 KiB blocks {different:?}"));
            }
            _ => compare("content", self, now, note),
        }
    }
}

/// Notes that a property differs, if it does.
pub(crate) fn compare<T: PartialEq + Debug>(
    what: &str,
    then: &T,
    now: &T,
    note: &mut impl FnMut(String),
) {
    if then != now {
        note(format!("{what}: {then:?}, now {now:?}"));
    }
}

/// When its content was modified, in seconds and nanoseconds.
pub(crate) fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// A sum for each block of a file, from its begin.
pub(crate) fn sums(file: &mut File) -> io::Result<Vec<u64>> {
    let mut sums = Vec::new();
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        file.take(u64::try_from(BLOCK).expect("it is small"))
            .read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(sums);
        }
        sums.push(sum(&block));
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The extended attributes of a file itself, access lists among them.
fn attributes(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let path = CString::new(path.as_os_str().as_bytes()).expect("no path has a NUL");
    let names = read_whole(|bytes| {
        // SAFETY: reads the path up to its NUL, writes to the live bytes within their length.
        unsafe { libc::llistxattr(path.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) }
    })?;
    let mut attributes = BTreeMap::new();
    for name in names.split_inclusive(|&byte| byte == 0) {
        let name = CStr::from_bytes_with_nul(name).expect("the kernel ends each name");
        let value = read_whole(|bytes| {
            let (value, room) = (bytes.as_mut_ptr().cast(), bytes.len());
            // SAFETY: as above, and reads the name up to its NUL.
            unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), value, room) }
        })?;
        attributes.insert(name.to_bytes().to_vec(), value);
    }
    Ok(attributes)
}

/// What a call writes that answers with a length. No attribute is longer than 64 KiB.
fn read_whole(read: impl FnOnce(&mut [u8]) -> isize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 64 << 10];
    match usize::try_from(read(&mut bytes)) {
        Ok(length) => {
            bytes.truncate(length);
            Ok(bytes)
        }
        Err(_) => {
            let error = io::Error::last_os_error();
            if error.raw_os_error() == Some(libc::ENOTSUP) {
                return Ok(Vec::new());
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    //! A picture that misses a change would let every test of files pass.

    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("the temp directory is writable");
        fs::write(root.path().join("file"), vec![7; 10_000]).expect("it is ours");
        fs::create_dir(root.path().join("directory")).expect("it is ours");
        symlink("file", root.path().join("link")).expect("it is ours");
        root
    }

    /// What differs after `change`.
    fn after(change: impl FnOnce(&Path)) -> Vec<String> {
        let root = tree();
        let then = Tree::of(root.path());
        change(root.path());
        let differences = then.differences(&Tree::of(root.path()));
        differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_differs_where_nothing_changed() {
        assert_eq!(after(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn a_byte_differs_even_with_its_time_set_back() {
        let differences = after(|root| {
            let path = root.join("file");
            let modified = fs::metadata(&path).and_then(|file| file.modified());
            let mut bytes = fs::read(&path).expect("it is there");
            bytes[5000] = 8;
            fs::write(&path, bytes).expect("it is ours");
            let file = File::options().write(true).open(&path).expect("it is ours");
            file.set_modified(modified.expect("it has a time"))
                .expect("it is ours");
        });
        assert_eq!(
            differences,
            [r#""./file": content of the 4 KiB blocks [1]"#]
        );
    }

    #[test]
    fn names_modes_and_targets_differ() {
        let differences = after(|root| {
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(root.join("file"), mode).expect("it is ours");
            fs::remove_file(root.join("link")).expect("it is ours");
            symlink("elsewhere", root.join("link")).expect("it is ours");
            fs::rename(root.join("directory"), root.join("renamed")).expect("it is ours");
        });
        let all = differences.join("\n");
        for expected in [
            "./file\": mode",
            "./link\": content",
            "./directory\": is missing",
        ] {
            assert!(all.contains(expected), "{all}");
        }
        assert!(all.contains("./renamed\": is new"), "{all}");
    }

    #[test]
    fn a_file_of_the_same_content_is_another() {
        let differences = after(|root| {
            let bytes = fs::read(root.join("file")).expect("it is there");
            fs::write(root.join("new"), bytes).expect("it is ours");
            fs::rename(root.join("new"), root.join("file")).expect("it is ours");
        });
        let all = differences.join("\n");
        assert!(all.contains("./file\": inode"), "{all}");
    }

    #[test]
    fn a_link_outside_the_tree_is_foreign() {
        let (root, elsewhere) = (tree(), tree());
        let (file, link) = (root.path().join("file"), elsewhere.path().join("another"));
        fs::hard_link(&file, root.path().join("directory/same")).expect("it is ours");
        assert!(Tree::of(root.path()).foreign_links().is_empty());
        fs::hard_link(&file, link).expect("it is ours");
        assert_eq!(Tree::of(root.path()).foreign_links().len(), 2);
    }
}
