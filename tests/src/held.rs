//! A picture of the files that a process holds open: which inode each descriptor has, at which
//! offset, with which flags, and what is in the file, even when it has no name any more.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::tree::{self, Content, Difference, compare};

/// The flags that mean something once a file is open. The others said how to find it.
const FLAGS: i32 = libc::O_ACCMODE
    | libc::O_APPEND
    | libc::O_ASYNC
    | libc::O_CLOEXEC
    | libc::O_DIRECT
    | libc::O_NOATIME
    | libc::O_NONBLOCK
    | libc::O_PATH
    | libc::O_SYNC;

/// The descriptors of a process for files below one directory, and its working directory.
#[derive(Debug, Clone)]
pub struct Held {
    directory: PathBuf,
    descriptors: BTreeMap<i32, Descriptor>,
    /// Where those lead that lie elsewhere.
    elsewhere: BTreeMap<i32, PathBuf>,
}

/// Whether the journal keeps what has this path.
fn is_kept(path: &Path) -> bool {
    path.to_string_lossy().contains("/.cargo-snapshot-files-")
}

#[derive(Debug, Clone)]
struct Descriptor {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    modified: (i64, i64),
    content: Content,
    offset: u64,
    flags: i32,
}

impl Held {
    /// Takes the picture of what process `pid` holds below `root`, while nothing changes it.
    ///
    /// # Panics
    /// When `/proc` doesn't show the process.
    pub fn of(pid: i32, root: &Path) -> Self {
        let own = PathBuf::from(format!("/proc/{pid}"));
        let listed = fs::read_dir(own.join("fd"))
            .unwrap_or_else(|error| panic!("cannot list the descriptors of {pid}: {error}"));
        let mut descriptors = BTreeMap::new();
        let mut elsewhere = BTreeMap::new();
        for entry in listed.flatten() {
            let name = entry.file_name();
            let number = name.to_string_lossy().parse().expect("a number");
            let target = fs::read_link(entry.path()).unwrap_or_default();
            // The kernel adds ` (deleted)` to a path that is gone, so this finds it too.
            // So may the place where the journal had put a link that the branch has made.
            let is_kept = is_kept(&target);
            if target.starts_with(root) || is_kept {
                let descriptor = Descriptor::of(&own, number);
                // A removed directory is one of the journal's, which empties it in the end.
                let is_gone = is_kept && descriptor.mode & libc::S_IFMT == libc::S_IFDIR;
                descriptors.insert(
                    number,
                    match is_gone {
                        true => descriptor.only_the_object(),
                        false => descriptor,
                    },
                );
            } else {
                elsewhere.insert(number, target);
            }
        }
        let mut directory = fs::read_link(own.join("cwd")).expect("it has a directory");
        // One that is gone is nowhere, whatever the kernel calls that; so is one that the journal
        // keeps.
        if directory.to_string_lossy().ends_with(" (deleted)") || is_kept(&directory) {
            directory = PathBuf::from("(deleted)");
        }
        Self {
            directory,
            descriptors,
            elsewhere,
        }
    }

    /// How many descriptors it has.
    pub fn len(&self) -> usize {
        self.descriptors.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty()
    }

    /// What is different `now`. The path of each difference is the descriptor's number.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut note_of = |path: String, what: String| {
            let path = PathBuf::from(path);
            differences.push(Difference { path, what });
        };
        compare(
            "working directory",
            &self.directory,
            &now.directory,
            &mut |what| {
                note_of("the process".to_owned(), what);
            },
        );
        for number in 0..1024 {
            let mut note = |what: String| note_of(format!("descriptor {number}"), what);
            match (self.descriptors.get(&number), now.descriptors.get(&number)) {
                (Some(then), Some(now)) => then.differences(now, &mut note),
                (Some(then), None) => match now.elsewhere.get(&number) {
                    Some(target) => note(format!(
                        "leads to {}; it had inode {}",
                        target.display(),
                        then.inode
                    )),
                    None => note(format!("is closed; it had inode {}", then.inode)),
                },
                (None, Some(now)) => note(format!("is open, with inode {}", now.inode)),
                (None, None) => {}
            }
        }
        differences
    }
}

impl Descriptor {
    fn of(own: &Path, number: i32) -> Self {
        let path = own.join(format!("fd/{number}"));
        let metadata = fs::metadata(&path).expect("it is open");
        let content = if metadata.is_file() {
            // Opened anew, so that the process's own offset stays.
            let mut file = File::open(&path).expect("it is open, and root may");
            Content::Blocks(tree::sums(&mut file).expect("it can be read"))
        } else {
            Content::None
        };
        let information = fs::read_to_string(own.join(format!("fdinfo/{number}")));
        let information = information.expect("it is open");
        let field = |name: &str| {
            let line = information.lines().find_map(|line| line.strip_prefix(name));
            line.expect("the kernel shows it").trim()
        };
        Self {
            inode: metadata.ino(),
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            size: if metadata.is_file() {
                metadata.size()
            } else {
                0
            },
            modified: tree::modified(&metadata),
            content,
            offset: field("pos:").parse().expect("a number"),
            flags: i32::from_str_radix(field("flags:"), 8).expect("an octal number") & FLAGS,
        }
    }

    /// Without what may change.
    fn only_the_object(self) -> Self {
        Self {
            mode: self.mode & libc::S_IFMT,
            owner: (0, 0),
            modified: (0, 0),
            ..self
        }
    }

    fn differences(&self, now: &Self, note: &mut impl FnMut(String)) {
        compare("inode", &self.inode, &now.inode, note);
        if self.mode != now.mode {
            note(format!("mode: {:o}, now {:o}", self.mode, now.mode));
        }
        compare("owner and group", &self.owner, &now.owner, note);
        compare("size", &self.size, &now.size, note);
        compare("modified", &self.modified, &now.modified, note);
        self.content.differences(&now.content, note);
        compare("offset", &self.offset, &now.offset, note);
        if self.flags != now.flags {
            note(format!("flags: {:o}, now {:o}", self.flags, now.flags));
        }
    }
}
